"""The summary of the module, drawn with rich where standard error is a terminal.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.RichModelSummary.html
"""

from __future__ import annotations

import sys
from typing import Any

from torchlift.callbacks.model_summary import ModelSummary
from torchlift.utilities import model_summary

__all__ = ["RichModelSummary"]


class RichModelSummary(ModelSummary):
    """Like :class:`ModelSummary`; the option ``header_style`` is a rich style (default "bold magenta")."""

    @staticmethod
    def summarize(summary: model_summary.ModelSummary, **summarize_kwargs: Any) -> None:
        if not sys.stderr.isatty():
            return ModelSummary.summarize(summary)
        from rich.console import Console
        from rich.table import Table

        console = Console(stderr=True)
        table = Table(header_style=summarize_kwargs.get("header_style", "bold magenta"))
        for name in summary.columns:
            table.add_column(name, justify="right" if name in ("Params", "In sizes", "Out sizes") else "left")
        for row in zip(*summary.columns.values()):
            table.add_row(*row)
        console.print(table)
        for name, value in summary.totals.items():
            console.print(f"[bold]{name}[/]: {value}")
