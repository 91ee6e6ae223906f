"""What loggers of other packages ask for, against Lightning's."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch.loggers.utilities import _scan_checkpoints, _version

from torchlift.loggers import CSVLogger
from torchlift.loggers._third_party import joined_version, scan_checkpoints


@pytest.mark.parametrize("versions", [[], [1], [0, 2, 1, 0], ["a", 0]])
def test_versions_are_joined(tmp_path: Path, versions: list) -> None:
    loggers = [CSVLogger(tmp_path, version=version) for version in versions]
    assert joined_version(loggers) == _version(loggers)
    assert joined_version(loggers, "-") == _version(loggers, "-")


def test_only_checkpoints_that_are_new_are_found(tmp_path: Path) -> None:
    for number, name in enumerate(["a", "b", "c"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    callback = SimpleNamespace(
        last_model_path=str(tmp_path / "c"),
        current_score=3,
        best_model_path=str(tmp_path / "a"),
        best_model_score=1,
        best_k_models={str(tmp_path / "a"): 1, str(tmp_path / "b"): 2, str(tmp_path / "gone"): 0},
    )
    found = scan_checkpoints(callback, {})
    assert found == _scan_checkpoints(callback, {})
    assert [Path(path).name for _, path, _, _ in found] == ["a", "b", "c"]
    seen = {found[0][1]: 0.0, found[1][1]: 0.5}  # the second was written again since
    assert scan_checkpoints(callback, seen) == _scan_checkpoints(callback, seen) == found[1:]
