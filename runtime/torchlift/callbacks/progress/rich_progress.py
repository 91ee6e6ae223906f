"""The default progress bar: one line at the bottom of the terminal, drawn with rich on standard error.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.RichProgressBar.html
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from torchlift.callback import ignores_outputs
from torchlift.callbacks.progress._meter import Meter, PlainLines, Sink
from torchlift.callbacks.progress.progress_bar import ProgressBar

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["RichProgressBar", "RichProgressBarTheme"]


MIN_INTERVAL = 0.1  # seconds between two drawings


@dataclass
class RichProgressBarTheme:
    """Rich styles (https://rich.readthedocs.io/en/stable/style.html) of the parts of the bar, and how metrics read."""

    description: str = ""
    progress_bar: str = "cyan"
    progress_bar_finished: str = "green"
    progress_bar_pulse: str = "cyan"
    batch_progress: str = ""
    time: str = "dim"
    processing_speed: str = "dim"
    metrics: str = "italic"
    metrics_text_delimiter: str = " "
    metrics_format: str = ".3f"


class RichProgressBar(ProgressBar):
    """Shows the pass over a loader that is under way; while validation runs inside training, its line.

    On a terminal the line is drawn after every ``refresh_rate`` batches, but at most ten times a second, and metrics
    are read only then; a batch in between costs one comparison of clocks. Where standard error is no terminal, a line
    of plain text comes every ten seconds and at the end of the run. Standard output is left to the script.

    Args:
        refresh_rate: batches between two drawings; 0 shows nothing.
        leave: leave the line of each epoch standing.
        theme: colours and the format of metrics.
        console_kwargs: further arguments of ``rich.console.Console``.
    """

    def __init__(
        self,
        refresh_rate: int = 1,
        leave: bool = False,
        theme: RichProgressBarTheme | None = None,
        console_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.theme = theme or RichProgressBarTheme()
        self._refresh_rate = refresh_rate
        self._leave = leave
        self._console_kwargs = console_kwargs or {}
        self._enabled = True
        self._sink: Sink | None = None
        self._meter: Meter | None = None
        self._train_meter: Meter | None = None
        self._eval_meters: dict[str, Meter] = {}
        self._due = float("inf")  # when the next drawing may come, on time.monotonic
        self._batches = 0
        self._paused = 0.0

    # -- what a user can ask and change -----------------------------------------------------------------------------

    @property
    def refresh_rate(self) -> int:
        return self._refresh_rate

    @property
    def is_enabled(self) -> bool:
        return self._enabled and self.refresh_rate > 0

    @property
    def is_disabled(self) -> bool:
        return not self.is_enabled

    def disable(self) -> None:
        self._enabled = False
        self._due = float("inf")

    def enable(self) -> None:
        self._enabled = True
        self._due = 0.0 if self._sink else float("inf")

    @property
    def progress(self) -> Any:
        """The ``rich.progress.Progress`` behind the line; None where none is drawn."""
        return getattr(self._sink, "progress", None)

    @property
    def train_progress_bar(self) -> Meter | None:
        """Count, total and speed of the training epoch."""
        return self._train_meter

    @property
    def val_progress_bar(self) -> Meter | None:
        """Count, total and speed of the latest validation loader."""
        return self._eval_meters.get("val")

    @property
    def test_progress_bar(self) -> Meter | None:
        """Count, total and speed of the latest test loader."""
        return self._eval_meters.get("test")

    @property
    def predict_progress_bar(self) -> Meter | None:
        """Count, total and speed of the latest prediction loader."""
        return self._eval_meters.get("predict")

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """The rich columns of the line, before that of the metrics. Override it to show others."""
        from torchlift.callbacks.progress._rich_line import default_columns

        return default_columns(self.theme)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_sink": None, "_meter": None, "_trainer": None}  # a terminal does not travel

    # -- training ---------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        last = f"/{trainer.max_epochs - 1}" if trainer.max_epochs is not None and trainer.max_epochs > 0 else ""
        width = len(self.validation_description)  # so that the bar stays in place when validation begins
        self._train_meter = Meter(f"Epoch {trainer.current_epoch}{last}".ljust(width), self.total_train_batches)
        self._batches = 0
        self._begin(self._train_meter)

    @ignores_outputs
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches = batch_idx + 1
        if monotonic() >= self._due and self._batches % self._refresh_rate == 0:
            self._draw_train(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._leave:
            self._keep_train(trainer, pl_module)
        elif monotonic() >= self._due:
            self._draw_train(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._leave:
            self._keep_train(trainer, pl_module)
        self._close()

    def _draw_train(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (meter := self._train_meter) is not None:
            meter.completed, meter.metrics = self._batches, self.get_metrics(trainer, pl_module)
            self._draw(meter)

    def _keep_train(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (meter := self._train_meter) is not None and self._sink and self.is_enabled:
            meter.completed, meter.metrics = self._batches, self.get_metrics(trainer, pl_module)
            self._keep(meter)

    # -- evaluation -------------------------------------------------------------------------------------------------

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer)
        self._paused = monotonic()
        self._begin_eval("val", 0)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._advance_eval("val", batch_idx, dataloader_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_eval("val", keep=trainer.state.fn != "fit")
        if self._train_meter is not None and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._train_meter.started += monotonic() - self._paused  # validation is no part of the training speed
            self._begin(self._train_meter)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer)
        self._begin_eval("test", 0)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._advance_eval("test", batch_idx, dataloader_idx)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_eval("test", keep=True)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(trainer)
        self._begin_eval("predict", 0)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._advance_eval("predict", batch_idx, dataloader_idx)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end_eval("predict", keep=True)

    def _begin_eval(self, stage: str, dataloader_idx: int) -> None:
        self.has_dataloader_changed(dataloader_idx)
        description, total = {
            "val": (self.validation_description, "total_val_batches_current_dataloader"),
            "test": (self.test_description, "total_test_batches_current_dataloader"),
            "predict": (self.predict_description, "total_predict_batches_current_dataloader"),
        }[stage]
        if self.trainer.sanity_checking:
            description = self.sanity_check_description
        name = f"{description} DataLoader {dataloader_idx}" if dataloader_idx else description
        self._eval_meters[stage] = Meter(name, getattr(self, total))
        self._begin(self._eval_meters[stage])

    def _advance_eval(self, stage: str, batch_idx: int, dataloader_idx: int) -> None:
        if dataloader_idx != self._current_eval_dataloader_idx:
            self._begin_eval(stage, dataloader_idx)
        meter = self._eval_meters[stage]
        meter.completed = batch_idx + 1
        if monotonic() >= self._due and meter.completed % self._refresh_rate == 0:
            self._draw(meter)

    def _end_eval(self, stage: str, keep: bool) -> None:
        self.reset_dataloader_idx_tracker()
        if self._sink is None or self.is_disabled:
            return
        if keep:
            self._keep(self._eval_meters[stage])
            self._close()
        else:
            self._write(self._sink.erase)

    # -- the line ---------------------------------------------------------------------------------------------------

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._sink is not None and self._meter is not None and self.is_enabled:
            if self._meter is self._train_meter:
                self._meter.completed = self._batches  # metrics stay as they were: the device may be what failed
            self._keep(self._meter)
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close()

    def _open(self, trainer: Trainer) -> None:
        if self._sink is not None or self.is_disabled:
            return
        stream = sys.stderr
        if stream.isatty() and os.environ.get("TERM") != "dumb":
            from torchlift.callbacks.progress._rich_line import RichLine, metrics_column

            columns = [*self.configure_columns(trainer), metrics_column(self.theme)]
            self._sink = RichLine(stream, columns, MIN_INTERVAL, self._console_kwargs)
        else:
            self._sink = PlainLines(stream, self.theme.metrics_format)
        self._due = monotonic() + self._sink.interval

    def _begin(self, meter: Meter) -> None:
        self._meter = meter
        if self._sink is not None:
            self._sink.begin(meter)

    def _draw(self, meter: Meter) -> None:
        if self._sink is not None:
            self._due = monotonic() + self._sink.interval
            self._write(self._sink.draw, meter)

    def _keep(self, meter: Meter) -> None:
        if self._sink is not None and self.is_enabled:
            self._write(self._sink.keep, meter)

    def _write(self, write: Callable[..., None], *meter: Meter) -> None:
        try:
            write(*meter)
        except (OSError, ValueError):  # a closed pipe, a terminal that is gone: no reason to end a run
            self._close()
            self.disable()

    def _close(self) -> None:
        if self._sink is not None:
            self._sink.close()
        self._sink, self._meter, self._due = None, None, float("inf")
