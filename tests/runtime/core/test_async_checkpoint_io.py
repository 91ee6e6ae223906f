"""Checkpoints written in the background: as they were when saved, one at a time, and nothing removed early."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import torchlift as L
from torchlift.callbacks import ModelCheckpoint
from torchlift.plugins import AsyncCheckpointIO, TorchCheckpointIO


class Gated(TorchCheckpointIO):
    """Writes when the gate is open; fails if told to. Keeps the order of what it does."""

    def __init__(self) -> None:
        self.gate, self.did, self.fails = threading.Event(), [], False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        assert self.gate.wait(30)
        if self.fails:
            raise OSError(28, "No space left on device")
        super().save_checkpoint(checkpoint, path)
        self.did.append(f"saved {Path(path).name}")

    def remove_checkpoint(self, path: str | Path) -> None:
        super().remove_checkpoint(path)
        self.did.append(f"removed {Path(path).name}")


def test_the_file_holds_what_was_when_it_was_saved(tmp_path: Path) -> None:
    base = Gated()
    io = AsyncCheckpointIO(base)
    weight, history = torch.zeros(3), [1]
    io.save_checkpoint({"weights": {"a": weight, "tied": weight.view(3)}, "history": history}, tmp_path / "one.ckpt")
    weight.add_(1)
    history.append(2)
    base.gate.set()
    io.teardown()
    saved = TorchCheckpointIO().load_checkpoint(tmp_path / "one.ckpt")
    assert saved["history"] == [1] and saved["weights"]["a"].eq(0).all()
    assert saved["weights"]["a"].data_ptr() == saved["weights"]["tied"].data_ptr()


def test_the_old_file_goes_when_the_new_one_is_there(tmp_path: Path) -> None:
    base = Gated()
    base.gate.set()
    io = AsyncCheckpointIO(base)
    io.save_checkpoint({}, tmp_path / "old.ckpt")
    io.teardown()
    base.gate.clear()
    io.save_checkpoint({}, tmp_path / "new.ckpt")
    io.remove_checkpoint(tmp_path / "old.ckpt")
    assert (tmp_path / "old.ckpt").exists()
    base.gate.set()
    io.teardown()
    assert base.did == ["saved old.ckpt", "saved new.ckpt", "removed old.ckpt"]


@pytest.mark.parametrize("next_call", ["save_checkpoint", "load_checkpoint", "teardown"])
def test_an_error_comes_out_and_removes_nothing(next_call: str, tmp_path: Path) -> None:
    base = Gated()
    base.gate.set()
    io = AsyncCheckpointIO(base)
    io.save_checkpoint({}, tmp_path / "old.ckpt")
    io.teardown()
    base.fails = True
    io.save_checkpoint({}, tmp_path / "new.ckpt")
    io.remove_checkpoint(tmp_path / "old.ckpt")
    arguments = {"save_checkpoint": ({}, tmp_path / "x"), "load_checkpoint": (tmp_path / "x",), "teardown": ()}
    with pytest.raises(OSError, match="No space"):
        getattr(io, next_call)(*arguments[next_call])
    io.teardown()
    assert [path.name for path in tmp_path.iterdir()] == ["old.ckpt"]


def test_a_run_writes_the_same_files_and_goes_on_from_them(lab: Any, tmp_path: Path) -> None:
    ends = []
    for name, plugins in (("plain", None), ("background", [AsyncCheckpointIO()])):
        folder = tmp_path / name
        options = {**lab.QUIET, "enable_checkpointing": True, "plugins": plugins}
        for epochs, path in ((2, None), (3, folder / "last.ckpt")):
            saves = ModelCheckpoint(folder, monitor="train_loss", save_top_k=2, save_last=True)
            torch.manual_seed(4)
            module = lab.classifier(L)()
            L.Trainer(**options, max_epochs=epochs, callbacks=[saves]).fit(module, lab.loader(), ckpt_path=path)
        ends.append((sorted(path.name for path in folder.iterdir()), lab.told(module.state_dict())))
    assert ends[0] == ends[1]
