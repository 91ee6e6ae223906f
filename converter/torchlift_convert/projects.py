"""The project around a script as its imports see it: the folders that they look in, and reading below its root."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from torchlift_convert.types import Project

MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")
LONGEST = 2_000_000  # bytes of one module
HIGHEST = 8  # folders above the script that are looked at


def project_of(script: Path, root: Path | None = None) -> Project | None:
    """The project of a script.

    Args:
        script: its path.
        root: the project's folder; None: the nearest folder above the script that looks like one, else its own folder,
            or the one above the packages that it stands in.
    """
    own = Path(os.path.realpath(script)).parent
    try:
        top = Path(os.path.realpath(root)) if root is not None else _root_above(own)
        inside = own.relative_to(top).parts
    except (OSError, ValueError):
        return None
    package: list[str] = []
    folder = own
    while folder != top and (folder / "__init__.py").is_file():
        package.insert(0, folder.name)
        folder = folder.parent
    where = "/".join(inside)
    above = "/".join(folder.relative_to(top).parts)  # from which the packages can be imported
    roots = tuple(dict.fromkeys([where, above, ""]))
    return Project(reader(top), f"{where}/{script.name}" if where else script.name, roots, ".".join(package))


def _root_above(own: Path) -> Path:
    """The nearest folder with a mark of a project; without one, the script's own, but for packages that it is in."""
    home = Path.home()
    for folder in [own, *own.parents][:HIGHEST]:
        if folder == home or folder == folder.parent:
            break
        if any((folder / mark).exists() for mark in MARKS):
            return folder
    folder = own
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def reader(root: Path) -> Callable[[str], bytes | None]:
    """What reads ordinary files below a folder, each once; a link that leads out of it is no file."""
    held: dict[str, bytes | None] = {}

    def read(path: str) -> bytes | None:
        if path not in held:
            held[path] = _content(root, path)
        return held[path]

    return read


def _content(root: Path, path: str) -> bytes | None:
    real = Path(os.path.realpath(root / path))
    try:
        if not real.is_relative_to(root):
            return None
        status = real.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST:
            return None
        return real.read_bytes()
    except (OSError, ValueError):
        return None
