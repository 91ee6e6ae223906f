"""The Trainer's arguments: defaults from the environment, limits in all their forms, schedules, reuse."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import torchlift as L
from torchlift.callbacks import GradientAccumulationScheduler, ModelCheckpoint, Timer
from torchlift.utilities.exceptions import MisconfigurationException

BOTH = {"torchlift": L, "lightning": lightning}


# -- the environment --------------------------------------------------------------------------------------------------

VARIABLES: dict[str, tuple[str, str, Any]] = {
    "a number": ("MAX_EPOCHS", "3", 3),
    "a fraction": ("LIMIT_VAL_BATCHES", "0.25", 0.25),
    "a word": ("GRADIENT_CLIP_ALGORITHM", "value", "value"),
    "a literal": ("MIN_STEPS", "7", 7),
    "nothing": ("MIN_EPOCHS", "", None),
}


@pytest.mark.parametrize("case", VARIABLES)
@pytest.mark.parametrize("runtime", BOTH)
def test_defaults_from_the_environment(lab: Any, monkeypatch: Any, runtime: str, case: str) -> None:
    name, text, value = VARIABLES[case]
    monkeypatch.setenv(f"PL_TRAINER_{name}", text)
    assert getattr(BOTH[runtime].Trainer(**lab.QUIET), name.lower()) == value


@pytest.mark.parametrize("runtime", BOTH)
def test_what_is_given_wins_over_the_environment(lab: Any, monkeypatch: Any, runtime: str) -> None:
    monkeypatch.setenv("PL_TRAINER_MAX_EPOCHS", "3")
    monkeypatch.setenv("PL_TRAINER_MAX_STEPS", "9")
    trainer = BOTH[runtime].Trainer(**lab.QUIET, max_epochs=1)
    assert (trainer.max_epochs, trainer.max_steps) == (1, 9)


def test_a_derived_trainer_has_variables_of_its_own(lab: Any, monkeypatch: Any) -> None:
    class Coach(L.Trainer):
        """Has nothing of its own."""

    monkeypatch.setenv("PL_TRAINER_MAX_EPOCHS", "3")
    monkeypatch.setenv("PL_COACH_MAX_STEPS", "9")
    coach = Coach(**lab.QUIET)
    assert (coach.max_epochs, coach.max_steps) == (None, 9)


def test_arguments_have_names() -> None:
    with pytest.raises(TypeError, match="positional"):
        L.Trainer("cpu")
    with pytest.raises(TypeError, match="max_epoch'"):
        L.Trainer(max_epoch=3)


# -- accumulation -----------------------------------------------------------------------------------------------------


def test_a_schedule_of_accumulation(differential: Any, lab: Any) -> None:
    """``{epoch: batches}`` is what lightning does with the callback of that name."""
    schedule = {0: 3, 1: 1, 2: 4}

    def experiment(R: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(R), observed)()
        if R is L:
            options: dict[str, Any] = {"accumulate_grad_batches": schedule}
        else:
            options = {"callbacks": lightning.pytorch.callbacks.GradientAccumulationScheduler(schedule)}
        trainer = R.Trainer(**lab.QUIET, **options, max_epochs=4)
        trainer.fit(module, lab.loader())
        return module, trainer, [trainer.global_step, trainer.accumulate_grad_batches]

    differential.same(experiment)


def test_the_estimate_follows_the_schedule(lab: Any) -> None:
    estimates: list[float] = []

    def configure(self: Any) -> Any:
        estimates.append(self.trainer.estimated_stepping_batches)
        return torch.optim.SGD(self.parameters(), 0.1)

    trainer = L.Trainer(**lab.QUIET, accumulate_grad_batches={0: 3, 2: 4}, max_epochs=4)
    trainer.fit(lab.classifier(L, configure_optimizers=configure)(), lab.loader())
    assert estimates == [trainer.global_step] == [2 * math.ceil(7 / 3) + 2 * math.ceil(7 / 4)]


WRONG_ACCUMULATION: dict[str, tuple[dict[str, Any], str]] = {
    "zero": ({"accumulate_grad_batches": 0}, "int >= 1"),
    "a float": ({"accumulate_grad_batches": 1.5}, "int >= 1"),
    "a negative epoch": ({"accumulate_grad_batches": {-1: 2}}, "-1"),
    "a factor of zero": ({"accumulate_grad_batches": {0: 0}}, "0"),
    "twice": (
        {"accumulate_grad_batches": {0: 2}, "callbacks": GradientAccumulationScheduler({0: 2})},
        "set both `accumulate_grad_batches`",
    ),
}


@pytest.mark.parametrize("case", WRONG_ACCUMULATION)
def test_wrong_accumulation(lab: Any, case: str) -> None:
    options, words = WRONG_ACCUMULATION[case]
    with pytest.raises(MisconfigurationException, match=words):
        L.Trainer(**lab.QUIET, **options)


# -- limits -----------------------------------------------------------------------------------------------------------

LIMITS: list[Any] = [None, 0, 1, 3, 100, 0.0, 0.3, 1.0, 5.0, True, False, -1, 1.5, -0.5]


@pytest.mark.parametrize("given", LIMITS)
@pytest.mark.parametrize("stage", ["train", "val", "test", "predict"])
def test_limits_mean_what_they_mean_in_lightning(lab: Any, stage: str, given: Any) -> None:
    found = []
    for R in BOTH.values():
        try:
            trainer = R.Trainer(**lab.QUIET, **{f"limit_{stage}_batches": given})
            found.append((value := getattr(trainer, f"limit_{stage}_batches"), type(value)))
        except Exception as error:
            found.append(type(error).__name__)
    assert found[0] == found[1]


@pytest.mark.parametrize("duration", ["00:00:01:30", {"minutes": 1, "seconds": 30}, timedelta(seconds=90)])
def test_max_time_makes_a_timer(lab: Any, duration: Any) -> None:
    trainer = L.Trainer(**lab.QUIET, max_time=duration)
    [timer] = [one for one in trainer.callbacks if isinstance(one, Timer)]
    assert timer._duration == 90.0
    assert trainer.max_epochs is None


def test_validation_comes_again_only_after_the_interval(lab: Any, monkeypatch: Any) -> None:
    """A clock that ticks once per training batch: validation every four ticks, counted from the last one."""
    from torchlift import loop

    now, when = 0.0, []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        nonlocal now
        now += 1
        return self.loss(batch)

    monkeypatch.setattr(loop, "time", Clock)
    monkeypatch.setattr("torchlift.training_data.time", Clock)
    methods = {"training_step": training_step, "on_validation_start": lambda self: when.append(now)}
    trainer = L.Trainer(
        **lab.QUIET,
        max_epochs=2,
        val_check_interval="00:00:00:04",
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
    )
    trainer.fit(lab.classifier(L, **methods)(), lab.loader(), lab.loader(4, shuffle=False))
    assert when == [4.0, 8.0, 12.0]


def test_estimates(lab: Any) -> None:
    class Stream(IterableDataset):
        def __iter__(self) -> Any:
            return iter(torch.randn(12, 6))

    cases: dict[str, tuple[dict[str, Any], Any, Any]] = {
        "forever": ({"max_epochs": -1}, lab.loader(), float("inf")),
        "steps alone": ({"max_steps": 5}, lab.loader(), 5),
        "epochs": ({"max_epochs": 3}, lab.loader(), 21),
        "both": ({"max_epochs": 3, "max_steps": 10}, lab.loader(), 10),
        "limited": ({"max_epochs": 3, "limit_train_batches": 4}, lab.loader(), 12),
        "accumulated": ({"max_epochs": 3, "accumulate_grad_batches": 2}, lab.loader(), 12),
        "a stream": ({"max_epochs": 3, "max_steps": 10}, DataLoader(Stream(), batch_size=4), 10),
    }
    for name, (options, loader, expected) in cases.items():
        for R in BOTH.values():
            estimates: list[float] = []

            def configure(self: Any, estimates: Any = estimates) -> Any:
                estimates.append(self.trainer.estimated_stepping_batches)
                self.trainer.should_stop = True
                return torch.optim.SGD(self.parameters(), 0.1)

            module = lab.classifier(R, configure_optimizers=configure)()
            R.Trainer(**lab.QUIET, **options).fit(module, loader)
            assert estimates == [expected], name


# -- anomalies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", BOTH)
def test_torch_finds_the_nan(lab: Any, runtime: str) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch) * (float("nan") if batch_idx == 2 else 1)

    trainer = BOTH[runtime].Trainer(**lab.QUIET, max_epochs=1, detect_anomaly=True)
    module = lab.classifier(BOTH[runtime], training_step=training_step)()
    with pytest.raises(RuntimeError, match="returned nan values") as caught, pytest.warns(UserWarning):
        trainer.fit(module, lab.loader())
    if runtime == "torchlift":
        assert "epoch 0, batch 2" in caught.value.__notes__[0]


def test_a_nan_that_no_gradient_shows(lab: Any) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch) + (float("nan") if batch_idx == 2 else 0)

    module = lab.classifier(L, training_step=training_step)()
    with pytest.raises(RuntimeError, match="loss of nan in epoch 0, batch 2"):
        L.Trainer(**lab.QUIET, max_epochs=1, detect_anomaly=True).fit(module, lab.loader())
    L.Trainer(**lab.QUIET, max_epochs=1).fit(module, lab.loader())  # nobody looks
    assert not torch.is_anomaly_enabled()


# -- fast_dev_run, barebones ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, 1, 3])
def test_fast_dev_run_writes_nothing(lab: Any, tmp_path: Any, given: Any) -> None:
    checkpoint = ModelCheckpoint(dirpath=tmp_path / "kept")
    trainer = L.Trainer(accelerator="cpu", fast_dev_run=given, default_root_dir=tmp_path, callbacks=checkpoint)
    module = lab.classifier(L, test_step=lambda self, batch, batch_idx: self.log("x", 1.0))()
    trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
    trainer.test(module, lab.loader(20, shuffle=False))
    assert trainer.global_step == trainer.max_steps == int(given)
    assert trainer.num_test_batches == [int(given)]
    assert (trainer.max_epochs, trainer.num_sanity_val_steps, trainer.val_check_interval) == (1, 0, 1.0)
    assert type(trainer.logger).__name__ == "DummyLogger"
    assert not (tmp_path / "kept").exists() and not (tmp_path / "lightning_logs").exists()


def test_barebones_says_what_is_off(lab: Any, capsys: Any) -> None:
    trainer = L.Trainer(accelerator="cpu", barebones=True, max_steps=1)
    assert "running in `Trainer(barebones=True)` mode" in capsys.readouterr().err
    assert (trainer.loggers, trainer.callbacks, trainer.log_every_n_steps, trainer.num_sanity_val_steps) == (
        [],
        [],
        0,
        0,
    )
    module = lab.classifier(L)()
    with pytest.warns(UserWarning, match=r"barebones=True\)` is configured"):
        trainer.fit(module, lab.loader())


# -- one Trainer, several runs ----------------------------------------------------------------------------------------


def test_fit_again(differential: Any, lab: Any) -> None:
    """A second fit of a finished Trainer does nothing; with more epochs it goes on counting."""

    def experiment(R: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(R), observed)()
        trainer = R.Trainer(**lab.QUIET, max_epochs=1)
        loaders = lab.loader(), lab.loader(10, shuffle=False)
        trainer.fit(module, *loaders)
        trainer.fit(module, *loaders)
        trainer.fit_loop.max_epochs = 3
        trainer.fit(module, *loaders)
        done = [trainer.current_epoch, trainer.global_step, trainer.fit_loop.epoch_progress.current.completed]
        trainer.validate(module, loaders[1])
        other = lab.recording(lab.classifier(R), observed)()
        trainer.fit_loop.max_epochs = 4
        trainer.fit(other, *loaders)
        return other, trainer, [done, trainer.current_epoch, trainer.state.status.value, trainer.fit_loop.max_epochs]

    differential.same(experiment)


def test_fit_again_with_a_schedule(lab: Any) -> None:
    trainer = L.Trainer(**lab.QUIET, max_epochs=1, accumulate_grad_batches={0: 2, 1: 7})
    module = lab.classifier(L)()
    trainer.fit(module, lab.loader())
    assert trainer.global_step == 4
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module, lab.loader())
    assert trainer.global_step == 4 + 1 + 1


# -- callbacks of other packages --------------------------------------------------------------------------------------


def test_callbacks_from_an_entry_point(lab: Any, monkeypatch: Any) -> None:
    class Guest(L.Callback):
        """Comes with another package."""

    class Entry:
        name = "guests"

        def __init__(self, made: Any) -> None:
            self.load = lambda: lambda: made

    for made, count in ((Guest(), 1), ([Guest(), Guest()], 2), ([], 0)):
        monkeypatch.setattr("torchlift.defaults.entry_points", lambda group, made=made: [Entry(made)])
        assert sum(isinstance(one, Guest) for one in L.Trainer(**lab.QUIET).callbacks) == count


# -- optimizers that do not do as they should -------------------------------------------------------------------------


class Forgetful(torch.optim.SGD):
    """Takes a closure and does not call it."""

    def step(self, closure: Any = None) -> Any:
        return super().step()


class WithoutGradients(torch.optim.AdamW):
    """Calls its closure where gradients are off, as some optimizers outside torch do."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


CLOSURES: dict[str, dict[str, Any]] = {
    "optimizer_step": {"optimizer_step": lambda self, epoch, batch_idx, optimizer, optimizer_closure: None},
    "the optimizer": {"configure_optimizers": lambda self: Forgetful(self.parameters(), 0.1)},
}


@pytest.mark.parametrize("case", CLOSURES)
@pytest.mark.parametrize("runtime", BOTH)
def test_a_closure_that_is_not_called(lab: Any, runtime: str, case: str) -> None:
    module = lab.classifier(BOTH[runtime], **CLOSURES[case])()
    with pytest.raises(Exception, match="The closure hasn't been executed") as caught:
        BOTH[runtime].Trainer(**lab.QUIET, max_steps=1).fit(module, lab.loader())
    assert caught.type.__name__ == "MisconfigurationException"


def test_the_closure_has_gradients(differential: Any, lab: Any) -> None:
    methods = {"configure_optimizers": lambda self: WithoutGradients(self.parameters(), 0.1)}

    def experiment(R: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(R, **methods), observed)()
        trainer = R.Trainer(**lab.QUIET, max_epochs=1)
        trainer.fit(module, lab.loader())
        return module, trainer, None

    differential.same(experiment)


# -- hooks of older versions ------------------------------------------------------------------------------------------


def nothing(self: Any, *_: Any) -> None:
    """A hook."""


@pytest.mark.parametrize("name", ["training_epoch_end", "validation_epoch_end", "test_epoch_end"])
@pytest.mark.parametrize("entry", ["fit", "validate", "test"])
def test_removed_hooks(lab: Any, entry: str, name: str) -> None:
    """Each entry point refuses the hooks that it called, and no other."""
    found = []
    for R in BOTH.values():
        module = lab.classifier(R, test_step=nothing, **{name: nothing})()
        try:
            getattr(R.Trainer(**lab.QUIET, max_steps=1), entry)(module, lab.loader(8, shuffle=False))
            found.append(None)
        except NotImplementedError as error:
            found.append(str(error).partition(". ")[0])
    assert found[0] == found[1]


def test_the_older_name_of_configure_model(lab: Any) -> None:
    called = []
    methods = {"configure_sharded_model": lambda self: called.append(1)}
    trainer = L.Trainer(**lab.QUIET, max_steps=1)
    with pytest.warns(DeprecationWarning, match="configure_sharded_model` which is deprecated"):
        trainer.fit(lab.classifier(L, **methods)(), lab.loader())
    assert called == [1]
    with pytest.raises(RuntimeError, match=r"Both `Classifier\.configure_model`"):
        trainer.fit(lab.classifier(L, **methods, configure_model=nothing)(), lab.loader())
