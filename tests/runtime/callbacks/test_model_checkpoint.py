"""ModelCheckpoint against Lightning's: the same files, the same ranking, the same state."""

from __future__ import annotations

import os
import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint as Oracle

from torchlift import checkpoint_io
from torchlift.callbacks import ModelCheckpoint
from torchlift.utilities.exceptions import MisconfigurationException

LOSS = {"val_loss": [3.0, 1.0, 2.0, 0.5, 0.75, 0.25, 4.0, 0.1, 0.2, 5.0, 0.05, 0.3]}

CONFIGURATIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"monitor": "val_loss"}, {}),
    ({"monitor": "val_loss", "save_top_k": 2, "filename": "{epoch:02d}-{val_loss:.2f}"}, {}),
    ({"monitor": "val_loss", "save_top_k": 3, "mode": "max", "filename": "best"}, {}),
    ({"monitor": "val_loss", "save_top_k": -1, "filename": "e{epoch}-{step}-{missing}"}, {}),
    ({"monitor": "val_loss", "filename": "{epoch}-{val_loss:.1f}", "auto_insert_metric_name": False}, {}),
    ({"save_top_k": -1}, {}),
    ({"save_top_k": 0}, {}),
    ({"save_top_k": 0, "save_last": True}, {}),
    ({"monitor": "val_loss", "save_last": True}, {}),
    ({"monitor": "val_loss", "save_last": "link"}, {}),
    ({"monitor": "val_loss", "save_last": True, "save_top_k": 2, "filename": "same"}, {}),
    ({"filename": "fixed", "enable_version_counter": False, "save_top_k": -1}, {}),
    ({"every_n_train_steps": 3, "save_top_k": -1}, {}),
    ({"every_n_train_steps": 3, "save_last": True}, {}),
    ({"monitor": "val_loss", "every_n_train_steps": 3, "save_top_k": 2}, {}),
    ({"monitor": "val_loss", "every_n_train_steps": 3, "save_top_k": 2, "save_on_train_epoch_end": False}, {}),
    ({"monitor": "val_loss", "every_n_train_steps": 2, "save_top_k": 2}, {"val_check_interval": 2}),
    ({"every_n_epochs": 2, "save_top_k": -1, "save_last": True}, {}),
    ({"monitor": "val_loss", "save_top_k": 2}, {"check_val_every_n_epoch": 2}),
    ({"monitor": "val_loss", "save_top_k": 2, "filename": "{val_loss:.2f}"}, {"val_check_interval": 2}),
    ({"monitor": "val_loss", "save_on_train_epoch_end": True, "save_top_k": 2}, {"val_check_interval": 2}),
    ({"train_time_interval": timedelta(0), "save_top_k": -1}, {}),
    ({"save_top_k": -1}, {"accumulate_grad_batches": 3}),
    ({"save_last": True, "save_top_k": -1}, {"max_epochs": -1, "max_steps": 7}),
    ({"save_last": True, "save_top_k": -1}, {"limit_val_batches": 0}),
    ({}, {"fast_dev_run": True}),
]


def outcome(callback: Any, folder: Path) -> dict[str, Any]:
    """What a user can see of the run: the files, where links lead, and the callback's attributes."""
    paths = sorted(folder.rglob("*"))
    state = callback.state_dict()
    return {
        "files": [str(p.relative_to(folder)) for p in paths if p.is_file()],
        "links": {p.name: os.readlink(p) for p in paths if p.is_symlink()},
        "state": {name: str(value).replace(str(folder), "") for name, value in state.items()},
        "key": callback.state_key,
    }


@pytest.mark.parametrize(("options", "trainer"), CONFIGURATIONS, ids=str)
def test_writes_the_files_that_lightning_writes(
    harness: Any, kind: str, tmp_path: Path, options: dict[str, Any], trainer: dict[str, Any]
) -> None:
    seen = []
    for one in ("lightning", kind):
        folder = tmp_path / one
        callback = harness.callback_class(one, "ModelCheckpoint")(dirpath=folder, **options)
        harness.run(one, [callback], tmp_path, LOSS, **({"max_epochs": 5} | trainer))
        seen.append(outcome(callback, folder))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "options",
    [
        {"every_n_train_steps": 3, "save_top_k": -1, "save_last": True},
        {"every_n_train_steps": 3, "monitor": "val_loss", "save_top_k": 2},
        {"save_top_k": -1},
    ],
    ids=str,
)
def test_manual_optimization_makes_no_difference(
    harness: Any, kind: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    seen = []
    for one in ("lightning", kind):
        callback = harness.callback_class(one, "ModelCheckpoint")(dirpath=tmp_path / one, **options)
        harness.run(one, [callback], tmp_path, LOSS, max_epochs=3, module_options={"manual": True})
        seen.append(outcome(callback, tmp_path / one))
    assert seen[0] == seen[1]


def test_a_dry_run_writes_nothing(harness: Any, kind: str, tmp_path: Path) -> None:
    # Lightning 2.6.6 announces the same, and yet writes last.ckpt.
    callback = harness.callback_class(kind, "ModelCheckpoint")(tmp_path / "out", save_last=True)
    harness.run(kind, [callback], tmp_path, LOSS, fast_dev_run=True)
    assert not (tmp_path / "out").exists()


def test_finds_its_folder_as_lightning_does(harness: Any, kind: str, tmp_path: Path) -> None:
    seen = []
    for one in ("lightning", kind):
        callback = harness.callback_class(one, "ModelCheckpoint")()
        harness.run(one, [callback], tmp_path / one, LOSS, max_epochs=1)
        seen.append(str(callback.dirpath).replace(one, ""))
    assert seen[0] == seen[1]


def test_a_folder_may_be_a_url(harness: Any, kind: str, tmp_path: Path) -> None:
    import fsspec

    memory, seen = fsspec.filesystem("memory"), []
    for one in ("lightning", kind):
        url = f"memory://{tmp_path.name}/{one}"
        options = {"dirpath": url, "monitor": "val_loss", "save_top_k": 2, "save_last": True, "filename": "{epoch}"}
        callback = harness.callback_class(one, "ModelCheckpoint")(**options)
        harness.run(one, [callback], tmp_path, LOSS, max_epochs=4)
        files = [path.replace(f"/{one}/", "/") for path in sorted(memory.find(url))]
        with memory.open(callback.best_model_path, "rb") as file:
            seen.append((files, callback.best_model_path.replace(one, ""), torch.load(file)["global_step"]))
        if one == "torchlift":
            assert checkpoint_io.load(callback.best_model_path)["global_step"] == seen[-1][-1]
            assert callback._find_last_checkpoints(None) == {f"{url}/last.ckpt"}
    assert seen[0] == seen[1] and len(seen[0][0]) == 3
    with pytest.raises(ValueError, match=r"only supported for local file paths, not 'memory://"):
        harness.run(kind, [harness.callback_class(kind, "ModelCheckpoint")(url, save_last="link")], tmp_path, LOSS)


def test_a_run_that_resumes_continues_the_ranking(harness: Any, kind: str, tmp_path: Path) -> None:
    seen = []
    for one in ("lightning", kind):
        folder = tmp_path / one
        options = {"dirpath": folder, "monitor": "val_loss", "save_top_k": 2, "save_last": True, "filename": "{epoch}"}
        make = harness.callback_class(one, "ModelCheckpoint")
        harness.run(one, [make(**options)], tmp_path, LOSS, max_epochs=3)
        resumed = make(**options)
        script = {"val_loss": LOSS["val_loss"][3:]}
        harness.run(one, [resumed], tmp_path, script, max_epochs=6, ckpt_path=str(folder / "last.ckpt"))
        seen.append(outcome(resumed, folder))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("first", "second"), [("lightning", "torchlift"), ("torchlift", "lightning")])
def test_either_runtime_continues_the_others_run(harness: Any, tmp_path: Path, first: str, second: str) -> None:
    folder, seen = tmp_path / "run", []
    options = {"dirpath": folder, "monitor": "val_loss", "save_top_k": 2, "save_last": True, "filename": "{epoch}"}

    def run(kind: str, script: list[float], **trainer: Any) -> Any:
        # the state of a callback is found by its class's name and arguments
        callbacks = [harness.callback_class(kind, name)(**o) for name, o in (("ModelCheckpoint", options), stopping)]
        return callbacks, harness.run(kind, callbacks, tmp_path, {"val_loss": script}, max_epochs=9, **trainer)

    stopping = ("EarlyStopping", {"monitor": "val_loss", "patience": 2, "min_delta": 0.3})
    run(first, LOSS["val_loss"], limit_train_batches=2, max_steps=6)
    shutil.copytree(folder, tmp_path / "kept")
    for one in (first, second):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "kept", folder)
        (checkpoint, early), trained = run(one, LOSS["val_loss"][3:], ckpt_path=str(folder / "last.ckpt"))
        weight = trained.lightning_module.layer.weight.item()
        seen.append((outcome(checkpoint, folder), early.wait_count, early.stopped_epoch, trained.global_step, weight))
    assert seen[0] == seen[1] and seen[0][2] > 0


def test_the_ranking_starts_anew_in_another_folder(tmp_path: Path) -> None:
    first, second = ModelCheckpoint(tmp_path / "a"), ModelCheckpoint(tmp_path / "b")
    first.best_model_path, first.kth_best_model_path = "best.ckpt", "worst.ckpt"
    with pytest.warns(UserWarning, match="ranking starts anew"):
        second.load_state_dict(first.state_dict())
    assert (second.best_model_path, second.kth_best_model_path) == ("best.ckpt", "")


def test_a_metric_that_was_not_logged_is_an_error_that_names_those_that_were(
    harness: Any, kind: str, tmp_path: Path
) -> None:
    callback = harness.callback_class(kind, "ModelCheckpoint")(dirpath=tmp_path, monitor="val_los")
    with pytest.raises(Exception, match=r"monitor='val_los'.*'val_loss', 'epoch', 'step'") as caught:
        harness.run(kind, [callback], tmp_path, LOSS, max_epochs=1)
    assert type(caught.value) is MisconfigurationException


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "best"}, "min, max but got best"),
        ({"save_top_k": -2}, "save_top_k=-2"),
        ({"every_n_train_steps": -1}, "every_n_train_steps=-1"),
        ({"every_n_epochs": -1}, "every_n_epochs=-1"),
        ({"save_top_k": 3}, "no metric to rank by"),
        ({"every_n_train_steps": 1, "every_n_epochs": 1}, "mutually exclusive"),
        ({"every_n_train_steps": 1, "train_time_interval": timedelta(1)}, "mutually exclusive"),
    ],
    ids=str,
)
def test_arguments_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        ModelCheckpoint(**options)


@given(
    template=st.lists(
        st.sampled_from(["{epoch}", "{epoch:03d}", "-", "{val_loss:.3f}", "{val/acc:.1f}", "x", "{step}", "{a.b:.0f}"]),
        unique=True,
    ).map("".join),
    insert=st.booleans(),
    version=st.none() | st.integers(1, 9),
)
def test_names_files_as_lightning_does(template: str, insert: bool, version: int | None) -> None:
    metrics = {"epoch": 7, "step": 12, "val_loss": torch.tensor(0.123456), "val/acc": torch.tensor(1.25)}
    names = [
        make(dirpath="d", filename=template, auto_insert_metric_name=insert).format_checkpoint_name(
            dict(metrics), ver=version
        )
        for make in (Oracle, ModelCheckpoint)
    ]
    assert names[0] == names[1]


def test_a_template_reaches_no_attribute_of_a_value() -> None:
    assert ModelCheckpoint(filename="{epoch.real}").format_checkpoint_name({"epoch": 7}) == "epoch.real=0.ckpt"


def test_an_exception_leaves_a_checkpoint_when_asked_to(harness: Any, kind: str, tmp_path: Path) -> None:
    seen = []
    for one in ("lightning", kind):
        folder = tmp_path / one
        callback = harness.callback_class(one, "ModelCheckpoint")(folder, save_on_exception=True, save_last=True)
        with pytest.raises(IndexError):
            harness.run(one, [callback], tmp_path, {"val_loss": [1.0]}, max_epochs=3)
        seen.append(outcome(callback, folder))
    assert seen[0] == seen[1]


def test_best_k_models_can_be_written_as_yaml(tmp_path: Path) -> None:
    import yaml

    callback = ModelCheckpoint(tmp_path)
    callback.best_k_models = {f"{tmp_path}/epoch={i}.ckpt": torch.tensor(random.random()) for i in range(3)}
    callback.to_yaml()
    written = yaml.safe_load((tmp_path / "best_k_models.yaml").read_text())
    assert written == {path: score.item() for path, score in callback.best_k_models.items()}


def test_loggers_are_told_of_each_save(harness: Any, kind: str, tmp_path: Path) -> None:
    import lightning.pytorch.loggers

    import torchlift.loggers

    seen = []
    for one in ("lightning", kind):
        base = torchlift.loggers.DummyLogger if one == "torchlift" else lightning.pytorch.loggers.logger.DummyLogger
        told: list[Any] = []

        class Told(base):  # type: ignore[misc,valid-type]
            def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
                paths = checkpoint_callback.best_model_path, checkpoint_callback.last_model_path
                self.told.append([Path(path).name for path in paths])

        logger = Told()
        logger.told = told
        callback = harness.callback_class(one, "ModelCheckpoint")(tmp_path / one, monitor="val_loss", save_last=True)
        harness.run(one, [callback], tmp_path, LOSS, max_epochs=4, logger=logger)
        seen.append(told)
    assert seen[0] == seen[1] and len(seen[0]) == 6
