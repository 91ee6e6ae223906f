"""Checkpoints of old versions of Lightning: brought to the same form as by real lightning, and resumed from."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities.migration import migrate_checkpoint as theirs
from lightning.pytorch.utilities.migration.migration import _get_fit_loop_initial_state_1_6_0

import torchlift as L
from torchlift.utilities.migration import migrate_checkpoint, pl_legacy_patch

SAVED = "ModelCheckpoint{'monitor': None, 'mode': 'min', 'save_on_train_epoch_end': True}"


def old(version: str, **contents: Any) -> dict[str, Any]:
    return {"pytorch-lightning_version": version, "epoch": 1, "global_step": 7, "state_dict": {}, **contents}


def with_loops(version: str) -> dict[str, Any]:
    loops = {"fit_loop": _get_fit_loop_initial_state_1_6_0()}
    for name in ("validate_loop", "test_loop", "predict_loop"):
        loops[name] = {"dataloader_progress": {}, "epoch_loop.state_dict": {}, "epoch_loop.batch_progress": {"a": 1}}
    return old(
        version, loops=loops, callbacks={SAVED: {"best_model_path": "x"}, "Mine": {"a": 1}}, amp_scaling_state={}
    )


OLD = {
    "0.9": old("0.9.0", checkpoint_callback_best_model_path="x", early_stop_callback_wait=3),
    "1.4": old("1.4.0", callbacks={}),
    "1.6.4": with_loops("1.6.4"),
    "1.8": with_loops("1.8.6"),
    "2.6": old("2.6.0", callbacks={SAVED: {}}),
}


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("target", [None, "1.6.0"])
@pytest.mark.filterwarnings("ignore")
def test_the_form_is_that_of_real_lightning(version: str, target: str | None) -> None:
    mine, applied = migrate_checkpoint(copy.deepcopy(OLD[version]), target)
    yours, applied_there = theirs(copy.deepcopy(OLD[version]), target)
    for found in (mine, yours):  # the oldest states are kept by class, which is a class of either package
        found["callbacks"] = {getattr(key, "__name__", key): state for key, state in found.get("callbacks", {}).items()}
    assert mine == yours
    assert list(applied) == list(applied_there)


def test_a_run_goes_on_from_an_old_checkpoint(lab: Any, tmp_path: Path) -> None:
    """One without counters of the loops goes on as in Lightning."""
    first = L.Trainer(**lab.QUIET, max_epochs=1)
    first.fit(lab.classifier(L)(), lab.loader())
    first.save_checkpoint(tmp_path / "old.ckpt")
    contents = torch.load(tmp_path / "old.ckpt")
    for key in ("loops", "torchlift"):
        del contents[key]
    contents["pytorch-lightning_version"] = "1.4.9"
    torch.save(contents, tmp_path / "old.ckpt")
    ends = []
    for R in lab.RUNTIMES.values():
        trainer = R.Trainer(**lab.QUIET, max_epochs=3)
        trainer.fit(lab.classifier(R)(), lab.loader(), ckpt_path=str(tmp_path / "old.ckpt"))
        ends.append((trainer.current_epoch, trainer.global_step))
    assert ends[0] == ends[1]


def test_classes_of_lightning_are_found_here() -> None:
    content = b"cpytorch_lightning.callbacks.early_stopping\nEarlyStopping\n."
    with pl_legacy_patch():
        assert pickle.Unpickler(io.BytesIO(content)).load() is L.pytorch.callbacks.EarlyStopping
    assert pickle.Unpickler.__module__ in ("_pickle", "pickle")
