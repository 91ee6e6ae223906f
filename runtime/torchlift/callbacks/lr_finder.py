"""Search for a learning rate at the start of a fit.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.LearningRateFinder.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchlift.callback import Callback
from torchlift.utilities.exceptions import _TunerExitException
from torchlift.utilities.seed import isolate_rng

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer
    from torchlift.tuner.lr_finder import LRFinder

__all__ = ["LearningRateFinder"]


class LearningRateFinder(Callback):
    """Searches before the first epoch, and trains on with the rate that it found. See ``Tuner.lr_find``.

    To search at other moments, override ``on_fit_start`` with nothing and call ``self.lr_find(trainer, pl_module)``
    there, for instance in ``on_train_epoch_start``.

    Args:
        min_lr: the first rate.
        max_lr: the last rate.
        num_training_steps: steps between them.
        mode: how the rate rises, ``"exponential"`` or ``"linear"``.
        early_stop_threshold: stop when the smoothed loss is so many times the best one; ``None`` never stops.
        update_attr: set the suggestion as the module's learning rate.
        attr_name: the attribute that holds it; ``lr`` and ``learning_rate`` are found by themselves.

    Attributes:
        optimal_lr: the last search's rates and losses.

    Raises:
        ValueError: an unknown mode.
        MisconfigurationException: (when it searches) there is not exactly one optimizer.
        AttributeError: (when it searches) ``update_attr`` and no such attribute.
    """

    SUPPORTED_MODES = ("linear", "exponential")

    def __init__(
        self,
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
        weights_only: bool | None = None,
    ) -> None:
        mode = mode.lower()
        if mode not in self.SUPPORTED_MODES:
            raise ValueError(f"`mode` should be either of {self.SUPPORTED_MODES}")
        self._min_lr, self._max_lr, self._num_training_steps, self._mode = min_lr, max_lr, num_training_steps, mode
        self._early_stop_threshold, self._update_attr, self._attr_name = early_stop_threshold, update_attr, attr_name
        self._early_exit = False  # set by the Tuner: the run ends with the search
        self.optimal_lr: LRFinder | None = None

    def lr_find(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search now; the random generators are left as they were."""
        from torchlift.tuner.lr_finder import lr_find

        with isolate_rng():
            self.optimal_lr = lr_find(
                trainer,
                pl_module,
                self._min_lr,
                self._max_lr,
                self._num_training_steps,
                self._mode,
                self._early_stop_threshold,
                self._update_attr,
                self._attr_name,
            )
        if self._early_exit:
            raise _TunerExitException

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.lr_find(trainer, pl_module)
