"""Accumulate gradients over a number of batches that depends on the epoch.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.GradientAccumulationScheduler.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchlift.callback import Callback
from torchlift.run import overrides
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_warn

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["GradientAccumulationScheduler"]


class GradientAccumulationScheduler(Callback):
    """``{0: 8, 4: 4}`` accumulates over 8 batches, and over 4 from the fifth epoch on (epochs count from 0).

    Args:
        scheduling: batches by the epoch from which the number holds; 1 before the first.

    Raises:
        TypeError: there is no entry.
        MisconfigurationException: an epoch is negative, or a number of batches below 1.
        RuntimeError: (at the start) the module optimizes by hand. ValueError: the Trainer accumulates already.
    """

    def __init__(self, scheduling: dict[int, int]) -> None:
        if not scheduling:
            raise TypeError("GradientAccumulationScheduler needs at least one entry {epoch: number of batches}.")
        if any(not isinstance(epoch, int) or epoch < 0 for epoch in scheduling):
            raise MisconfigurationException(
                f"Epoch should be an int greater than or equal to 0. Got {list(scheduling)}."
            )
        if any(not isinstance(batches, int) or batches < 1 for batches in scheduling.values()):
            raise MisconfigurationException(
                f"Accumulation factor should be an int greater than 0. Got {list(scheduling.values())}."
            )
        self.scheduling = {0: 1} | scheduling
        self.epochs = sorted(self.scheduling)
        self._chosen = 1

    def going_to_accumulate_grad_batches(self) -> bool:
        """Whether any epoch accumulates."""
        return any(batches > 1 for batches in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """Batches to accumulate over in ``epoch``."""
        return self.scheduling[max(first for first in self.epochs if first <= epoch)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not pl_module.automatic_optimization:
            raise RuntimeError(
                "Automatic gradient accumulation and the `GradientAccumulationScheduler` is not supported for manual"
                " optimization: accumulate in training_step, or remove the callback."
            )
        if self.going_to_accumulate_grad_batches() and any(
            overrides(pl_module, name) for name in ("optimizer_step", "optimizer_zero_grad")
        ):
            rank_zero_warn(
                "When using `Trainer(accumulate_grad_batches != 1)` and overriding"
                " `LightningModule.optimizer_{step,zero_grad}`, the hooks will not be called on every batch (rather,"
                " they are called on every optimization step)."
            )
        if trainer.accumulate_grad_batches not in (1, self._chosen):
            raise ValueError(
                "You have set `accumulate_grad_batches` and are using the `GradientAccumulationScheduler` callback:"
                " both say how to accumulate. Remove one of them."
            )
        self._choose(trainer)  # an epoch that is resumed in its middle does not start again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._choose(trainer)

    def _choose(self, trainer: Trainer) -> None:
        trainer.accumulate_grad_batches = self._chosen = self.get_accumulate_grad_batches(trainer.current_epoch)
