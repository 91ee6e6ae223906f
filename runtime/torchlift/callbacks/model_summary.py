"""Print what the module is made of before training, on standard error.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.ModelSummary.html
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from torchlift.callback import Callback
from torchlift.utilities import model_summary

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
        if self._max_depth:
            summary = model_summary.summarize(pl_module, self._max_depth)  # on every rank: forward may communicate
            if trainer.is_global_zero:
                self.summarize(summary, **self._summarize_kwargs)

    @staticmethod
    def summarize(summary: model_summary.ModelSummary, **summarize_kwargs: Any) -> None:
        """Show it. Override this to show it elsewhere."""
        print(f"\n{summary}", file=sys.stderr)
