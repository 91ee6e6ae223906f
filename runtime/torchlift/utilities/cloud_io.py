"""Where a path lies: local paths go through ``os``, URLs (``s3://...``, ``memory://...``) through fsspec.

fsspec is imported only when a URL is met. Torch depends on it, so it is always installed.
"""

from __future__ import annotations

import os
from typing import Any


def is_local(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` names the local file system: a plain path or a ``file://`` URL."""
    scheme, separator, _ = os.fspath(path).partition("://")
    return not separator or scheme == "file"


def get_filesystem(path: str | os.PathLike[str]) -> Any:
    """The fsspec file system that ``path`` lives on.

    Raises:
        ImportError: the URL's scheme needs a package (``s3fs``, ``gcsfs``, ...) that is not installed; it is named.
    """
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    return url_to_fs(os.fspath(path))[0]


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file or a directory at ``path`` (a link that leads nowhere is none)."""
    return os.path.exists(path) if is_local(path) else bool(get_filesystem(path).exists(os.fspath(path)))


def modified(path: str | os.PathLike[str]) -> float:
    """When ``path`` was written last, in seconds since the epoch."""
    return os.path.getmtime(path) if is_local(path) else get_filesystem(path).modified(os.fspath(path)).timestamp()


def entries(path: str | os.PathLike[str]) -> list[str]:
    """The names directly under the directory ``path``; none if there is no such directory."""
    if is_local(path):
        return sorted(os.listdir(path)) if os.path.isdir(path) else []
    files = get_filesystem(path)
    return sorted(os.path.basename(p.rstrip("/")) for p in files.ls(path, detail=False)) if files.isdir(path) else []
