"""A copy of the script's folder for each run, so that no run sees what another wrote and the user's files stay as
they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Never part of what a script reads: version control, environments, caches.
SKIPPED = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", ".idea", ".vscode"}
)
PREFIX = "torchlift-verify-"  # of the folders that hold the copies; they may lie inside the script's own folder
LARGE = 200_000_000  # bytes: worth a word
LIMIT = 8_000_000_000  # bytes: a mistake, more likely than not


class ScratchError(Exception):
    """The folder cannot be copied; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Size:
    files: int
    bytes: int

    def __str__(self) -> str:
        amount = f"{self.bytes / 1e6:.1f} MB" if self.bytes < 1e9 else f"{self.bytes / 1e9:.1f} GB"
        return f"{self.files} file{'s' * (self.files != 1)}, {amount}"


def measure(folder: Path, linked: frozenset[Path]) -> Size:
    """What a copy would hold. Raises ScratchError when that is too much."""
    files = total = 0
    for path in _files(folder, linked):
        files += 1
        total += path.stat().st_size
        if total > LIMIT:
            raise ScratchError(
                f"The folder {folder} holds more than {LIMIT / 1e9:.0f} GB, too much for the scratch copy that each "
                "run gets. Remedy: name the folder of the data with --link (the script must only read there), or a "
                "smaller folder with --root."
            )
    return Size(files, total)


def copy(folder: Path, target: Path, linked: frozenset[Path]) -> None:
    """Copy the folder. Links are followed: what a script writes through one would reach the user's files otherwise.

    Folders in `linked` become links to the originals.
    """
    target.mkdir(parents=True)
    try:
        for source in _files(folder, linked):
            goal = target / source.relative_to(folder)
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, goal)
        for source in _folders(folder, linked):  # a script may list or write into an empty one
            (target / source.relative_to(folder)).mkdir(parents=True, exist_ok=True)
        for source in linked:
            goal = target / source.relative_to(folder)
            goal.parent.mkdir(parents=True, exist_ok=True)
            goal.symlink_to(source, target_is_directory=True)
    except OSError as error:
        raise ScratchError(f"The folder {folder} cannot be copied: {error}.") from error


def _files(folder: Path, linked: frozenset[Path]) -> Iterator[Path]:
    for base in _folders(folder, linked):
        for entry in os.scandir(base):
            if entry.is_file():  # follows links; leaves out sockets, pipes and links to nowhere
                yield Path(entry.path)


def _folders(folder: Path, linked: frozenset[Path]) -> Iterator[Path]:
    """The folder and all below it; a link back to a folder above is not entered."""
    waiting: list[tuple[Path, tuple[str, ...]]] = [(folder, (os.path.realpath(folder),))]
    while waiting:
        base, above = waiting.pop()
        yield base
        for entry in sorted(os.scandir(base), key=lambda entry: entry.name):
            path = Path(entry.path)
            if not entry.is_dir() or entry.name in SKIPPED or path in linked or (path / "pyvenv.cfg").exists():
                continue
            if entry.name.startswith(PREFIX):
                continue
            real = os.path.realpath(path)
            if real not in above:
                waiting.append((path, (*above, real)))
