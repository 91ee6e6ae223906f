"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from torchlift.utilities.cloud_io import get_filesystem, is_local

try:
    import fcntl
except ImportError:  # Windows: what a killed process left behind stays there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the name ``target`` when the block ends, and is removed when the block fails.

    The bytes go to a temporary file in the same folder, reach the disk (fsync), and take the name in one step; then the
    folder's entry reaches the disk too. So a reader, and a kill at any moment, finds the old file or the new one. What
    a killed process left of an earlier try is removed: a lock tells it from a file that is being written.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    _remove_leftovers(target)
    part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        with open(part, "xb") as file:
            _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    _sync_folder(target.parent)


def write_text(path: str, text: str) -> None:
    """Write a UTF-8 file; a reader, or a crash at any moment, finds the old content or the new one.

    Raises:
        OSError: the file could not be written; the old one is untouched.
    """
    if not is_local(path):
        get_filesystem(path).write_text(path, text)  # object stores replace an object as a whole
        return
    with whole_file(Path(path)) as file:
        file.write(text.encode())


def _lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed; whether nobody else holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks
        return False
    return True


def _remove_leftovers(target: Path) -> None:
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    for name in filter(pattern.fullmatch, os.listdir(target.parent)):
        with contextlib.suppress(OSError), open(target.with_name(name), "rb") as leftover:
            if _lock(leftover):
                os.unlink(leftover.name)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system lets a folder be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
