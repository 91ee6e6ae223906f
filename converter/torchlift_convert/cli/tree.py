"""The files of a folder: which of them are Python, and a copy of all of them. Links are data; none is followed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torchlift_convert import files
from torchlift_convert.files import FileProblem

# Never a user's own code, and never copied.
SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


def entries(root: Path) -> Iterator[Path]:
    """Every file and link below a folder, by its path from there, in order.

    Hidden folders are passed over, and environments: what lies in them is not the user's project.
    """
    for base, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not _is_skipped(Path(base, f)))
        linked = [f for f in folders if Path(base, f).is_symlink()]
        folders[:] = [f for f in folders if f not in linked]
        for name in sorted([*names, *linked]):
            yield Path(base, name).relative_to(root)


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in SKIPPED or (folder / "pyvenv.cfg").is_file()


def scripts(root: Path) -> list[Path]:
    """The Python files and notebooks below a folder, by their paths from there."""
    return [p for p in entries(root) if p.suffix in (".py", ".ipynb") and _is_plain(root / p)]


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def check_copy(root: Path, goal: Path, *, force: bool) -> None:
    """Say before any work is done that a folder cannot be copied there.

    Raises:
        FileProblem: the goal is no folder, holds something already, or lies inside what is copied.
    """
    name = str(goal)
    if goal.exists() and not goal.is_dir():
        raise FileProblem(name, "this is a file.", remedy="name the folder to write.")
    inside, real = Path(os.path.realpath(goal)), Path(os.path.realpath(root))
    if inside == real or inside.is_relative_to(real) or real.is_relative_to(inside):
        raise FileProblem(name, f"this and {root} lie in one another.", remedy="name a folder beside it.")
    if goal.is_dir() and any(goal.iterdir()) and not force:
        raise FileProblem(
            name,
            "the folder holds something already; it stays as it is.",
            remedy="add --force to replace files in it, or name another folder with -o.",
        )
    if not goal.exists():
        files.check_output(goal, name)


def copy(root: Path, goal: Path) -> list[Path]:
    """Copy a folder's files; what lies at the goal and not in the folder stays there.

    A new folder takes its name in one step. A link within the folder is made anew; one that leads out is left out.

    Returns:
        The links that were left out.

    Raises:
        FileProblem: something could not be copied.
    """
    left: list[Path] = []
    try:
        if goal.exists():
            _fill(root, goal, left)
            return left
        with tempfile.TemporaryDirectory(prefix=f".{goal.name}.", dir=goal.parent) as passing:
            made = Path(passing, "tree")
            made.mkdir()
            _fill(root, made, left)
            shutil.copymode(root, made)
            os.rename(made, goal)
            files.keep_folder(goal.parent)
    except OSError as error:
        raise FileProblem(str(goal), f"the folder cannot be copied there: {files.reason(error)}.") from None
    return left


def _fill(root: Path, goal: Path, left: list[Path]) -> None:
    for path in entries(root):
        source, target = root / path, goal / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            if not _leads_inside(root, source):
                left.append(path)
            elif not os.path.lexists(target):
                os.symlink(os.readlink(source), target)
        elif source.is_file():
            held = f"{target}.torchlift-tmp"
            shutil.copy2(source, held)
            os.replace(held, target)


def _leads_inside(root: Path, link: Path) -> bool:
    """Is it a relative link to something in the folder, which means the same in a copy?"""
    if os.path.isabs(os.readlink(link)):
        return False
    return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(root))
