"""Measure how long the parts of a run take, and stop training when its time is up.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.Timer.html
"""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from torchlift.callback import Callback, ignores_outputs
from torchlift.states import RunningStage
from torchlift.utilities.enums import LowercaseEnum
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["Timer"]


class Interval(LowercaseEnum):
    """When the clock is looked at."""

    step = "step"
    epoch = "epoch"


class Timer(Callback):
    """Times training, validation and test; ``Trainer(max_time=...)`` makes one.

    Args:
        duration: how long training may take, over all runs that resume one another: a timedelta, its arguments as a
            dictionary, or text ``DD:HH:MM:SS``. None for no limit.
        interval: look at the clock after each "step" (or "batch", which is the same) or each "epoch".
        verbose: say so when time is up.

    Raises:
        MisconfigurationException: the text or the interval cannot be read.
    """

    def __init__(
        self, duration: str | timedelta | dict[str, int] | None = None, interval: str = "step", verbose: bool = True
    ) -> None:
        interval = "step" if interval == "batch" else interval
        if interval not in list(Interval):
            raise MisconfigurationException(
                f"Unsupported parameter value `Timer(interval={interval})`. Possible choices are:"
                f" {', '.join(one.value for one in Interval)}"
            )
        self._duration = _seconds(duration)
        self._interval = Interval(interval.lower())
        self._verbose = verbose
        self._start_time: dict[str, float] = {}
        self._end_time: dict[str, float] = {}
        self._offset = 0.0  # seconds of training before the checkpoint that was resumed

    def start_time(self, stage: str = RunningStage.TRAINING) -> float | None:
        """When the stage ("train", "validate", "test") began, on ``time.monotonic``; None if it did not."""
        return self._start_time.get(RunningStage(stage).value)

    def end_time(self, stage: str = RunningStage.TRAINING) -> float | None:
        """When the stage ended, on ``time.monotonic``; None if it did not."""
        return self._end_time.get(RunningStage(stage).value)

    def time_elapsed(self, stage: str = RunningStage.TRAINING) -> float:
        """Seconds spent in the stage; for training, those of the runs it resumes included."""
        start, end = self.start_time(stage), self.end_time(stage)
        offset = self._offset if RunningStage(stage) is RunningStage.TRAINING else 0.0
        if start is None:
            return offset
        return (time.monotonic() if end is None else end) - start + offset

    def time_remaining(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Seconds left, None without a limit."""
        return None if self._duration is None else self._duration - self.time_elapsed(stage)

    def state_dict(self) -> dict[str, Any]:
        return {"time_elapsed": {stage.value: self.time_elapsed(stage) for stage in RunningStage}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._offset = state_dict.get("time_elapsed", {}).get(RunningStage.TRAINING.value, 0.0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check_time_remaining(trainer)  # a checkpoint may have been restored whose time is used up

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(RunningStage.TRAINING)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end(RunningStage.TRAINING)

    @ignores_outputs
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._interval is Interval.step:
            self._check_time_remaining(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._interval is Interval.epoch:
            self._check_time_remaining(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(RunningStage.VALIDATING)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end(RunningStage.VALIDATING)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(RunningStage.TESTING)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end(RunningStage.TESTING)

    def _begin(self, stage: RunningStage) -> None:
        self._start_time[stage.value] = time.monotonic()
        self._end_time.pop(stage.value, None)

    def _end(self, stage: RunningStage) -> None:
        self._end_time[stage.value] = time.monotonic()

    def _check_time_remaining(self, trainer: Trainer) -> None:
        if self._duration is None:
            return
        if trainer.strategy.broadcast(self.time_elapsed() >= self._duration):  # rank 0's clock counts
            trainer.should_stop = True
            if self._verbose:
                elapsed = timedelta(seconds=int(self.time_elapsed()))
                rank_zero_info(f"Time limit reached. Elapsed time is {elapsed}. Signaling Trainer to stop.")


def _seconds(duration: str | timedelta | dict[str, int] | None) -> float | None:
    if isinstance(duration, str):
        match = re.fullmatch(r"(\d+):(\d\d):(\d\d):(\d\d)", duration.strip())
        if not match:
            raise MisconfigurationException(
                f"`Timer(duration={duration!r})` is not a valid duration. As text it has the format DD:HH:MM:SS."
            )
        days, hours, minutes, seconds = map(int, match.groups())
        return timedelta(days, seconds, minutes=minutes, hours=hours).total_seconds()
    if isinstance(duration, dict):
        duration = timedelta(**duration)
    return None if duration is None else duration.total_seconds()
