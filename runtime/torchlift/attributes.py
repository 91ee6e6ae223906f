"""What can be asked of a Trainer. Names and meanings are Lightning's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from torchlift import checkpoint
from torchlift.rows import send_before_checkpoint
from torchlift.run_attributes import RunAttributes

if TYPE_CHECKING:
    from torchlift.accelerators import Accelerator
    from torchlift.precision import Precision
    from torchlift.profilers import Profiler
    from torchlift.strategies import Strategy
    from torchlift.utilities.types import LRSchedulerConfig


class TrainerAttributes(RunAttributes):
    """The part of the Trainer that answers questions; it decides nothing."""

    strategy: "Strategy"
    profiler: "Profiler"
    callbacks: list[Any]
    datamodule: Any | None
    _default_root_dir: str
    _loggers: list[Any]
    _ckpt_path: str | Path | None
    _ckpt_path_is_users: bool
    _replaced = False  # a method of the module or the optimizer, since the loop looked them up

    # -- module, optimizers -------------------------------------------------------------------------------------------

    @property
    def lightning_module(self) -> Any:
        """The module of the current or last run."""
        return self.strategy.lightning_module

    @property
    def model(self) -> Any:
        """The module as it is called, perhaps wrapped by the strategy."""
        return self.strategy.model

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers, unwrapped."""
        return self.strategy.optimizers

    @optimizers.setter
    def optimizers(self, optimizers: list[Optimizer]) -> None:
        self.strategy.optimizers = optimizers

    @property
    def _wrapped_optimizers(self) -> list[Any]:
        return self.strategy._lightning_optimizers

    @property
    def lr_scheduler_configs(self) -> "list[LRSchedulerConfig]":
        """The schedulers, with the moments of their steps."""
        return self.strategy.lr_scheduler_configs

    def _manual_backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        from torchlift.step import backward

        assert self._run is not None
        backward(self._run, loss, *args, **kwargs)
        self.fit_loop.gradients_wait = True  # until an optimizer steps

    # -- devices and processes ----------------------------------------------------------------------------------------

    @property
    def accelerator(self) -> "Accelerator":
        assert self.strategy.accelerator is not None
        return self.strategy.accelerator

    @property
    def precision_plugin(self) -> "Precision":
        return self.strategy.precision_plugin

    @property
    def precision(self) -> str:
        """The name of the precision, such as ``"32-true"``."""
        return self.precision_plugin.precision

    @property
    def scaler(self) -> Any:
        """The gradient scaler, or ``None``."""
        return self.precision_plugin.scaler

    @property
    def device_ids(self) -> list[int]:
        """The indices of the devices on this machine."""
        return [self.strategy.root_device.index or 0]

    @property
    def num_devices(self) -> int:
        return len(self.device_ids)

    @property
    def num_nodes(self) -> int:
        return self.strategy.num_nodes

    @property
    def world_size(self) -> int:
        return self.strategy.world_size

    @property
    def global_rank(self) -> int:
        return self.strategy.global_rank

    @property
    def local_rank(self) -> int:
        return self.strategy.local_rank

    @property
    def node_rank(self) -> int:
        return self.strategy.node_rank

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the first process of all."""
        return self.strategy.is_global_zero

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any] | None:
        """``None`` in a single process."""
        return None

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Within it, parameters are created on the run's device and in its precision.

        Args:
            empty_init: leave them uninitialized, for weights that are loaded anyway.
        """
        with self.strategy.tensor_init_context(empty_init=empty_init):
            yield

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on the first process of each machine."""
        if self.local_rank == 0:
            print(*args, **kwargs)

    # -- logging and checkpoints --------------------------------------------------------------------------------------

    @property
    def logger(self) -> Any:
        """The first logger, or ``None``."""
        return self._loggers[0] if self._loggers else None

    @logger.setter
    def logger(self, logger: Any) -> None:
        self.loggers = [logger] if logger else []

    @property
    def loggers(self) -> list[Any]:
        return self._loggers

    @loggers.setter
    def loggers(self, loggers: list[Any] | None) -> None:
        self._loggers = loggers or []

    @property
    def log_dir(self) -> str | None:
        """The folder of this run: the first logger's, or the root folder."""
        if not self._loggers:
            return self.default_root_dir
        first = self._loggers[0]
        return getattr(first, "log_dir", None) or first.save_dir

    @property
    def default_root_dir(self) -> str:
        """The folder for what has no folder of its own."""
        if "://" in self._default_root_dir:
            return self._default_root_dir
        return os.path.normpath(os.path.expanduser(self._default_root_dir))

    @property
    def callback_metrics(self) -> dict[str, torch.Tensor]:
        """Everything logged, for callbacks to monitor."""
        return self._logged.callback_metrics

    @property
    def logged_metrics(self) -> dict[str, torch.Tensor]:
        """What was logged for the loggers."""
        return self._logged.logged_metrics

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """What was logged for the bar, as numbers; reading it waits for the device."""
        return self._logged.progress_bar_metrics

    def _of_kind(self, name: str) -> list[Any]:
        from torchlift import callbacks

        kind = getattr(callbacks, name)
        return [callback for callback in self.callbacks if isinstance(callback, kind)]

    def _has_timer(self) -> bool:
        return bool(self._of_kind("Timer"))

    @property
    def checkpoint_callbacks(self) -> list[Any]:
        return self._of_kind("Checkpoint")

    @property
    def checkpoint_callback(self) -> Any:
        """The first checkpoint callback, or ``None``."""
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def early_stopping_callbacks(self) -> list[Any]:
        return self._of_kind("EarlyStopping")

    @property
    def early_stopping_callback(self) -> Any:
        """The first EarlyStopping, or ``None``."""
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def progress_bar_callback(self) -> Any:
        """The progress bar, or ``None``."""
        return next(iter(self._of_kind("ProgressBar")), None)

    @property
    def ckpt_path(self) -> str | Path | None:
        """The checkpoint that the current or last run loaded."""
        return self._ckpt_path

    @ckpt_path.setter
    def ckpt_path(self, path: str | Path | None) -> None:
        self._ckpt_path, self._ckpt_path_is_users = path, bool(path)

    def save_checkpoint(
        self, filepath: str | Path, weights_only: bool | None = None, storage_options: Any | None = None
    ) -> None:
        """Write the whole state of the run to a file, atomically.

        Args:
            filepath: where to.
            weights_only: leave out optimizers, schedulers and callbacks.
            storage_options: handed to a ``CheckpointIO`` of the user's own.

        Raises:
            AttributeError: no module is attached yet.
            OSError: it cannot be written; an older file of that name is untouched.
        """
        if self.model is None:
            raise AttributeError(
                "Saving a checkpoint is only possible if a model is attached to the Trainer. Did you call"
                " `Trainer.save_checkpoint()` before calling `Trainer.{fit,validate,test,predict}`?"
            )
        with self.profiler.profile("save_checkpoint"):
            send_before_checkpoint(self._run)
            contents = checkpoint.dump(self, bool(weights_only))  # type: ignore[arg-type]
            self.strategy.save_checkpoint(contents, filepath, storage_options=storage_options)
            self.strategy.barrier("Trainer.save_checkpoint")
