"""The differential harness: one experiment, run on torchlift and on real lightning, observed alike, compared whole."""

from __future__ import annotations

import inspect
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import torchlift

RUNTIMES = {"torchlift": torchlift, "lightning": lightning}

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

# Called by the machinery around the hooks, with arguments of its own; not moments of a run.
_NOT_HOOKS = {"on_gpu", "on_exception"}
_MORE_HOOKS = {
    "setup",
    "teardown",
    "prepare_data",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "predict_dataloader",
    "configure_callbacks",
    "configure_optimizers",
    "configure_model",
    "training_step",
    "validation_step",
    "test_step",
    "predict_step",
    "backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "transfer_batch_to_device",
}


def told(value: Any) -> Any:
    """A value as plain data that is equal only if every bit is."""
    if isinstance(value, Tensor):
        bits = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        return ("tensor", str(value.dtype), tuple(value.shape), bytes(bits.tolist()).hex())
    if isinstance(value, torch.optim.Optimizer):
        stand_in = repr(value) == "No Optimizer"  # a class of its own in either runtime
        return ("optimizer", None if stand_in else type(value).__name__)
    if isinstance(value, nn.Module):
        return ("module", type(value).__name__)
    if isinstance(value, torch.optim.lr_scheduler.LRScheduler):
        return ("scheduler", type(value).__name__)
    if hasattr(value, "value") and isinstance(value, str):  # an enumeration of strings
        return value.value
    if isinstance(value, Mapping):
        return {str(key): told(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [told(one) for one in value]
    if isinstance(value, (int, float, str, bool, type(None))):
        return (type(value).__name__, repr(value))
    return type(value).__name__


@dataclass
class Observed:
    """What one run did, in the order it did it."""

    events: list[Any] = field(default_factory=list)
    result: Any = None
    weights: Any = None
    metrics: Any = None
    error: str | None = None

    def add(self, trainer: Any, owner: str, name: str, arguments: Any) -> None:
        state = ("", 0, 0, False) if trainer is None else _state(trainer)
        self.events.append((owner, name, told(arguments), state))


def _state(trainer: Any) -> Any:
    stage = trainer.state.stage
    return (stage.value if stage else None, trainer.global_step, trainer.current_epoch, trainer.is_last_batch)


def recording_callback(L: Any, observed: Observed, metrics: bool = False) -> Any:
    """A callback that overrides every hook and writes down that it was called; and what the metrics are, if asked."""

    def recorder(name: str) -> Callable[..., None]:
        def hook(self: Any, trainer: Any, module: Any, *args: Any, **kwargs: Any) -> None:
            observed.add(trainer, "callback", name, [*args, kwargs])
            if metrics and trainer.state.stage is not None:
                seen = [trainer.callback_metrics, trainer.logged_metrics, trainer.progress_bar_metrics]
                observed.events.append(("metrics", told(seen)))

        return hook

    names = [name for name in dir(L.Callback) if name.startswith("on_") and name not in _NOT_HOOKS]
    body = {name: recorder(name) for name in [*names, "setup", "teardown"] if "checkpoint" not in name}
    return type("Recorder", (L.Callback,), body)()


def recording(cls: type, observed: Observed, owner: str = "module") -> type:
    """A subclass of a module or data module whose every hook writes down that it was called."""

    def wrap(name: str) -> Callable[..., Any]:
        def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
            trainer = self._trainer if hasattr(self, "_trainer") else self.trainer
            plain = [one for one in args if not callable(one) or isinstance(one, (Tensor, torch.optim.Optimizer))]
            observed.add(trainer, owner, name, [*plain, kwargs])
            return getattr(super(recorder, self), name)(*args, **kwargs)

        original = getattr(cls, name)
        hook.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        return hook

    names = {
        name for name in dir(cls) if name.startswith("on_") and name not in _NOT_HOOKS and "checkpoint" not in name
    }
    names |= {name for name in _MORE_HOOKS if name in dir(cls)}
    # A default that only runs when it is not overridden, or exists only when it is defined.
    names -= {"on_validation_model_train", "on_test_model_train", "configure_sharded_model"}
    for name in ("train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader", "predict_step"):
        if name in names and not _defined(cls, name):
            names.discard(name)
    for name in ("validation_step", "test_step", "configure_model", "lr_scheduler_step"):
        if name in names and not _defined(cls, name):
            names.discard(name)
    recorder = type(cls.__name__, (cls,), {name: wrap(name) for name in sorted(names)})
    return recorder


def _defined(cls: type, name: str) -> bool:
    return any(
        name in base.__dict__ for base in cls.__mro__ if not base.__module__.startswith(("lightning", "torchlift"))
    )


@dataclass
class Differential:
    """Runs an experiment on both runtimes."""

    folder: Path

    def run(self, experiment: Callable[[Any, Observed], Any]) -> dict[str, Observed]:
        """``experiment(L, observed)`` builds and runs; it returns ``(module, trainer, result)``."""
        found = {}
        for name, L in RUNTIMES.items():
            observed = Observed()
            place = self.folder / name
            place.mkdir(exist_ok=True)
            before = os.getcwd()
            os.chdir(place)
            torch.manual_seed(11)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    module, trainer, observed.result = experiment(L, observed)
                observed.weights = told(module.state_dict())
                observed.metrics = told(
                    [trainer.callback_metrics, trainer.logged_metrics, trainer.progress_bar_metrics]
                )
                observed.events.append(("end", trainer.global_step, trainer.current_epoch, told(torch.get_rng_state())))
            finally:
                os.chdir(before)
            found[name] = observed
        return found

    def same(self, experiment: Callable[[Any, Observed], Any]) -> Observed:
        """Assert that both runtimes did the same; what torchlift did."""
        found = self.run(experiment)
        ours, theirs = found["torchlift"], found["lightning"]
        for index, (mine, yours) in enumerate(zip(ours.events, theirs.events)):
            assert mine == yours, (
                f"event {index} differs; before it: {[e[:2] for e in ours.events[max(0, index - 6) : index]]}"
            )
        assert len(ours.events) == len(theirs.events)
        assert ours.weights == theirs.weights
        assert ours.metrics == theirs.metrics
        assert told(ours.result) == told(theirs.result)
        return ours


@pytest.fixture
def differential(tmp_path: Path) -> Iterator[Differential]:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield Differential(tmp_path)
    logger.setLevel(level)


def dataset(rows: int = 26, seed: int = 3) -> TensorDataset:
    draw = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(rows, 6, generator=draw), torch.randint(0, 3, (rows,), generator=draw))


def loader(rows: int = 26, batch_size: int = 4, shuffle: bool = True, **options: Any) -> DataLoader:
    return DataLoader(dataset(rows), batch_size=batch_size, shuffle=shuffle, **options)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 3))


def classifier(L: Any, **methods: Any) -> type:
    """A module class on the runtime `L`: cross entropy on :func:`net`, Adam; `methods` replace or add methods."""

    class Classifier(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def loss(self, batch: Any) -> Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.net(x), y)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("train_loss", loss, prog_bar=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("val_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    return type("Classifier", (Classifier,), methods)


@pytest.fixture(scope="session")
def lab() -> Any:
    """The building blocks, for tests that cannot import this file."""
    return __import__("types").SimpleNamespace(
        Differential=Differential,
        QUIET=QUIET,
        RUNTIMES=RUNTIMES,
        Observed=Observed,
        classifier=classifier,
        dataset=dataset,
        loader=loader,
        net=net,
        recording=recording,
        recording_callback=recording_callback,
        told=told,
    )


@pytest.fixture(scope="session")
def differential_of() -> Any:
    """A new :class:`Differential` for each example of a property, in a folder of its own."""

    @contextmanager
    def make() -> Iterator[Differential]:
        with tempfile.TemporaryDirectory() as folder:
            yield Differential(Path(folder))

    return make
