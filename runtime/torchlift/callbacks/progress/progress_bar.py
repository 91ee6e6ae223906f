"""The base of all progress bars: totals, metrics and descriptions.

Reference: https://lightning.ai/docs/pytorch/stable/common/progress_bar.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from torchlift.callback import Callback
from torchlift.utilities.rank_zero import warn_once

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["ProgressBar", "get_standard_metrics"]


class ProgressBar(Callback):
    """Knows how far a run has come; a subclass shows it, by overriding hooks, :meth:`disable` and :meth:`enable`."""

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._current_eval_dataloader_idx: int | None = None

    @property
    def trainer(self) -> Trainer:
        """The Trainer whose run is shown; a TypeError before a run has begun."""
        if self._trainer is None:
            raise TypeError(f"{type(self).__name__} belongs to no Trainer before a run has begun.")
        return self._trainer

    @property
    def sanity_check_description(self) -> str:
        return "Sanity Checking"

    @property
    def train_description(self) -> str:
        return "Training"

    @property
    def validation_description(self) -> str:
        return "Validation"

    @property
    def test_description(self) -> str:
        return "Testing"

    @property
    def predict_description(self) -> str:
        return "Predicting"

    @property
    def total_train_batches(self) -> int | float:
        """Training batches of this epoch; infinite if the loader has no length."""
        trainer = self.trainer
        if trainer.max_epochs == -1 and trainer.max_steps is not None and trainer.max_steps > 0:
            return min(trainer.num_training_batches, trainer.max_steps - trainer.global_step)
        return trainer.num_training_batches

    @property
    def total_val_batches_current_dataloader(self) -> int | float:
        """Batches of the validation loader under way (of the sanity check, while that runs)."""
        trainer = self.trainer
        return self._of_dataloader(
            trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        )

    @property
    def total_test_batches_current_dataloader(self) -> int | float:
        """Batches of the test loader under way."""
        return self._of_dataloader(self.trainer.num_test_batches)

    @property
    def total_predict_batches_current_dataloader(self) -> int | float:
        """Batches of the prediction loader under way."""
        return self._of_dataloader(self.trainer.num_predict_batches)

    @property
    def total_val_batches(self) -> int | float:
        """Batches of all validation loaders together; 0 in an epoch without validation."""
        trainer = self.trainer
        every = trainer.check_val_every_n_epoch
        if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
            return 0
        batches = trainer.num_val_batches
        return sum(batches) if isinstance(batches, list) else batches

    def _of_dataloader(self, batches: Any) -> int | float:
        return batches[self._current_eval_dataloader_idx or 0] if isinstance(batches, list) else batches

    def has_dataloader_changed(self, dataloader_idx: int) -> bool:
        """Whether evaluation has come to another loader since the last call."""
        changed = self._current_eval_dataloader_idx != dataloader_idx
        self._current_eval_dataloader_idx = dataloader_idx
        return changed

    def reset_dataloader_idx_tracker(self) -> None:
        """An evaluation is over: the next one begins with a loader that is new."""
        self._current_eval_dataloader_idx = None

    def disable(self) -> None:
        """Show nothing from here on. Every rank but the first is told so."""
        raise NotImplementedError

    def enable(self) -> None:
        """Show progress again."""
        raise NotImplementedError

    def print(self, *args: Any, **kwargs: Any) -> None:
        """``print`` without tearing the bar."""
        print(*args, **kwargs)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._trainer = trainer
        if not trainer.is_global_zero:
            self.disable()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What is shown beside the bar: the version, and what was logged with ``prog_bar=True``.

        Called only when the bar is about to be drawn, because reading a metric waits for the device.
        """
        standard, logged = get_standard_metrics(trainer), trainer.progress_bar_metrics
        if twice := sorted(standard.keys() & logged.keys()):
            warn_once(
                f"The progress bar already shows {', '.join(map(repr, twice))}, which self.log(..., prog_bar=True) "
                "replaces. Log it under another name, or override get_metrics() of the progress bar."
            )
        items = {**standard, **logged}
        return {name: value.item() if isinstance(value, Tensor) else value for name, value in items.items()}


def get_standard_metrics(trainer: Trainer) -> dict[str, int | str]:
    """``v_num``, the version of the loggers, as far as there is one; of a long name the last four characters."""
    if not trainer.loggers:
        return {}
    versions = list(dict.fromkeys(logger.version for logger in trainer.loggers))
    version = versions[0] if len(versions) == 1 else "_".join(map(str, versions))
    if version in ("", None):
        return {}
    return {"v_num": version[-4:] if isinstance(version, str) else version}
