"""The callbacks of a few lines each."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import lightning.pytorch.callbacks as theirs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import torchlift
import torchlift.callbacks as ours
from torchlift.utilities.exceptions import MisconfigurationException

# -- Callback --------------------------------------------------------------------------------------------------------


def test_the_base_class_has_every_hook_of_lightnings_with_its_arguments() -> None:
    for name, function in vars(theirs.Callback).items():
        if (name.startswith("_") and name != "_generate_state_key") or name == "_legacy_state_key":
            continue
        own = inspect.getattr_static(ours.Callback, name)
        if isinstance(function, property):
            assert isinstance(own, property)
        else:
            expected, found = (list(inspect.signature(f).parameters.values()) for f in (function, own))
            assert [(p.name, p.kind, p.default) for p in expected] == [(p.name, p.kind, p.default) for p in found]


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.none() | st.integers() | st.text()))
def test_state_keys_are_lightnings(arguments: dict[str, Any]) -> None:
    class Mine:
        pass

    keys = [type("Mine", (base,), {})()._generate_state_key(**arguments) for base in (theirs.Callback, ours.Callback)]
    assert keys[0] == keys[1]
    assert ours.Callback().state_key == theirs.Callback().state_key


# -- GradientAccumulationScheduler -----------------------------------------------------------------------------------


@given(st.dictionaries(st.integers(0, 9), st.integers(1, 9), min_size=1), st.integers(0, 12))
def test_the_number_of_batches_is_lightnings(scheduling: dict[int, int], epoch: int) -> None:
    expected = theirs.GradientAccumulationScheduler(dict(scheduling)).get_accumulate_grad_batches(epoch)
    assert ours.GradientAccumulationScheduler(scheduling).get_accumulate_grad_batches(epoch) == expected


def test_a_run_accumulates_by_epoch(harness: Any, kind: str, tmp_path: Path) -> None:
    steps = []
    for one in ("lightning", kind):
        scheduler = harness.callback_class(one, "GradientAccumulationScheduler")({1: 2, 2: 4})
        trained = harness.run(one, [scheduler], tmp_path, max_epochs=4, module_options={"validates": False})
        weight = trained.lightning_module.layer.weight.item()
        steps.append((trained.global_step, weight))
    assert steps[0] == steps[1] and steps[0][0] == 4 + 2 + 1 + 1


@pytest.mark.parametrize("scheduling", [{}, {-1: 2}, {0: 0}, {"a": 1}], ids=str)
def test_schedules_without_meaning_are_refused(scheduling: Any) -> None:
    with pytest.raises((TypeError, MisconfigurationException)):
        ours.GradientAccumulationScheduler(scheduling)


def test_accumulating_twice_is_refused(harness: Any, kind: str, tmp_path: Path) -> None:
    scheduler = harness.callback_class(kind, "GradientAccumulationScheduler")({0: 2})
    with pytest.raises(ValueError, match="both say how to accumulate"):
        harness.run(kind, [scheduler], tmp_path, max_epochs=1, accumulate_grad_batches=2)


# -- LambdaCallback --------------------------------------------------------------------------------------------------


def test_functions_are_called_at_their_moments(harness: Any, kind: str, tmp_path: Path) -> None:
    calls: list[Any] = []
    callback = harness.callback_class(kind, "LambdaCallback")(
        on_train_start=lambda trainer, module: calls.append("start"),
        on_train_batch_end=lambda trainer, module, outputs, batch, index: calls.append(index),
        setup=lambda trainer, module, stage: calls.append(str(getattr(stage, "value", stage))),
        on_fit_end=None,
    )
    harness.run(kind, [callback], tmp_path, max_epochs=1)
    assert calls == ["fit", "start", 0, 1, 2, 3]


def test_every_hook_of_lightnings_can_be_given_and_no_other() -> None:
    names = set(inspect.signature(theirs.LambdaCallback.__init__).parameters) - {"self"}
    assert all(getattr(ours.LambdaCallback(**{name: print}), name) is print for name in names)
    with pytest.raises(TypeError, match="there is no hook 'on_train_stop'"):
        ours.LambdaCallback(on_train_stop=print)


# -- OnExceptionCheckpoint -------------------------------------------------------------------------------------------


def test_a_failed_run_leaves_a_checkpoint_and_a_good_one_none(harness: Any, kind: str, tmp_path: Path) -> None:
    callback = harness.callback_class(kind, "OnExceptionCheckpoint")(tmp_path)
    with pytest.raises(IndexError):
        harness.run(kind, [callback], tmp_path, {"loss": [1.0]}, max_epochs=2, enable_checkpointing=True)
    state = torch.load(tmp_path / "on_exception.ckpt", weights_only=True)
    assert state["global_step"] == 8
    harness.run(kind, [callback], tmp_path, {"loss": [1.0]}, max_epochs=1, enable_checkpointing=True)
    assert not (tmp_path / "on_exception.ckpt").exists()
    with pytest.raises(ValueError, match="filename cannot be empty"):
        ours.OnExceptionCheckpoint(tmp_path, "")


def test_fit_goes_on_from_what_a_failed_run_left(harness: Any, tmp_path: Path) -> None:
    ended = []
    for kind in ("lightning", "torchlift"):
        for crash_at in (2, None):
            callback = harness.callback_class(kind, "OnExceptionCheckpoint")(tmp_path / kind)
            trained = harness.run_net(kind, [callback], tmp_path, {"crash_at": crash_at}, enable_checkpointing=True)
            assert (tmp_path / kind / "on_exception.ckpt").exists() is (crash_at is not None)
        path = str(trained.ckpt_path)
        assert path == str(tmp_path / kind / "on_exception.ckpt")
        weights = {name: value.tolist() for name, value in trained.lightning_module.state_dict().items()}
        ended.append((trained.global_step, trained.current_epoch, weights))
    assert ended[0] == ended[1] and ended[0][0] == 20


def test_without_a_failed_run_fit_begins_anew(tmp_path: Path) -> None:
    class Module(torchlift.LightningModule):
        def training_step(self, batch: Any, batch_idx: int) -> Any: ...

        def configure_optimizers(self) -> None: ...

    callback = ours.OnExceptionCheckpoint(tmp_path)
    trainer = torchlift.Trainer(
        callbacks=[callback], max_epochs=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    with pytest.warns(UserWarning, match="there is no last checkpoint available"):
        trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(2, 1)))
    assert trainer.ckpt_path is None and trainer.current_epoch == 1


# -- DeviceStatsMonitor ----------------------------------------------------------------------------------------------


def logged_names(harness: Any, kind: str, tmp_path: Path, monitor: Any, **trainer: Any) -> Any:
    from lightning.pytorch.loggers import CSVLogger

    from torchlift.loggers import CSVLogger as Ours

    logger = (Ours if kind == "torchlift" else CSVLogger)(tmp_path / kind)
    harness.run(kind, [monitor], tmp_path, max_epochs=1, logger=logger, **trainer)
    rows = Path(logger.log_dir, "metrics.csv").read_text().splitlines()
    return rows[0].split(","), len(rows)


def test_the_processors_figures_are_logged_as_lightning_does(
    harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # psutil is an optional package: in its place stands one that gives the same figure each time
    psutil = ModuleType("psutil")
    psutil.cpu_percent = lambda: 12.5  # type: ignore[attr-defined]
    psutil.virtual_memory = psutil.swap_memory = lambda: SimpleNamespace(percent=50.0)  # type: ignore[attr-defined]
    psutil.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("psutil", None)
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    from lightning.pytorch.accelerators import cpu
    from lightning.pytorch.callbacks import device_stats_monitor

    monkeypatch.setattr(cpu, "_PSUTIL_AVAILABLE", True)
    monkeypatch.setattr(device_stats_monitor, "_PSUTIL_AVAILABLE", True)
    seen = []
    for one in ("lightning", "torchlift"):
        monitor = harness.callback_class(one, "DeviceStatsMonitor")()
        seen.append(logged_names(harness, one, tmp_path, monitor, log_every_n_steps=2))
    assert seen[0] == seen[1]
    assert "DeviceStatsMonitor.on_train_batch_end/cpu_percent" in seen[0][0]


def test_what_device_stats_need_is_said(
    harness: Any, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MisconfigurationException, match="Cannot use `DeviceStatsMonitor` callback"):
        harness.run(kind, [harness.callback_class(kind, "DeviceStatsMonitor")()], tmp_path, max_epochs=1)
    monkeypatch.setitem(sys.modules, "psutil", None)
    find = ours.device_stats_monitor.importlib.util.find_spec
    monkeypatch.setattr(
        ours.device_stats_monitor.importlib.util, "find_spec", lambda n, *a: None if n == "psutil" else find(n, *a)
    )
    with pytest.raises(ModuleNotFoundError, match="pip install psutil"):
        logged_names(harness, kind, tmp_path, harness.callback_class(kind, "DeviceStatsMonitor")())
