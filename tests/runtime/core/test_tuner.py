"""Searches for a learning rate and a batch size: the same findings as Lightning's, and no trace of the search."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import torchlift
from torchlift.callbacks import BatchSizeFinder, LearningRateFinder
from torchlift.tuner import Tuner
from torchlift.utilities.exceptions import MisconfigurationException

OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate too much."


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """Every trial collects garbage, which takes long where everything that the tests imported is looked at."""
    gc.freeze()
    yield
    gc.unfreeze()


def tuner_of(L: Any) -> Any:
    return importlib.import_module(f"{'torchlift' if L is torchlift else 'lightning.pytorch'}.tuner").Tuner


def learner(L: Any, lab: Any, **methods: Any) -> Any:
    """A classifier with a learning rate of its own, with weights that are the same on both runtimes."""

    def configure_optimizers(self: Any) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]

    torch.manual_seed(5)
    module = lab.classifier(L, configure_optimizers=configure_optimizers, **methods)()
    module.lr = 0.02
    return module


def sized(L: Any, lab: Any, rows: int = 40, most: int | None = None, **methods: Any) -> Any:
    """A classifier that makes its loaders, and for which memory runs out above `most` samples."""

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        self.seen.append(len(batch[0]))
        if most is not None and self.batch_size > most:
            raise RuntimeError(OUT_OF_MEMORY)
        return self.loss(batch)

    def load(self: Any) -> Any:
        return lab.loader(rows, self.batch_size)

    names = ("train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader")
    steps = {name: lambda self, batch, batch_idx: self.loss(batch) for name in ("test_step", "predict_step")}
    module = lab.classifier(L, training_step=training_step, **dict.fromkeys(names, load), **steps, **methods)()
    module.batch_size, module.seen = 2, []
    return module


def state_of(trainer: Any, module: Any) -> dict[str, Any]:
    """What a search may not change."""
    return {
        "weights": {name: value.clone() for name, value in module.state_dict().items()},
        "progress": trainer.fit_loop.state_dict(),
        "attributes": [trainer.callbacks, trainer.loggers, trainer.max_steps, trainer.should_stop, trainer.global_step],
        "limits": [trainer.limit_train_batches, trainer.limit_val_batches, trainer.limit_test_batches],
        "modes": [one.training for one in module.modules()],
        "gradients": [parameter.grad for parameter in module.parameters()],
        "random": torch.get_rng_state(),
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert all(torch.equal(before["weights"][name], value) for name, value in after["weights"].items())
    assert torch.equal(before.pop("random"), after.pop("random"))
    assert {k: v for k, v in before.items() if k != "weights"} == {k: v for k, v in after.items() if k != "weights"}


# -- learning rates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"num_training": 15},
        {"num_training": 15, "mode": "linear", "min_lr": 1e-4, "max_lr": 0.5},
        {"num_training": 40, "max_lr": 1e3, "early_stop_threshold": 2.5},
        {"num_training": 12, "early_stop_threshold": None, "trainer": {"accumulate_grad_batches": 2}},
        {"num_training": 12, "update_attr": False, "trainer": {"max_epochs": 1}},
    ],
    ids=["exponential", "linear", "diverging", "accumulating", "too few batches"],
)
def test_the_same_rates_losses_and_training_afterwards(options: dict[str, Any], differential: Any, lab: Any) -> None:
    options = dict(options)
    flags = {"max_epochs": 20, **options.pop("trainer", {})}

    def experiment(L: Any, observed: Any) -> Any:
        module, trainer = learner(L, lab), L.Trainer(**lab.QUIET, **flags)
        finder = tuner_of(L)(trainer).lr_find(module, lab.loader(), lab.loader(8, shuffle=False), **options)
        observed.events.append(("found", finder.results, finder.suggestion(skip_begin=3), module.lr))
        trainer = L.Trainer(**lab.QUIET, max_epochs=1)
        trainer.fit(module, lab.loader(), lab.loader(8, shuffle=False))
        return module, trainer, None

    assert len(differential.same(experiment).events[0][1]["lr"]) > 5


def test_the_callback_finds_and_trains_on_as_in_lightning(differential: Any, lab: Any) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        callbacks = importlib.import_module(f"{'torchlift' if L is torchlift else 'lightning.pytorch'}.callbacks")
        finder = callbacks.LearningRateFinder(num_training_steps=14)
        module, trainer = learner(L, lab), L.Trainer(**lab.QUIET, max_epochs=3, callbacks=[finder])
        trainer.fit(module, lab.loader(), lab.loader(8, shuffle=False))
        observed.events.append(("found", finder.optimal_lr.results, module.lr))
        return module, trainer, None

    differential.same(experiment)


def test_a_callback_that_searches_at_milestones_leaves_the_run_going_on(lab: Any) -> None:
    class AtMilestones(LearningRateFinder):
        def on_fit_start(self, *args: Any) -> None:
            pass

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            before = state_of(trainer, module)
            self.lr_find(trainer, module)
            assert_same(before, state_of(trainer, module))
            found.append((trainer.current_epoch, self.optimal_lr))

    found: list[Any] = []
    module = learner(torchlift, lab)
    trainer = torchlift.Trainer(
        **lab.QUIET, max_epochs=3, callbacks=[AtMilestones(num_training_steps=6, update_attr=False)]
    )
    trainer.fit(module, lab.loader())
    assert [epoch for epoch, _ in found] == [0, 1, 2] and trainer.global_step == 21
    assert all(len(finder.results["lr"]) == 6 for _, finder in found)


@pytest.mark.parametrize("fails", [False, True])
def test_a_search_leaves_no_trace(fails: bool, lab: Any, tmp_path: Path) -> None:
    class Odd(nn.Linear):
        """Cannot be pickled, and stands in the hyperparameters."""

        def __deepcopy__(self, memo: Any) -> Any:
            return self

        def __reduce__(self) -> Any:
            raise TypeError("not to be written")

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        if fails and batch_idx == 3:
            raise RuntimeError("in the middle")
        return self.loss(batch)

    module = learner(torchlift, lab, training_step=training_step)
    module.save_hyperparameters({"inner": Odd(1, 1)})
    module.register_buffer("steps_seen", torch.zeros(1), persistent=False)
    trainer = torchlift.Trainer(**(lab.QUIET | {"logger": True}), max_epochs=5, default_root_dir=tmp_path)
    before = state_of(trainer, module)
    if fails:
        with pytest.raises(RuntimeError, match="in the middle"):
            Tuner(trainer).lr_find(module, lab.loader(), num_training=9)
    else:
        Tuner(trainer).lr_find(module, lab.loader(), num_training=9, update_attr=False)
        assert trainer.state.finished
    after = state_of(trainer, module)
    if fails:  # as in Lightning, random generators are put back only when all goes well
        before["random"] = after["random"]
    assert_same(before, after)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_errors_of_lr_find(lab: Any) -> None:
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=1)
    plain = lab.classifier(torchlift)()
    with pytest.raises(AttributeError, match="should have one of these fields"):
        Tuner(trainer).lr_find(plain, lab.loader())
    with pytest.raises(AttributeError, match="was set to rate"):
        Tuner(trainer).lr_find(plain, lab.loader(), attr_name="rate")
    with pytest.raises(MisconfigurationException, match="only valid configuration"):
        Tuner(trainer).lr_find(plain, method="test")
    with pytest.raises(MisconfigurationException, match="`dataloaders` argument should be None"):
        Tuner(trainer).lr_find(plain, dataloaders=lab.loader())
    with pytest.raises(ValueError, match="`mode` should be either"):
        Tuner(trainer).lr_find(plain, lab.loader(), mode="zigzag")
    with pytest.raises(ValueError, match="already configured with a `LearningRateFinder`"):
        Tuner(torchlift.Trainer(**lab.QUIET, callbacks=[LearningRateFinder()])).lr_find(plain)
    assert not [callback for callback in trainer.callbacks if isinstance(callback, LearningRateFinder)]


def test_a_plot_marks_the_suggestion(lab: Any) -> None:
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=5)
    finder = Tuner(trainer).lr_find(learner(torchlift, lab), lab.loader(), num_training=20)
    assert finder is not None
    axes = finder.plot(suggest=True).axes[0]
    assert axes.get_xscale() == "log" and len(axes.lines) == 2
    assert list(axes.lines[0].get_ydata()) == finder.results["loss"]
    assert axes.lines[1].get_xdata()[0] == finder.suggestion()


# -- batch sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "power", "most": 11},
        {"mode": "binsearch", "most": 11, "margin": 0.0},
        {"mode": "binsearch", "most": 21, "margin": 0.2, "init_val": 64},
        {"mode": "power", "max_trials": 3, "init_val": 3},
        {"mode": "power", "max_val": 8},
        {"mode": "power", "method": "validate", "max_trials": 4},
        {"mode": "binsearch", "method": "test", "max_trials": 2},
        {"mode": "power", "method": "predict", "max_trials": 3},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_the_same_batch_size(options: dict[str, Any], lab: Any, tmp_path: Path) -> None:
    found = {}
    options = dict(options)
    most = options.pop("most", None)
    for name, L in lab.RUNTIMES.items():
        module = sized(L, lab, rows=100, most=most)
        trainer = L.Trainer(**lab.QUIET, max_epochs=1, default_root_dir=tmp_path)
        size = tuner_of(L)(trainer).scale_batch_size(module, steps_per_trial=1, **options)
        assert size == module.batch_size
        found[name] = size
    assert found["torchlift"] == found["lightning"]


def test_every_size_is_tried_before_it_is_answered(lab: Any) -> None:
    """Lightning makes the loaders of its first trial with the old size, and answers `max_val` without a trial."""
    module = sized(torchlift, lab)
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=1)
    before = torch.get_rng_state()
    assert Tuner(trainer).scale_batch_size(module, steps_per_trial=1, init_val=4, max_val=16) == 16
    assert module.seen == [4, 8, 16] and trainer.train_dataloader.batch_size == 16
    assert trainer.val_dataloaders.batch_size == 16 and torch.equal(before, torch.get_rng_state())


def test_not_even_one_sample_fits(lab: Any) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        Tuner(torchlift.Trainer(**lab.QUIET, max_epochs=1)).scale_batch_size(sized(torchlift, lab, most=0))


def test_an_error_that_is_not_about_memory_comes_through_and_leaves_no_trace(lab: Any) -> None:
    module = sized(torchlift, lab, configure_gradient_clipping=lambda self, *args, **kwargs: 1 / 0)
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=1)
    before = state_of(trainer, module)
    with pytest.raises(ZeroDivisionError):
        Tuner(trainer).scale_batch_size(module)
    after = state_of(trainer, module)
    before["random"] = after["random"]
    assert_same(before, after)


def test_the_callback_goes_on_with_the_size_it_found(lab: Any) -> None:
    module = sized(torchlift, lab, most=10)
    finder = BatchSizeFinder(steps_per_trial=2)
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=2, callbacks=[finder])
    trainer.fit(module)
    assert finder.optimal_batch_size == module.batch_size == 8
    assert trainer.global_step == 10 and module.seen[-10:] == [8] * 10


def test_a_milestone_search_tries_sizes_late_in_a_run(lab: Any) -> None:
    class Later(BatchSizeFinder):
        def on_fit_start(self, *args: Any) -> None:
            pass

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 1:
                self.scale_batch_size(trainer, module)

    module = sized(torchlift, lab, most=6)
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=2, callbacks=[Later(steps_per_trial=1)])
    trainer.fit(module)
    assert module.seen == [2] * 20 + [2, 4, 8] + [4] * 10 and trainer.global_step == 30


def test_the_size_may_lie_in_the_data_module(lab: Any) -> None:
    class Data(torchlift.LightningDataModule):
        def __init__(self, rows_at_once: int) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return lab.loader(40, self.hparams.rows_at_once)

    data = Data(2)
    module, trainer = lab.classifier(torchlift)(), torchlift.Trainer(**lab.QUIET, max_epochs=1)
    size = Tuner(trainer).scale_batch_size(module, datamodule=data, max_trials=3, batch_arg_name="rows_at_once")
    assert size == data.hparams.rows_at_once == 8


def test_errors_of_scale_batch_size(lab: Any) -> None:
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=1)
    module, tuner = sized(torchlift, lab), Tuner(trainer)
    with pytest.raises(MisconfigurationException, match="dataloaders passed directly"):
        tuner.scale_batch_size(module, lab.loader())
    with pytest.raises(MisconfigurationException, match="Field nothing not found"):
        tuner.scale_batch_size(module, batch_arg_name="nothing")
    with pytest.raises(ValueError, match="method 'prediction' is invalid"):
        tuner.scale_batch_size(module, method="prediction")  # type: ignore[arg-type]
    with pytest.raises(MisconfigurationException, match="multiple test dataloaders"):
        module.test_dataloader = lambda: [lab.loader(), lab.loader()]
        tuner.scale_batch_size(module, method="test")
    with pytest.raises(AssertionError, match="`margin` should be between"):
        tuner.scale_batch_size(module, margin=1.0)
    assert not [callback for callback in trainer.callbacks if isinstance(callback, BatchSizeFinder)]
