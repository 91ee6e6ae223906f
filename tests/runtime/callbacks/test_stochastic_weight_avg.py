"""Stochastic weight averaging: weights, state and checkpoints are Lightning's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import torchlift
from torchlift.callbacks import StochasticWeightAveraging
from torchlift.utilities.exceptions import MisconfigurationException


def half(averaged: torch.Tensor, current: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    return (averaged + current) / 2


@pytest.mark.parametrize(
    ("arguments", "net", "trainer"),
    [
        ({}, {}, {}),
        ({"swa_epoch_start": 2, "annealing_epochs": 2}, {"scheduler": True}, {"accumulate_grad_batches": 2}),
        ({"swa_epoch_start": 1, "annealing_strategy": "linear"}, {"batch_norm": False, "scheduler": True}, {}),
        ({"swa_epoch_start": 0.25, "avg_fn": half, "device": None}, {}, {"gradient_clip_val": 0.1}),
        ({"swa_epoch_start": 2}, {"adam": True}, {"max_epochs": -1, "max_steps": 13}),
    ],
    ids=["defaults", "accumulating", "without batch norm", "own average", "without an end"],
)
def test_weights_and_checkpoints_are_lightnings(
    harness: Any, arguments: dict[str, Any], net: dict[str, Any], trainer: dict[str, Any], tmp_path: Path
) -> None:
    def make(kind: Any) -> list[Any]:
        return [kind("StochasticWeightAveraging")(swa_lrs=0.05, **arguments)]

    theirs, ours = harness.compare_net(tmp_path, make, net, **trainer)
    for name in ("global_step", "current_epoch", "max_epochs", "accumulate_grad_batches", "num_training_batches"):
        assert getattr(ours, name) == getattr(theirs, name), name
    folders = [sorted(os.listdir(tmp_path / kind)) for kind in ("lightning", "torchlift")]
    assert folders[0] == folders[1]


@pytest.mark.parametrize("crash_at", [1, 3, 4])
def test_a_run_goes_on_where_it_ended(harness: Any, tmp_path: Path, crash_at: int) -> None:
    """Before averaging, during it, and in the pass for the statistics; as Lightning's goes on, from either's file."""
    last: dict[str, Any] = {}
    for kind in ("lightning", "torchlift"):

        def make(root: Path, kind: str = kind) -> list[Any]:
            average = harness.callback_class(kind, "StochasticWeightAveraging")(swa_lrs=0.05, swa_epoch_start=2)
            return [average, harness.callback_class(kind, "ModelCheckpoint")(root, save_last=True)]

        crashed = tmp_path / kind
        harness.run_net(kind, make(crashed), tmp_path, {"crash_at": crash_at, "scheduler": True})
        path = str(crashed / "last.ckpt")
        resumed = harness.run_net(kind, make(crashed), tmp_path, {"scheduler": True}, ckpt_path=path)
        last[kind] = dict(resumed.lightning_module.state_dict()), resumed.global_step
    assert last["lightning"][1] == last["torchlift"][1]
    for name, value in last["lightning"][0].items():
        assert torch.equal(value, last["torchlift"][0][name]), name


@pytest.mark.parametrize(("crash_at", "crash_batch"), [(0, 2), (2, 0), (2, 3), (4, 2)])
def test_a_run_that_ends_inside_an_epoch_goes_on_as_if_it_had_not(
    harness: Any, tmp_path: Path, crash_at: int, crash_batch: int
) -> None:
    def run(name: str, **options: Any) -> Any:
        average = StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2)
        leave = torchlift.callbacks.OnExceptionCheckpoint(tmp_path / name)
        trained = harness.run_net("torchlift", [average, leave], tmp_path, options, enable_checkpointing=True)
        return {
            "weights": {name: value.tolist() for name, value in trained.lightning_module.state_dict().items()},
            "state": str(average.state_dict()),
            "steps": (trained.global_step, trained.current_epoch, trained.accumulate_grad_batches),
            "momentum": trained.lightning_module.backbone[1].momentum,
        }

    run("left", crash_at=crash_at, crash_batch=crash_batch)
    assert (tmp_path / "left" / "on_exception.ckpt").exists()
    assert run("left") == run("whole")


def test_the_module_ends_with_the_mean_of_the_epochs_starts(harness: Any, tmp_path: Path) -> None:
    starts = []
    average = StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2)
    before = average.on_train_epoch_start

    def spy(trainer: Any, module: Any) -> None:
        if trainer.current_epoch >= 1:
            starts.append(module.head.weight.detach().clone())
        before(trainer, module)

    average.on_train_epoch_start = spy  # type: ignore[method-assign]
    trained = harness.run_net("torchlift", [average], tmp_path, {"batch_norm": False})
    assert len(starts) == 3 and int(average.n_averaged) == 3  # type: ignore[arg-type]
    torch.testing.assert_close(trained.lightning_module.head.weight, sum(starts) / 3)


def test_the_statistics_are_those_of_the_whole_data(harness: Any, tmp_path: Path) -> None:
    average = StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2)
    trained = harness.run_net("torchlift", [average], tmp_path)
    norm = trained.lightning_module.backbone[1]
    assert int(norm.num_batches_tracked) == 5 and norm.momentum == 0.1
    assert average._average_model._trainer is None  # type: ignore[union-attr]


def test_averaging_that_starts_late_is_warned_of(harness: Any, tmp_path: Path) -> None:
    plain = harness.run_net("torchlift", [torchlift.callbacks.ModelCheckpoint(tmp_path / "a")], tmp_path)
    path = plain.checkpoint_callback.best_model_path
    average = StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=2)
    trainer = torchlift.Trainer(
        max_epochs=6, callbacks=[average], logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    loader = torch.utils.data.DataLoader(torch.randn(4, 4), batch_size=2)
    with pytest.warns(UserWarning, match="SWA is initializing after swa_start without any checkpoint data"):
        trainer.fit(plain.lightning_module, loader, ckpt_path=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"swa_epoch_start": 0}, ">0 integer or a float between 0 and 1"),
        ({"swa_epoch_start": 1.5}, ">0 integer or a float between 0 and 1"),
        ({"swa_lrs": 1}, "positive float, or a list of positive floats"),
        ({"swa_lrs": [0.1, 0]}, "positive float, or a list of positive floats"),
        ({"avg_fn": 3}, "`avg_fn` should be callable"),
        ({"device": 0}, "torch.device or a str"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        StochasticWeightAveraging(**({"swa_lrs": 0.1} | arguments))


@pytest.mark.parametrize(
    ("optimizers", "schedulers", "start", "epochs", "message"),
    [
        (2, 0, 1, 4, "works with 1 `optimizer`"),
        (1, 2, 1, 4, "more than 1 `lr_scheduler`"),
        (1, 0, 0.5, -1, "as a float is not supported when `max_epochs=-1`"),
    ],
)
def test_what_it_cannot_average_is_refused(
    optimizers: int, schedulers: int, start: Any, epochs: int, message: str, tmp_path: Path
) -> None:
    class Module(torchlift.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.automatic_optimization = optimizers == 1

        def training_step(self, batch: Any, batch_idx: int) -> Any: ...

        def configure_optimizers(self) -> Any:
            made = [torch.optim.SGD(self.parameters(), 0.1) for _ in range(optimizers)]
            return made, [torch.optim.lr_scheduler.StepLR(made[0], 1) for _ in range(schedulers)]

    average = StochasticWeightAveraging(swa_lrs=0.1, swa_epoch_start=start)
    trainer = torchlift.Trainer(max_epochs=epochs, callbacks=[average], logger=False, default_root_dir=tmp_path)
    with pytest.raises(MisconfigurationException, match=message):
        trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(2, 1)))
