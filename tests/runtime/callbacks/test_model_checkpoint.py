"""ModelCheckpoint against Lightning's: the same files, the same ranking, the same state."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
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
    with pytest.raises(ValueError, match=r"needs a local dirpath, not 'memory://"):
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
        ({"mode": "best"}, "'min' or 'max'"),
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


# -- the invariants, with a trainer that does nothing but write files ------------------------------------------------


class Disk:
    """The part of a Trainer that ModelCheckpoint needs; ``fail`` makes the next write fail half-way."""

    def __init__(self) -> None:
        self.callback_metrics: dict[str, torch.Tensor] = {}
        self.current_epoch = self.global_step = 0
        self.state = SimpleNamespace(fn="fit")
        self.sanity_checking = self.fast_dev_run = False
        self.is_global_zero, self.loggers, self.ckpt_path = True, [], None
        self.num_val_batches, self.check_val_every_n_epoch, self.val_check_interval = 1, 1, 1.0
        self.fail: BaseException | None = None
        self.strategy = SimpleNamespace(
            reduce_boolean_decision=lambda decision, all=True: decision,
            broadcast=lambda value: value,
            barrier=lambda: None,
            remove_checkpoint=os.remove,
        )

    def save_checkpoint(self, path: str, weights_only: bool) -> None:
        Path(path).parent.mkdir(exist_ok=True)
        if self.fail:
            raise self.fail
        Path(path).write_text(f"{self.callback_metrics['m'].item()}")

    def epoch(self, callback: ModelCheckpoint, value: float) -> None:
        self.callback_metrics["m"] = torch.tensor(value)
        self.global_step += 1
        callback.on_train_epoch_end(self, None)  # type: ignore[arg-type]
        self.current_epoch += 1


@given(
    values=st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=20),
    k=st.integers(1, 5),
    mode=st.sampled_from(["min", "max"]),
    filename=st.sampled_from([None, "same", "{epoch}"]),
)
def test_exactly_the_k_best_are_kept(
    tmp_path_factory: Any, values: list[float], k: int, mode: str, filename: str | None
) -> None:
    folder = tmp_path_factory.mktemp("top")
    disk, callback = Disk(), ModelCheckpoint(folder, filename, monitor="m", save_top_k=k, mode=mode)
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    for value in values:
        disk.epoch(callback, value)
    best = sorted(values, reverse=mode == "max")[:k]
    assert sorted(float(p.read_text()) for p in folder.iterdir()) == sorted(best)
    assert {path: score.item() for path, score in callback.best_k_models.items()} == {
        str(p): float(p.read_text()) for p in folder.iterdir()
    }
    assert float(Path(callback.best_model_path).read_text()) == best[0]
    if len(values) >= k:
        assert float(Path(callback.kth_best_model_path).read_text()) == best[-1]


def test_a_score_that_is_not_a_number_never_displaces_one_that_is(tmp_path: Path) -> None:
    disk, callback = Disk(), ModelCheckpoint(tmp_path, monitor="m")
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    for value in (float("nan"), 2.0, float("nan")):
        disk.epoch(callback, value)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["2.0"]


@pytest.mark.parametrize("save_last", [None, True, "link"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
@pytest.mark.parametrize("options", [{"monitor": "m"}, {"monitor": "m", "save_top_k": 2}, {}], ids=str)
def test_a_write_that_fails_leaves_files_and_state_as_they_were(
    tmp_path: Path, save_last: Any, failure: BaseException, options: dict[str, Any]
) -> None:
    disk, callback = Disk(), ModelCheckpoint(tmp_path, save_last=save_last, **options)
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    for value in (3.0, 2.0):
        disk.epoch(callback, value)
    files = {p.name: p.read_text() for p in tmp_path.iterdir()}
    state = str(callback.state_dict())
    disk.fail = failure
    with pytest.raises(type(failure)):
        disk.epoch(callback, 1.0)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == files
    assert str(callback.state_dict()) == state
    disk.fail = None
    disk.epoch(callback, 0.5)  # and the run can go on
    assert float(Path(callback.best_model_path).read_text()) == 0.5


def test_the_link_leads_to_the_latest_save_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, callback = Disk(), ModelCheckpoint(tmp_path, save_top_k=-1, save_last="link")
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    disk.epoch(callback, 1.0)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed here")))
    with pytest.raises(OSError, match="killed here"):
        disk.epoch(callback, 2.0)
    assert (tmp_path / "last.ckpt").read_text() == "1.0"


class Dying(Disk):
    """Writes real checkpoints, in a process that is killed before its ``fatal``-th change of the disk."""

    changes = ("os.rename", "os.remove", "os.symlink", "open")

    def __init__(self, fatal: int) -> None:
        super().__init__()
        self.left = fatal
        self.strategy.remove_checkpoint = checkpoint_io.remove

    def watch(self) -> None:
        sys.addaudithook(self.die)

    def die(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in self.changes or (event == "open" and arguments[1] in ("r", "rb", None)):
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def save_checkpoint(self, path: str, weights_only: bool) -> None:
        checkpoint_io.save({"value": self.callback_metrics["m"].item()}, path)


@pytest.mark.parametrize("save_last", [None, True, "link"])
@pytest.mark.parametrize(
    "options", [{"monitor": "m"}, {"monitor": "m", "save_top_k": 2, "filename": "same"}, {}], ids=str
)
def test_a_kill_at_any_moment_leaves_whole_files_and_loses_none(
    tmp_path: Path, save_last: Any, options: dict[str, Any]
) -> None:
    values = [3.0, 2.0, 4.0, 1.0]
    fatal, survived = 0, False
    while not survived:
        fatal += 1
        folder, done = tmp_path / str(fatal), tmp_path / f"done-{fatal}"
        done.write_bytes(b"")
        child = os.fork()
        if not child:
            disk, callback = Dying(fatal), ModelCheckpoint(folder, save_last=save_last, **options)
            callback.setup(disk, None, "fit")  # type: ignore[arg-type]
            report = os.open(done, os.O_WRONLY | os.O_APPEND)
            disk.watch()
            for value in values:
                disk.epoch(callback, value)
                os.write(report, b".")
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        epochs = done.stat().st_size
        found = {p.name: torch.load(p, weights_only=True)["value"] for p in folder.glob("*.ckpt")}
        if epochs:
            best = min(values[:epochs]) if options else values[epochs - 1]
            newer = values[epochs : epochs + 1]
            assert {best, *newer} & set(found.values()), (fatal, found)
            if save_last:
                assert found["last.ckpt"] in values[: epochs + 1], (fatal, found)
    assert fatal > 2 * len(values) - 2 and epochs == len(values)


def test_files_of_others_and_the_one_resumed_from_are_not_removed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "mine", tmp_path / "theirs.ckpt"
    outside.write_text("0")
    disk, callback = Disk(), ModelCheckpoint(folder, monitor="m")
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    callback.best_k_models = {str(outside): torch.tensor(9.0)}
    callback.kth_best_model_path = str(outside)
    disk.epoch(callback, 5.0)
    (resumed,) = folder.iterdir()
    disk.ckpt_path = str(resumed)
    disk.epoch(callback, 4.0)
    assert outside.exists() and resumed.exists() and len(list(folder.iterdir())) == 2


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
