"""Files that are there whole or not at all."""

from __future__ import annotations

import os

from torchlift.utilities.cloud_io import get_filesystem, is_local


def write_text(path: str, text: str) -> None:
    """Write a UTF-8 file; a reader, or a crash at any moment, finds the old content or the new one.

    Raises:
        OSError: the file could not be written; the old one is untouched.
    """
    if not is_local(path):
        get_filesystem(path).write_text(path, text)  # object stores replace an object as a whole
        return
    new = f"{path}.{os.getpid()}.new"
    try:
        with open(new, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(new, path)
    except BaseException:
        if os.path.exists(new):
            os.unlink(new)
        raise
