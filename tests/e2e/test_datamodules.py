"""A generated DataModule works alone: made anew from its hyperparameters, set up, each loader gives batches."""

from __future__ import annotations

import inspect
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import torchlift as L

SAMPLES = [
    twin
    for twin in sorted((Path(__file__).parents[2] / "samples").glob("*/train_lightning.py"))
    if "LightningDataModule" in twin.read_text(encoding="utf-8")
]
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


class Reached(Exception):
    """The script called fit."""


def datamodule_of(twin: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> L.LightningDataModule | None:
    """Run a twin up to its fit, in a folder of its own, and return the data that it hands over."""
    seen: list[Any] = []

    def fit(trainer: L.Trainer, model: Any, *args: Any, datamodule: Any = None, **kwargs: Any) -> None:
        seen.append(datamodule)
        raise Reached

    script = folder / twin.name
    shutil.copy(twin, script)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setattr(L.Trainer, "fit", fit)
    with pytest.raises(Reached):
        runpy.run_path(str(script), run_name="__main__")
    return seen[0]


@pytest.mark.parametrize("twin", SAMPLES, ids=lambda path: path.parent.name)
def test_datamodule_works_alone(twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = datamodule_of(twin, tmp_path, monkeypatch)
    assert used is not None
    given = [n for n, p in inspect.signature(type(used)).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    alone = type(used)(**{name: used.hparams[name] if name in used.hparams else getattr(used, name) for name in given})
    alone.prepare_data()
    alone.setup("fit")
    own = [name for name in LOADERS if name in vars(type(used))]
    assert "train_dataloader" in own
    for name in own:
        batches = list(getattr(alone, name)())
        assert len(batches) == len(getattr(alone, name)()) > 0
