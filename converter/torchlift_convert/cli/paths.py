"""The scripts that a command line names: as they are, or by patterns that the shell has left alone."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from torchlift_convert.files import STDIN


def expand(names: Sequence[str]) -> list[str]:
    """Every script once, in the order of the command line; what a pattern matches is sorted.

    A pattern (``**`` goes through folders) that matches nothing stays as it is, to be reported as a file that is not
    there. A name that exists is never read as a pattern.
    """
    found: dict[str, str] = {}
    for name in names:
        for path in _matches(name):
            found.setdefault(name if name == STDIN else os.path.realpath(path), path)
    return list(found.values())


def _matches(name: str) -> list[str]:
    if name == STDIN or not glob.has_magic(name) or Path(name).exists():
        return [name]
    return sorted(path for path in glob.glob(name, recursive=True) if not os.path.isdir(path)) or [name]
