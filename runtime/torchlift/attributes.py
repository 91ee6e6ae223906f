"""What can be asked of a Trainer. Names and meanings are Lightning's."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from torchlift import checkpoint
from torchlift.run import overrides
from torchlift.states import RunningStage, TrainerFn, TrainerStatus
from torchlift.utilities.rank_zero import rank_zero_info

if TYPE_CHECKING:
    from torchlift.accelerators import Accelerator
    from torchlift.logged import Logged
    from torchlift.loop_state import EvalState, FitState, PredictState
    from torchlift.module import LightningModule
    from torchlift.precision import Precision
    from torchlift.run import Run
    from torchlift.states import TrainerState
    from torchlift.strategies import Strategy
    from torchlift.utilities.types import LRSchedulerConfig

Number = int | float


class TrainerAttributes:
    """The part of the Trainer that answers questions; it decides nothing."""

    state: "TrainerState"
    strategy: "Strategy"
    precision_plugin: "Precision"
    fit_loop: "FitState"
    validate_loop: "EvalState"
    test_loop: "EvalState"
    predict_loop: "PredictState"
    callbacks: list[Any]
    datamodule: Any | None
    accumulate_grad_batches: int
    limit_val_batches: Number
    num_sanity_val_steps: Number
    _accelerator: "Accelerator"
    _default_root_dir: str
    _logged: "Logged"
    _loggers: list[Any]
    _lr_scheduler_configs: "list[LRSchedulerConfig]"
    _model: Any | None
    _module: "LightningModule | None"
    _optimizers: list[Optimizer]
    _run: "Run | None"
    _wrapped_optimizers: list[Any]
    _ckpt_path: str | Path | None
    _ckpt_path_is_users: bool

    # -- module, optimizers -------------------------------------------------------------------------------------------

    @property
    def lightning_module(self) -> Any:
        """The module of the current or last run."""
        return self._module

    @property
    def model(self) -> Any:
        """The module as it is called, perhaps wrapped by the strategy."""
        return self._model

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers, unwrapped."""
        return self._optimizers

    @optimizers.setter
    def optimizers(self, optimizers: list[Optimizer]) -> None:
        from torchlift.session import wrap_optimizer

        self._optimizers = optimizers
        self._wrapped_optimizers = [wrap_optimizer(self, one) for one in optimizers]  # type: ignore[arg-type]

    @property
    def lr_scheduler_configs(self) -> "list[LRSchedulerConfig]":
        """The schedulers, with the moments of their steps."""
        return self._lr_scheduler_configs

    def _manual_backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        from torchlift.step import backward

        assert self._run is not None
        backward(self._run, loss, *args, **kwargs)

    # -- devices and processes ----------------------------------------------------------------------------------------

    @property
    def accelerator(self) -> "Accelerator":
        return self._accelerator

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

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on the first process of each machine."""
        if self.local_rank == 0:
            print(*args, **kwargs)

    # -- what is going on ---------------------------------------------------------------------------------------------

    def _enter(self, stage: RunningStage) -> None:
        """Another stage begins: its loop's results are the ones that ``self.log`` writes to."""
        self.state.stage = stage
        if stage is RunningStage.TRAINING:
            self._logged.enter(self.fit_loop.results)
        elif stage is RunningStage.PREDICTING:
            self._logged.enter(None)
        else:
            self._logged.enter(self._evaluation_state.results)

    @property
    def _evaluation_state(self) -> "EvalState":
        by_fn = {TrainerFn.VALIDATING: self.validate_loop, TrainerFn.TESTING: self.test_loop}
        return by_fn.get(self.state.fn, self.fit_loop.val_loop)  # type: ignore[arg-type]

    @property
    def interrupted(self) -> bool:
        """Whether the last run ended with an exception, Ctrl-C included."""
        return self.state.status == TrainerStatus.INTERRUPTED

    @property
    def fitting(self) -> bool:
        return self.state.fn == TrainerFn.FITTING

    @property
    def training(self) -> bool:
        return self.state.stage is RunningStage.TRAINING

    @training.setter
    def training(self, value: bool) -> None:
        self._set_stage(RunningStage.TRAINING, value)

    @property
    def validating(self) -> bool:
        return self.state.stage is RunningStage.VALIDATING

    @validating.setter
    def validating(self, value: bool) -> None:
        self._set_stage(RunningStage.VALIDATING, value)

    @property
    def testing(self) -> bool:
        return self.state.stage is RunningStage.TESTING

    @testing.setter
    def testing(self, value: bool) -> None:
        self._set_stage(RunningStage.TESTING, value)

    @property
    def predicting(self) -> bool:
        return self.state.stage is RunningStage.PREDICTING

    @predicting.setter
    def predicting(self, value: bool) -> None:
        self._set_stage(RunningStage.PREDICTING, value)

    @property
    def sanity_checking(self) -> bool:
        return self.state.stage is RunningStage.SANITY_CHECKING

    @sanity_checking.setter
    def sanity_checking(self, value: bool) -> None:
        self._set_stage(RunningStage.SANITY_CHECKING, value)

    def _set_stage(self, stage: RunningStage, value: bool) -> None:
        if value:
            self.state.stage = stage
        elif self.state.stage is stage:
            self.state.stage = None

    @property
    def evaluating(self) -> bool:
        return self.state.stage is not None and self.state.stage.evaluating

    @property
    def enable_validation(self) -> bool:
        """Whether fit validates: there are loaders and a ``validation_step``, and they are not limited to none."""
        has_loaders = self.fit_loop.val_loop.source.is_defined()
        return has_loaders and overrides(self._module, "validation_step") and self.limit_val_batches > 0

    # -- how far ------------------------------------------------------------------------------------------------------

    @property
    def current_epoch(self) -> int:
        """The number of completed epochs, which is the index of the one under way."""
        return self.fit_loop.epoch_progress.completed

    @property
    def global_step(self) -> int:
        """The number of optimizer steps taken, of all optimizers."""
        return self.fit_loop.global_step

    @property
    def is_last_batch(self) -> bool:
        """Whether the training batch under way is the epoch's last."""
        return self.fit_loop.batch_progress.is_last_batch

    @property
    def max_epochs(self) -> int | None:
        return self.fit_loop.max_epochs

    @property
    def min_epochs(self) -> int | None:
        return self.fit_loop.min_epochs

    @property
    def max_steps(self) -> int:
        return self.fit_loop.max_steps

    @property
    def min_steps(self) -> int | None:
        return self.fit_loop.min_steps

    @property
    def estimated_stepping_batches(self) -> Number:
        """How many optimizer steps a whole fit will take; infinite without a limit. Makes the training loaders."""
        state = self.fit_loop
        if state.max_epochs == -1:
            return float("inf") if state.max_steps == -1 else state.max_steps
        if state.combined is None:
            from torchlift.training_data import setup_training

            rank_zero_info("Loading `train_dataloader` to estimate number of stepping batches.")
            assert self._run is not None
            setup_training(self._run)
        if state.max_batches == float("inf"):
            return state.max_steps
        assert state.max_epochs is not None
        steps = math.ceil(state.max_batches / self.accumulate_grad_batches) * max(state.max_epochs, 1)
        return steps if state.max_steps == -1 else min(steps, state.max_steps)

    # -- loaders ------------------------------------------------------------------------------------------------------

    @property
    def train_dataloader(self) -> Any:
        """The training loader or loaders, in the form they were given."""
        return self.fit_loop.combined.iterables if self.fit_loop.combined is not None else None

    @property
    def val_dataloaders(self) -> Any:
        for state in (self.fit_loop.val_loop, self.validate_loop):
            if state.combined is not None:
                return state.combined.iterables
        return None

    @property
    def test_dataloaders(self) -> Any:
        return self.test_loop.combined.iterables if self.test_loop.combined is not None else None

    @property
    def predict_dataloaders(self) -> Any:
        return self.predict_loop.combined.iterables if self.predict_loop.combined is not None else None

    @property
    def num_training_batches(self) -> Number:
        """Of an epoch; infinite for loaders without a length."""
        return self.fit_loop.max_batches

    @property
    def num_val_batches(self) -> list[Number]:
        """Of each validation loader."""
        if self.state.fn == TrainerFn.VALIDATING:
            return self.validate_loop.num_batches
        return self.fit_loop.val_loop.num_batches

    @property
    def num_sanity_val_batches(self) -> list[Number]:
        return [min(self.num_sanity_val_steps, number) for number in self.fit_loop.val_loop.num_batches]

    @property
    def num_test_batches(self) -> list[Number]:
        return self.test_loop.num_batches

    @property
    def num_predict_batches(self) -> list[Number]:
        return self.predict_loop.num_batches

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
            storage_options: accepted for compatibility.

        Raises:
            AttributeError: no module is attached yet.
            OSError: it cannot be written; an older file of that name is untouched.
        """
        if self._model is None:
            raise AttributeError(
                "Saving a checkpoint is only possible if a model is attached to the Trainer. Did you call"
                " `Trainer.save_checkpoint()` before calling `Trainer.{fit,validate,test,predict}`?"
            )
        contents = checkpoint.dump(self, bool(weights_only))  # type: ignore[arg-type]
        if self.is_global_zero:
            self.strategy.save_checkpoint(contents, filepath)
        self.strategy.barrier("Trainer.save_checkpoint")
