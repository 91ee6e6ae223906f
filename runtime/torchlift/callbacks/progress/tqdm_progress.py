"""A progress bar drawn with tqdm, on standard error.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.TQDMProgressBar.html
"""

from __future__ import annotations

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


class Tqdm(tqdm):
    """tqdm with numbers of even width, so that the bar does not jump."""

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

    A bar is redrawn after ``refresh_rate`` batches, but at most ten times a second, and metrics are read only then.
    Where standard error is no terminal, nothing is shown.

    Args:
        refresh_rate: batches between two drawings; 0 shows nothing. ``TQDM_MINITERS`` in the environment raises it.
        process_position: lines to leave free above, for bars of other programs.
        leave: leave the bar of each epoch standing.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
    MIN_INTERVAL = 0.1  # seconds between two drawings

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False) -> None:
        super().__init__()
        self._refresh_rate = max(refresh_rate, int(os.environ.get("TQDM_MINITERS", 0))) if refresh_rate else 0
        self._process_position = process_position
        self._leave = leave
        self._enabled = True
        self._bars: dict[str, Any] = {}
        self._due = 0.0  # when the next drawing may come, on time.monotonic
        self._batches = 0
        self._evaluated = 0

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
        if not self._leave:
            self.train_progress_bar = self.init_train_tqdm()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._leave:
            self.train_progress_bar = self.init_train_tqdm()
        self._batches = 0
        _restart(self.train_progress_bar, f"Epoch {trainer.current_epoch}", self.total_train_batches)

    @ignores_outputs
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches = batch_idx + 1
        if self._is_due(self._batches):
            self._draw_train(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._leave:
            self._draw_train(trainer, pl_module)
            self.train_progress_bar.close()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._leave:
            self._draw_train(trainer, pl_module)
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
            disable=True if self.is_disabled else None,  # None: tqdm shows nothing where there is no terminal
            leave=leave,
            dynamic_ncols=True,
            file=sys.stderr,
            bar_format=self.BAR_FORMAT,
            **options,
        )

    def _bar(self, stage: str) -> Any:
        if stage not in self._bars:
            raise TypeError(f"{type(self).__name__} has no {stage} bar before that part of the run has begun.")
        return self._bars[stage]

    def _is_due(self, batches: int) -> bool:
        return self.is_enabled and batches % self.refresh_rate == 0 and monotonic() >= self._due

    def _draw_train(self, trainer: Trainer, pl_module: LightningModule) -> None:
        bar = self.train_progress_bar
        if not bar.disable:
            bar.n = self._batches
            bar.set_postfix(self.get_metrics(trainer, pl_module))  # draws
        self._due = monotonic() + self.MIN_INTERVAL

    def _advance(self, stage: str, batch_idx: int, dataloader_idx: int) -> None:
        bar = self._bar(stage)
        self._evaluated = batch_idx + 1
        if self.has_dataloader_changed(dataloader_idx) and not bar.disable:
            total = getattr(self, f"total_{stage}_batches_current_dataloader")
            _restart(bar, f"{bar.desc.partition(' DataLoader')[0].rstrip(': ')} DataLoader {dataloader_idx}", total)
        if self._is_due(self._evaluated) and not bar.disable:
            bar.n = self._evaluated
            bar.refresh()
            self._due = monotonic() + self.MIN_INTERVAL

    def _end(self, stage: str) -> None:
        bar = self._bar(stage)
        if not bar.disable:
            bar.n = self._evaluated
            bar.refresh()
        bar.close()
        self.reset_dataloader_idx_tracker()


def _restart(bar: Any, description: str, total: float) -> None:
    if not bar.disable:
        bar.reset(total if math.isfinite(total) else None)
        bar.set_description(description)
