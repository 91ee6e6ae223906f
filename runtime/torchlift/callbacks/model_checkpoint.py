"""Save the model while it trains: the best by a metric, the last, or all.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.ModelCheckpoint.html
File names, attributes and the saved state are Lightning's, so that either runtime resumes from the other's files.
"""

import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from torchlift.callback import ignores_outputs
from torchlift.callbacks._checkpoint_files import CheckpointFiles
from torchlift.utilities.cloud_io import entries, is_local
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn, warn_once

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(CheckpointFiles):
    """Write checkpoints at the end of validation, of an epoch, every so many steps, or every so many minutes.

    A new file is written before the one it replaces is removed; a file that the last checkpoint names stays until that
    is replaced as well; and when writing fails this object's state is as it was. So the best and the last checkpoint
    survive a full disk and a kill at any moment.

    Args:
        dirpath: folder, local or a URL. By default ``<save_dir>/<name>/version_N/checkpoints`` of the first logger, or
            ``checkpoints`` under the Trainer's ``default_root_dir``.
        filename: template without extension, such as ``"{epoch:02d}-{val_loss:.2f}"``; default ``"{epoch}-{step}"``.
        monitor: name of the logged metric to rank by; None keeps the latest.
        verbose: report each save.
        save_last: also write ``last.ckpt`` at each save; ``"link"`` makes it a symbolic link to that save.
        save_top_k: how many of the best to keep; -1 keeps all, 0 none.
        save_on_exception: write a checkpoint when training ends in an exception.
        save_weights_only: leave optimizers, schedulers and loops out.
        mode: "min" if a lower metric is better, "max" if a higher one is.
        auto_insert_metric_name: write ``name=`` before each value in the file's name.
        every_n_train_steps, train_time_interval, every_n_epochs: when to save; at most one of them. Default: every
            epoch.
        save_on_train_epoch_end: save at the end of the training epoch (True) or of validation (False); by default the
            former, unless validation runs more or less often than once every epoch.
        enable_version_counter: append ``-v1``, ``-v2``, ... rather than overwrite a file of the same name.

    Attributes:
        best_model_path, best_model_score: the best so far. best_k_models: score of each file that is kept.
        kth_best_model_path, kth_value: the worst of these. current_score: the latest score saved. last_model_path.

    Raises:
        MisconfigurationException: the arguments contradict each other; or, once validation has run, the metric to
            monitor was not logged (the message lists those that were).
    """

    def __init__(
        self,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        verbose: bool = False,
        save_last: bool | Literal["link"] | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = False,
        save_weights_only: bool = False,
        mode: str = "min",
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
    ) -> None:
        if mode not in ("min", "max"):
            raise MisconfigurationException(f"ModelCheckpoint: `mode` can be min, max but got {mode}")
        super().__init__(dirpath, filename, auto_insert_metric_name, enable_version_counter, save_weights_only)
        self.monitor = monitor
        self.verbose = verbose
        self.save_last = save_last
        self.save_top_k = save_top_k
        self.save_on_exception = save_on_exception
        self.mode = mode
        if every_n_train_steps is None and train_time_interval is None and every_n_epochs is None:
            every_n_epochs = 1
        self._every_n_train_steps = every_n_train_steps or 0
        self._train_time_interval = train_time_interval
        self._every_n_epochs = every_n_epochs or 0
        self._save_on_train_epoch_end = save_on_train_epoch_end
        self._validate_arguments()

        self.best_model_path = ""
        self.best_model_score: Tensor | None = None
        self.best_k_models: dict[str, Tensor] = {}
        self.kth_best_model_path = ""
        self.kth_value = torch.tensor(torch.inf if mode == "min" else -torch.inf)
        self.current_score: Tensor | None = None
        self.last_model_path = ""
        self._last_time_checked: float | None = None
        self._defer_save_until_validation = False
        self._validated = False

    def _validate_arguments(self) -> None:
        for name, value, least in (
            ("save_top_k", self.save_top_k, -1),
            ("every_n_train_steps", self._every_n_train_steps, 0),
            ("every_n_epochs", self._every_n_epochs, 0),
        ):
            if value < least:
                raise MisconfigurationException(f"Invalid value for {name}={value}. Must be >= {least}")
        if (self._every_n_train_steps > 0) + (self._every_n_epochs > 0) + (self._train_time_interval is not None) > 1:
            raise MisconfigurationException(
                f"Combination of parameters every_n_train_steps={self._every_n_train_steps}, every_n_epochs="
                f"{self._every_n_epochs} and train_time_interval={self._train_time_interval} should be mutually "
                "exclusive. Give one of them, or use one ModelCheckpoint for each."
            )
        if self.monitor is None and self.save_top_k not in (-1, 0, 1):
            raise MisconfigurationException(
                f"ModelCheckpoint(save_top_k={self.save_top_k}, monitor=None) is not a valid configuration: there "
                "is no metric to rank by. Name one with monitor=, or keep all (save_top_k=-1) or the latest "
                "(save_top_k=1)."
            )

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def state_key(self) -> str:
        return self._generate_state_key(
            monitor=self.monitor,
            mode=self.mode,
            every_n_train_steps=self._every_n_train_steps,
            every_n_epochs=self._every_n_epochs,
            train_time_interval=self._train_time_interval,
        )

    @property
    def every_n_epochs(self) -> int:
        """Epochs between saves; 0 if saves are not counted in epochs."""
        return self._every_n_epochs

    def state_dict(self) -> dict[str, Any]:
        return {
            "monitor": self.monitor,
            "best_model_score": self.best_model_score,
            "best_model_path": self.best_model_path,
            "current_score": self.current_score,
            "dirpath": self.dirpath,
            "best_k_models": self.best_k_models,
            "kth_best_model_path": self.kth_best_model_path,
            "kth_value": self.kth_value,
            "last_model_path": self.last_model_path,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_model_path = state_dict["best_model_path"]
        dirpath = state_dict.get("dirpath", self.dirpath)
        if dirpath != self.dirpath:
            warnings.warn(
                f"The dirpath has changed from {dirpath!r} to {self.dirpath!r}: of the ModelCheckpoint's state only "
                "best_model_path is restored, and ranking starts anew.",
                stacklevel=2,
            )
            return
        self.best_model_score = state_dict["best_model_score"]
        for name in ("kth_best_model_path", "kth_value", "best_k_models", "last_model_path"):
            setattr(self, name, state_dict.get(name, getattr(self, name)))

    # -- hooks ------------------------------------------------------------------------------------------------------

    def setup(self, trainer: "Trainer", pl_module: "LightningModule", stage: str) -> None:
        self.dirpath = trainer.strategy.broadcast(self._resolve_dirpath(trainer))
        if self.save_last == "link" and not is_local(self.dirpath):
            raise ValueError(
                f"`ModelCheckpoint(save_last='link')` is only supported for local file paths, not {self.dirpath!r}."
            )
        if trainer.is_global_zero and stage == "fit" and self.save_top_k != 0 and entries(self.dirpath):
            rank_zero_warn(f"Checkpoint directory {self.dirpath} exists and is not empty.")

    def on_train_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self._last_time_checked = time.monotonic()
        self._validated = False

    @ignores_outputs
    def on_train_batch_end(
        self, trainer: "Trainer", pl_module: "LightningModule", outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self._every_n_train_steps and self._train_time_interval is None:
            return  # before anything that costs time: this runs at every step
        if not self._is_due(trainer):
            return
        metrics = self._monitor_candidates(trainer)
        if self.monitor is not None and (self.monitor not in metrics or self._validation_follows(trainer)):
            # Not there yet, or left over from the previous validation: the save waits for the coming one.
            self._defer_save_until_validation = True
        elif not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, metrics)
            self._save_last_checkpoint(trainer, metrics)

    def on_train_epoch_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if not self._should_skip_saving_checkpoint(trainer) and self._should_save_on_train_epoch_end(trainer):
            self._save_for_epoch(trainer)

    def on_validation_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        self._validated = self._validated or not trainer.sanity_checking
        if self._should_skip_saving_checkpoint(trainer) or self._should_save_on_train_epoch_end(trainer):
            return
        if not self._defer_save_until_validation:
            return self._save_for_epoch(trainer)
        metrics = self._monitor_candidates(trainer)
        self._save_topk_checkpoint(trainer, metrics)
        self._save_last_checkpoint(trainer, metrics)
        self._defer_save_until_validation = False

    def on_train_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        if self.save_last and not self._last_checkpoint_saved and not trainer.fast_dev_run:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def on_exception(self, trainer: "Trainer", pl_module: "LightningModule", exception: BaseException) -> None:
        if not self.save_on_exception or trainer.fast_dev_run or trainer.sanity_checking:
            return
        if self._last_global_step_saved == trainer.global_step:
            return
        metrics = self._monitor_candidates(trainer)
        path = self.format_checkpoint_name(metrics)
        self._save_checkpoint(trainer, path)
        self._save_last_checkpoint(trainer, metrics)
        rank_zero_info(f"Saved a checkpoint to {path} because of {type(exception).__name__}: {exception}")

    # -- when to save -----------------------------------------------------------------------------------------------

    def _should_skip_saving_checkpoint(self, trainer: "Trainer") -> bool:
        return (
            bool(trainer.fast_dev_run)
            or trainer.state.fn != "fit"
            or trainer.sanity_checking
            or self._last_global_step_saved == trainer.global_step
        )

    def _is_due(self, trainer: "Trainer") -> bool:
        """Whether a save by steps or by time falls on this step."""
        if self._every_n_train_steps:
            return bool(trainer.global_step % self._every_n_train_steps == 0)
        if self._train_time_interval is None or self._last_time_checked is None:
            return False
        now = time.monotonic()
        due = now - self._last_time_checked >= self._train_time_interval.total_seconds()
        due = trainer.strategy.broadcast(due)  # the ranks' clocks differ, and saving is a common act
        if due:
            self._last_time_checked = now
        return due

    def _should_save_on_train_epoch_end(self, trainer: "Trainer") -> bool:
        if self._save_on_train_epoch_end is not None:
            return self._save_on_train_epoch_end
        if getattr(trainer, "_val_check_time_interval", None) is not None or trainer.check_val_every_n_epoch != 1:
            return False
        return _total(trainer.num_val_batches) == 0 or trainer.val_check_interval == 1.0

    def _validation_follows(self, trainer: "Trainer") -> bool:
        """Whether validation comes right after this batch, and this object saves after it."""
        if self._should_save_on_train_epoch_end(trainer) or not trainer.is_last_batch or not trainer.enable_validation:
            return False
        every = trainer.check_val_every_n_epoch
        return _total(trainer.num_val_batches) > 0 and (every is None or (trainer.current_epoch + 1) % every == 0)

    def _save_for_epoch(self, trainer: "Trainer") -> None:
        metrics = self._monitor_candidates(trainer)
        if self._every_n_epochs and (trainer.current_epoch + 1) % self._every_n_epochs == 0:
            self._save_topk_checkpoint(trainer, metrics)
        if self._last_global_step_saved == trainer.global_step or (
            self.save_last == "link" and self._last_checkpoint_saved
        ):
            self._save_last_checkpoint(trainer, metrics)

    # -- what to save -----------------------------------------------------------------------------------------------

    def _monitor_candidates(self, trainer: "Trainer") -> dict[str, Tensor]:
        """The metrics of the moment, as copies, with ``epoch`` and ``step``."""
        metrics = {name: torch.as_tensor(value).detach().clone() for name, value in trainer.callback_metrics.items()}
        for name, count in (("epoch", trainer.current_epoch), ("step", trainer.global_step)):
            # self.log("epoch", 3) makes a float of it, which "{epoch:02d}" would refuse
            metrics[name] = metrics[name].int() if name in metrics else torch.tensor(count)
        return metrics

    def _save_topk_checkpoint(self, trainer: "Trainer", metrics: dict[str, Tensor]) -> None:
        if self.save_top_k == 0:
            return
        if self.monitor is None:
            return self._save_none_monitor_checkpoint(trainer, metrics)
        if self.monitor not in metrics:
            return self._missing(list(metrics))
        if self.check_monitor_top_k(trainer, metrics[self.monitor]):
            return self._update_best_and_save(metrics[self.monitor], trainer, metrics)
        if self.verbose:
            rank_zero_info(f"{_moment(metrics)}: {self.monitor!r} was not in the top {self.save_top_k}.")

    def _missing(self, names: list[str]) -> None:
        message = (
            f"`ModelCheckpoint(monitor={self.monitor!r})` could not find the monitored key in the returned metrics: "
            f"{names}. Log it with self.log({self.monitor!r}, value), or monitor one of those."
        )
        if self._validated:
            raise MisconfigurationException(message)
        warn_once(message)

    def check_monitor_top_k(self, trainer: "Trainer", current: Tensor | None = None) -> bool:
        """Whether a model with the score ``current`` belongs to the best ``save_top_k``; the same on every rank."""
        if current is None:
            return False
        if self.save_top_k == -1 or len(self.best_k_models) < self.save_top_k:
            return True
        kth = self.best_k_models[self.kth_best_model_path]
        better = bool(current < kth if self.mode == "min" else current > kth)
        return trainer.strategy.reduce_boolean_decision(better)

    def _save_none_monitor_checkpoint(self, trainer: "Trainer", metrics: dict[str, Tensor]) -> None:
        previous = self.best_model_path
        with self._state_restored_on_failure():
            self.best_model_path = path = self._free_path(trainer, metrics, keep=previous)
            self._save_checkpoint(trainer, path)
        if self.save_top_k == 1 and previous:
            self._replaced.append((previous, path))
        if not self.save_last:
            self._remove_replaced(trainer)

    def _update_best_and_save(self, current: Tensor, trainer: "Trainer", metrics: dict[str, Tensor]) -> None:
        k = len(self.best_k_models) + 1 if self.save_top_k == -1 else self.save_top_k
        evicted = self.kth_best_model_path if len(self.best_k_models) == k else ""
        if torch.isnan(current):  # ranked last, and replaced by the first that is a number
            current = torch.full_like(current, torch.inf if self.mode == "min" else -torch.inf)
        path = self._free_path(trainer, metrics, keep=evicted)
        with self._state_restored_on_failure():  # the state is part of the file, so it changes first
            kept = {name: score for name, score in self.best_k_models.items() if name != evicted}
            self.best_k_models = {**kept, path: current}
            self.current_score = current
            self._rank(k)
            if self.verbose:
                rank_zero_info(
                    f"{_moment(metrics)}: {self.monitor!r} reached {current:0.5f} (best {self.best_model_score:0.5f}), "
                    f"saving model to {path!r} as top {k}."
                )
            self._save_checkpoint(trainer, path)
        if evicted:
            self._replaced.append((evicted, path))
        if not self.save_last:
            self._remove_replaced(trainer)

    def _rank(self, k: int) -> None:
        """Find the best and, once there are ``k``, the worst of ``best_k_models``; among equals the earliest."""
        best, worst = (min, max) if self.mode == "min" else (max, min)
        scores = self.best_k_models
        self.best_model_path = best(scores, key=lambda path: scores[path].item())
        self.best_model_score = scores[self.best_model_path]
        if len(scores) == k:
            self.kth_best_model_path = worst(scores, key=lambda path: scores[path].item())
            self.kth_value = scores[self.kth_best_model_path]

    def _save_last_checkpoint(self, trainer: "Trainer", metrics: dict[str, Tensor]) -> None:
        if not self.save_last:
            return
        previous, name = self.last_model_path or self._resumed_last(trainer), self.CHECKPOINT_NAME_LAST
        with self._state_restored_on_failure():
            self.last_model_path = path = self._free_path(trainer, metrics, keep=previous, filename=name)
            if self.save_last == "link" and self._last_checkpoint_saved and self.save_top_k != 0:
                self._link_checkpoint(trainer, self._last_checkpoint_saved, path)
            else:
                self._save_checkpoint(trainer, path)
        if previous and self._should_remove_checkpoint(trainer, previous, path):
            self._remove_checkpoint(trainer, previous)
        self._remove_replaced(trainer)

    @contextmanager
    def _state_restored_on_failure(self) -> Iterator[None]:
        before = self.state_dict()
        try:
            yield
        except BaseException:
            vars(self).update(before)
            raise


def _moment(metrics: dict[str, Tensor]) -> str:
    return f"Epoch {metrics['epoch']:d}, global step {metrics['step']:d}"


def _total(batches: float | Sequence[float]) -> float:
    return sum(batches) if isinstance(batches, Sequence) else batches
