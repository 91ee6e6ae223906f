"""Stop training when a metric no longer improves.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.EarlyStopping.html
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torchlift.callback import Callback
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import log, rank_zero_warn

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["EarlyStopping", "EarlyStoppingReason"]


class EarlyStoppingReason(Enum):
    """Why training was stopped; the numbers are kept in checkpoints."""

    NOT_STOPPED = 0
    STOPPING_THRESHOLD = 1
    DIVERGENCE_THRESHOLD = 2
    PATIENCE_EXHAUSTED = 3
    NON_FINITE_METRIC = 4


class EarlyStopping(Callback):
    """Watch one logged metric and set ``trainer.should_stop`` once it has stopped improving.

    Args:
        monitor: name under which the metric was logged.
        min_delta: an improvement must be larger than this.
        patience: number of checks in a row without improvement after which training stops. A check is one validation
            run, or one epoch where there is one validation run an epoch.
        verbose: report each improvement and the reason to stop.
        mode: "min" if lower is better, "max" if higher is.
        strict: raise when the metric is missing; otherwise that check is left out.
        check_finite: stop when the metric is NaN or infinite.
        stopping_threshold: stop at once when the metric is better than this.
        divergence_threshold: stop at once when the metric is worse than this.
        check_on_train_epoch_end: check at the end of the training epoch (True) or of validation (False); by default
            the former exactly if validation runs once every epoch.
        log_rank_zero_only: report on rank 0 only.

    Attributes:
        best_score: best value so far (0-dim tensor). wait_count: checks since then. stopped_epoch: epoch in which
            training was stopped, 0 if it was not. stopping_reason, stopping_reason_message: why.

    Raises:
        MisconfigurationException: ``mode`` is neither "min" nor "max".
        RuntimeError: (during the run, if ``strict``) the metric was not logged; the message lists those that were.
    """

    mode_dict = {"min": torch.lt, "max": torch.gt}
    order_dict = {"min": "<", "max": ">"}

    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: str = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
        log_rank_zero_only: bool = False,
    ) -> None:
        if mode not in self.mode_dict:
            raise MisconfigurationException(f"EarlyStopping: `mode` can be {', '.join(self.mode_dict)}, got {mode}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta if mode == "max" else -min_delta
        self.patience = patience
        self.verbose = verbose
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.log_rank_zero_only = log_rank_zero_only
        self._check_on_train_epoch_end = check_on_train_epoch_end
        self.best_score = torch.tensor(torch.inf if mode == "min" else -torch.inf)
        self.wait_count = 0
        self.stopped_epoch = 0
        self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
        self.stopping_reason_message: str | None = None

    @property
    def monitor_op(self) -> Callable[..., Tensor]:
        """``torch.lt`` or ``torch.gt``: whether its first argument is better than its second."""
        return self.mode_dict[self.mode]

    @property
    def state_key(self) -> str:
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    def state_dict(self) -> dict[str, Any]:
        return {
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "best_score": self.best_score,
            "patience": self.patience,
            "stopping_reason": self.stopping_reason.value,
            "stopping_reason_message": self.stopping_reason_message,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.wait_count = state_dict["wait_count"]
        self.stopped_epoch = state_dict["stopped_epoch"]
        self.best_score = state_dict["best_score"]
        self.patience = state_dict["patience"]
        self.stopping_reason = EarlyStoppingReason(state_dict.get("stopping_reason", 0))
        self.stopping_reason_message = state_dict.get("stopping_reason_message")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._check_on_train_epoch_end is None:
            self._check_on_train_epoch_end = trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._check_on_train_epoch_end and not self._should_skip_check(trainer):
            self._run_early_stopping_check(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._check_on_train_epoch_end and not self._should_skip_check(trainer):
            self._run_early_stopping_check(trainer)

    # Subclasses are known to override these, by these names.

    def _should_skip_check(self, trainer: Trainer) -> bool:
        return trainer.state.fn != "fit" or trainer.sanity_checking

    def _run_early_stopping_check(self, trainer: Trainer) -> None:
        logged = trainer.callback_metrics
        if trainer.fast_dev_run or not self._validate_condition_metric(logged):
            return
        stop, message = self._evaluate_stopping_criteria(logged[self.monitor].detach().squeeze())
        # Every rank stops if one wants to: the others would wait for its gradients for ever.
        stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            trainer.should_stop = True
            self.stopped_epoch = trainer.current_epoch
            self.stopping_reason_message = message
        if message and self.verbose:
            self._log_info(trainer, message, self.log_rank_zero_only)

    def _validate_condition_metric(self, logs: dict[str, Tensor]) -> bool:
        """Whether the metric is there; raises, or warns, if it is not."""
        if self.monitor in logs:
            return True
        message = (
            f"Early stopping conditioned on metric `{self.monitor}` which is not available: nothing of that name"
            f" was logged. Log it with self.log({self.monitor!r}, value), or pass in or modify your `EarlyStopping`"
            f" callback to use any of the following: `{'`, `'.join(logs)}`"
        )
        if self.strict:
            raise RuntimeError(message)
        if self.verbose:
            rank_zero_warn(message, RuntimeWarning)
        return False

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        """Whether to stop on this value, and a sentence about it if there is something to say."""
        name, better = self.monitor, self.monitor_op
        if self.check_finite and not torch.isfinite(current):
            self.stopping_reason = EarlyStoppingReason.NON_FINITE_METRIC
            return True, (
                f"Monitored metric {name} = {current} is not finite; the best value was {self.best_score:.3f}."
                " Signaling Trainer to stop."
            )
        if self.stopping_threshold is not None and better(current, self.stopping_threshold):
            self.stopping_reason = EarlyStoppingReason.STOPPING_THRESHOLD
            order = self.order_dict[self.mode]
            return True, (
                f"Stopping threshold reached: {name} = {current} {order} {self.stopping_threshold}."
                " Signaling Trainer to stop."
            )
        if self.divergence_threshold is not None and better(-current, -self.divergence_threshold):
            self.stopping_reason = EarlyStoppingReason.DIVERGENCE_THRESHOLD
            return True, (
                f"Divergence threshold reached: {name} = {current} is past {self.divergence_threshold}."
                " Signaling Trainer to stop."
            )
        if better(current - self.min_delta, self.best_score.to(current.device)):
            return False, self._improvement_message(current)
        self.wait_count += 1
        if self.wait_count < self.patience:
            return False, None
        self.stopping_reason = EarlyStoppingReason.PATIENCE_EXHAUSTED
        return True, (
            f"Monitored metric {name} did not improve in the last {self.wait_count} records; the best value was"
            f" {self.best_score:.3f}. Signaling Trainer to stop."
        )

    def _improvement_message(self, current: Tensor) -> str:
        """Take over a better value, and say by how much it is better."""
        gain = f" by {abs(self.best_score - current):.3f}" if torch.isfinite(self.best_score) else ""
        self.best_score, self.wait_count = current.clone(), 0
        return f"Metric {self.monitor} improved{gain}. New best score: {current:.3f}"

    @staticmethod
    def _log_info(trainer: Trainer, message: str, log_rank_zero_only: bool) -> None:
        if trainer.world_size == 1:
            log.info(message)
        elif not (log_rank_zero_only and trainer.global_rank):
            log.info(f"[rank: {trainer.global_rank}] {message}")
