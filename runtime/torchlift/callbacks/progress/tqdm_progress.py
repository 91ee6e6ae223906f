"""A progress bar drawn with tqdm, on standard error.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.TQDMProgressBar.html
"""

from __future__ import annotations

import io
import math
import os
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from torchlift.callback import ignores_outputs
from torchlift.callbacks.progress.progress_bar import ProgressBar

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["TQDMProgressBar", "Tqdm"]

_NUMBER_WIDTH = 5
_DESCRIPTIONS = {"val": "validation_description", "test": "test_description", "predict": "predict_description"}


class Tqdm(tqdm):
    """tqdm with numbers of even width, so that the bar does not jump."""

    def display(self, *args: Any, **kwargs: Any) -> Any:
        """Draw, unless nobody sees it."""
        return None if isinstance(self.fp, _Nowhere) else super().display(*args, **kwargs)

    @staticmethod
    def format_num(n: float | str) -> str:
        """``n`` as short text; floats and numeric text are filled up to five characters with zeros."""
        text = n if isinstance(n, str) else str(tqdm.format_num(n))
        if isinstance(n, int) or "e" in text:
            return text
        if "." not in text and len(text) < _NUMBER_WIDTH:
            try:
                float(text)
            except ValueError:
                return text
            text += "."
        return text.ljust(_NUMBER_WIDTH, "0")


class TQDMProgressBar(ProgressBar):
    """One bar for the training epoch and one below it for validation, as with ``tqdm(loader)``.

    The count goes on after every ``refresh_rate`` batches; the bar is redrawn then, but at most ten times a second, and
    metrics are read only when it is. Where standard error is no terminal, the bars count and show nothing.

    Args:
        refresh_rate: batches between two counts; 0 shows nothing. ``TQDM_MINITERS`` in the environment raises it, and
            on Google Colab 1 means 20.
        process_position: lines to leave free above, for bars of other programs.
        leave: leave the bar of each epoch standing.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
    MIN_INTERVAL = 0.1  # seconds between two drawings

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False) -> None:
        super().__init__()
        if refresh_rate == 1 and os.environ.get("COLAB_GPU"):
            refresh_rate = 20  # the notebook's page does not keep up with more
        self._refresh_rate = max(refresh_rate, int(os.environ.get("TQDM_MINITERS", 0)))
        self._process_position = process_position
        self._leave = leave
        self._enabled = True
        self._bars: dict[str, Any] = {}
        self._due = 0.0  # when the next drawing may come, on time.monotonic
        self._batches = 0

    # -- what a user can ask and change -----------------------------------------------------------------------------

    @property
    def refresh_rate(self) -> int:
        return self._refresh_rate

    @property
    def process_position(self) -> int:
        return self._process_position

    @property
    def is_enabled(self) -> bool:
        return self._enabled and self.refresh_rate > 0

    @property
    def is_disabled(self) -> bool:
        return not self.is_enabled

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    @property
    def train_progress_bar(self) -> Any:
        """The tqdm bar of the training epoch; a TypeError before there is one."""
        return self._bar("train")

    @train_progress_bar.setter
    def train_progress_bar(self, bar: Any) -> None:
        self._bars["train"] = bar

    @property
    def val_progress_bar(self) -> Any:
        """The tqdm bar of validation."""
        return self._bar("val")

    @val_progress_bar.setter
    def val_progress_bar(self, bar: Any) -> None:
        self._bars["val"] = bar

    @property
    def test_progress_bar(self) -> Any:
        """The tqdm bar of the test."""
        return self._bar("test")

    @test_progress_bar.setter
    def test_progress_bar(self, bar: Any) -> None:
        self._bars["test"] = bar

    @property
    def predict_progress_bar(self) -> Any:
        """The tqdm bar of the prediction."""
        return self._bar("predict")

    @predict_progress_bar.setter
    def predict_progress_bar(self, bar: Any) -> None:
        self._bars["predict"] = bar

    def init_sanity_tqdm(self) -> Tqdm:
        """The bar of the sanity check; override it to change the bar. So with the four below."""
        return self._make(self.sanity_check_description, leave=False)

    def init_train_tqdm(self) -> Tqdm:
        return self._make(self.train_description, leave=True, smoothing=0)

    def init_validation_tqdm(self) -> Tqdm:
        below = self.trainer.state.fn != "validate"  # below the bar of the training epoch
        return self._make(self.validation_description, leave=not below, position=int(below))

    def init_test_tqdm(self) -> Tqdm:
        return self._make(self.test_description, leave=True)

    def init_predict_tqdm(self) -> Tqdm:
        return self._make(self.predict_description, leave=True, smoothing=0)

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        """``print`` above the bars (to standard output, unless ``file`` says otherwise)."""
        if any(not bar.disable for bar in self._bars.values()):
            Tqdm.write(sep.join(map(str, args)), **kwargs)
        else:
            print(*args, sep=sep, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_bars": {}, "_trainer": None}  # a terminal does not travel

    # -- hooks ------------------------------------------------------------------------------------------------------

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.val_progress_bar = self.init_sanity_tqdm()

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.val_progress_bar.close()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.train_progress_bar, self._batches = self.init_train_tqdm(), 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._leave:
            if self._batches == 0:  # the bar of `on_train_start`, which showed nothing yet
                self.train_progress_bar.leave = False
                self.train_progress_bar.close()
            self.train_progress_bar = self.init_train_tqdm()
        self._batches = 0
        _restart(self.train_progress_bar, f"Epoch {trainer.current_epoch}", self.total_train_batches)

    @ignores_outputs
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches = batch_idx + 1
        if self._counts(self._batches, self._bars["train"]) and monotonic() >= self._due:
            self._draw_train(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_enabled:
            self.train_progress_bar.n = self._batches  # also of a loader without a length
        self._draw_train(trainer, pl_module)
        if self._leave:
            self.train_progress_bar.close()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.train_progress_bar.close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.val_progress_bar = self.init_validation_tqdm()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._advance("val", batch_idx, dataloader_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end("val")
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._draw_train(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.test_progress_bar = self.init_test_tqdm()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._advance("test", batch_idx, dataloader_idx)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end("test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.predict_progress_bar = self.init_predict_tqdm()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._advance("predict", batch_idx, dataloader_idx)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end("predict")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        for bar in self._bars.values():
            bar.close()

    # -- the bars ---------------------------------------------------------------------------------------------------

    def _make(self, description: str, leave: bool, position: int = 0, **options: Any) -> Tqdm:
        return Tqdm(
            desc=description,
            position=2 * self.process_position + position,
            disable=self.is_disabled,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stderr if sys.stderr.isatty() else _Nowhere(),
            bar_format=self.BAR_FORMAT,
            **options,
        )

    def _bar(self, stage: str) -> Any:
        if stage not in self._bars:
            raise TypeError(f"{type(self).__name__} has no {stage} bar before that part of the run has begun.")
        return self._bars[stage]

    def _counts(self, batches: int, bar: Any) -> bool:
        """Whether the bar goes on at this batch; it does so at its last one too."""
        rate = self._refresh_rate
        if not (self._enabled and rate and (batches % rate == 0 or batches == bar.total)):
            return False
        bar.n = batches
        return True

    def _draw_train(self, trainer: Trainer, pl_module: LightningModule) -> None:
        bar = self.train_progress_bar
        if not bar.disable:
            bar.set_postfix(self.get_metrics(trainer, pl_module))  # draws
        self._due = monotonic() + self.MIN_INTERVAL

    def _advance(self, stage: str, batch_idx: int, dataloader_idx: int) -> None:
        bar = self._bars[stage]
        if dataloader_idx != self._current_eval_dataloader_idx:
            self.has_dataloader_changed(dataloader_idx)
            description = getattr(self, _DESCRIPTIONS[stage])
            if stage == "val" and self.trainer.sanity_checking:
                description = self.sanity_check_description
            total = getattr(self, f"total_{stage}_batches_current_dataloader")
            _restart(bar, f"{description} DataLoader {dataloader_idx}", total)
        if self._counts(batch_idx + 1, bar) and monotonic() >= self._due:
            bar.refresh()
            self._due = monotonic() + self.MIN_INTERVAL

    def _end(self, stage: str) -> None:
        bar = self._bar(stage)
        bar.refresh()
        bar.close()
        self.reset_dataloader_idx_tracker()


def _restart(bar: Any, description: str, total: float) -> None:
    bar.reset()
    bar.total = total if math.isfinite(total) else None
    bar.initial = 0
    bar.set_description(description)


class _Nowhere(io.StringIO):
    """Takes what a bar writes where there is no terminal, and keeps none of it."""

    def write(self, text: str) -> int:
        return len(text)
