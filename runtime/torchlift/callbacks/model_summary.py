"""Print what the module is made of before training, on standard error.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.ModelSummary.html
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from torchlift.callback import Callback
from torchlift.utilities.model_summary import ModelSummary as Summary
from torchlift.utilities.model_summary import format_table, summarize

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["ModelSummary"]


class ModelSummary(Callback):
    """Prints a table of the layers and the numbers of parameters when ``fit`` begins.

    Args:
        max_depth: levels of modules to show; -1 for all, 0 for no summary at all.
        **summarize_kwargs: handed to :meth:`summarize`.
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        self._max_depth = max_depth
        self._summarize_kwargs = summarize_kwargs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._max_depth:
            return
        summary = self._summary(trainer, pl_module)  # on every rank: forward may communicate
        if trainer.is_global_zero:
            self._show(
                summary._get_summary_data(),
                summary.total_parameters,
                summary.trainable_parameters,
                summary.model_size,
                summary.total_training_modes,
                total_flops=summary.total_flops,
                **self._summarize_kwargs,
            )

    def _summary(self, trainer: Trainer, pl_module: LightningModule) -> Summary:
        return summarize(pl_module, max_depth=self._max_depth)

    def _show(self, *args: Any, **kwargs: Any) -> None:
        self.summarize(*args, **kwargs)

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """Show it. Override this to show it elsewhere.

        Args:
            summary_data: the columns of the table: their names and cells.
            total_parameters: the number of elements of all parameters.
            trainable_parameters: of those that require gradients.
            model_size: of the parameters, in MB.
            total_training_modes: how many submodules are in mode "train" and "eval".
            total_flops: operations of one forward pass of the example input; 0 without one.
            **summarize_kwargs: what the callback was given.
        """
        table = format_table(
            summary_data, total_parameters, trainable_parameters, model_size, total_training_modes, total_flops
        )
        print(f"\n{table}", file=sys.stderr)
