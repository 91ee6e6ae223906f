"""The copy holds what a script may read, and nothing written into it reaches the original."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchlift.verify import scratch
from torchlift.verify.scratch import ScratchError, copy, measure

NONE: frozenset[Path] = frozenset()


def filled(folder: Path) -> Path:
    for name in ("train.py", "data/x.csv", ".git/config", "env/pyvenv.cfg", "env/lib/y.py", "__pycache__/z.pyc"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "out").mkdir()
    return folder


def test_copies_files_and_empty_folders_without_environments_and_caches(tmp_path: Path) -> None:
    copy(filled(tmp_path / "a"), tmp_path / "b", NONE)
    found = sorted(path.relative_to(tmp_path / "b").as_posix() for path in (tmp_path / "b").rglob("*"))
    assert found == ["data", "data/x.csv", "out", "train.py"]
    assert measure(tmp_path / "a", NONE).files == 2


def test_copies_of_a_folder_that_lie_in_it_are_left_out(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a")
    for run in ("one", "two"):
        copy(folder, folder / f"{scratch.PREFIX}x" / run, NONE)
    assert sorted(path.name for path in (folder / f"{scratch.PREFIX}x" / "two").iterdir()) == [
        "data",
        "out",
        "train.py",
    ]


def test_a_linked_folder_of_data_is_copied(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "x").write_text("original")
    folder = filled(tmp_path / "a")
    (folder / "linked").symlink_to(real)
    (folder / "again").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "missing")
    copy(folder, tmp_path / "b", NONE)
    (tmp_path / "b" / "linked" / "x").write_text("changed")
    assert (real / "x").read_text() == "original"
    assert not (tmp_path / "b" / "again").exists()


def test_a_folder_to_link_is_not_copied(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a")
    copy(folder, tmp_path / "b", frozenset({folder / "data"}))
    assert (tmp_path / "b" / "data").is_symlink()
    assert (tmp_path / "b" / "data" / "x.csv").read_text() == "data/x.csv"
    assert measure(folder, frozenset({folder / "data"})).files == 1


def test_too_large_a_folder_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "LIMIT", 3)
    with pytest.raises(ScratchError, match="--link"):
        measure(filled(tmp_path / "a"), NONE)
