"""The base class of loggers, and the logger that logs nothing.

Reference: https://lightning.ai/docs/pytorch/stable/extensions/logging.html#make-a-custom-logger
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from torchlift.utilities.rank_zero import rank_zero_only

if TYPE_CHECKING:
    from torchlift.callbacks.model_checkpoint import ModelCheckpoint

__all__ = ["DummyExperiment", "DummyLogger", "Logger", "rank_zero_experiment"]


class Logger(ABC):
    """Takes what a run logs to some place. A subclass does so on rank 0 only: see ``rank_zero_only``."""

    @property
    @abstractmethod
    def name(self) -> str | None:
        """Name of the experiment; the folder of its versions."""

    @property
    @abstractmethod
    def version(self) -> int | str | None:
        """Which run of the experiment this is."""

    @property
    def root_dir(self) -> str | None:
        """Folder of all versions of the experiment, None if nothing is kept locally."""
        return None

    @property
    def log_dir(self) -> str | None:
        """Folder of this version, None if nothing is kept locally."""
        return None

    @property
    def save_dir(self) -> str | None:
        """Folder of all experiments, None if nothing is kept locally."""
        return None

    @property
    def group_separator(self) -> str:
        """What stands between a group and a name in a metric's name."""
        return "/"

    @abstractmethod
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record values by name at the optimizer step ``step``."""

    @abstractmethod
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record the run's hyperparameters."""

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:  # noqa: B027 - to override if wanted
        """Record the model's graph."""

    def save(self) -> None:  # noqa: B027 - to override if wanted
        """Write what was recorded so far."""

    def finalize(self, status: str) -> None:
        """The run ended with ``status`` ("success", "failed", "aborted")."""
        self.save()

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:  # noqa: B027 - to override if wanted
        """A checkpoint was written; its callback knows the paths and scores."""


class DummyExperiment:
    """Stands in for an experiment: takes any call, item or assignment and does nothing."""

    def nop(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __getattr__(self, _: str) -> Callable[..., None]:
        return self.nop

    def __getitem__(self, _: int) -> DummyExperiment:
        return self

    def __setitem__(self, *args: Any) -> None:
        pass


class DummyLogger(Logger):
    """Logs nothing, and lets code that uses a logger run: the logger of ``fast_dev_run``."""

    def __init__(self) -> None:
        self._experiment = DummyExperiment()

    @property
    def experiment(self) -> DummyExperiment:
        return self._experiment

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __getitem__(self, _: int) -> DummyLogger:
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):  # copy and pickle ask for these
            raise AttributeError(name)
        return DummyExperiment().nop


def rank_zero_experiment(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Decorate the ``experiment`` of a logger: the real one on rank 0, one that does nothing on the others."""
    on_rank_zero = rank_zero_only(function)

    @functools.wraps(function)
    def experiment(self: Any) -> Any:
        found = on_rank_zero(self)
        return DummyExperiment() if found is None else found

    return experiment
