"""Accumulate gradients over a number of batches that depends on the epoch.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.GradientAccumulationScheduler.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchlift.callback import Callback
from torchlift.utilities.exceptions import MisconfigurationException

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
        for kind, least, numbers in (("epoch", 0, list(scheduling)), ("number of batches", 1, scheduling.values())):
            if any(not isinstance(number, int) or number < least for number in numbers):
                raise MisconfigurationException(
                    f"GradientAccumulationScheduler: each {kind} is a whole number of {least} or more, not {numbers}."
                )
        self.scheduling = {0: 1} | scheduling
        self.epochs = sorted(self.scheduling)

    def going_to_accumulate_grad_batches(self) -> bool:
        """Whether any epoch accumulates."""
        return any(batches > 1 for batches in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """Batches to accumulate over in ``epoch``."""
        return self.scheduling[max(first for first in self.epochs if first <= epoch)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not pl_module.automatic_optimization:
            raise RuntimeError(
                "GradientAccumulationScheduler works with automatic optimization only: accumulate in training_step, "
                "or remove the callback."
            )
        if trainer.accumulate_grad_batches != 1:
            raise ValueError(
                f"Trainer(accumulate_grad_batches={trainer.accumulate_grad_batches}) and GradientAccumulationScheduler "
                "both say how to accumulate: remove one of them."
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(trainer.current_epoch)
