"""The summary of the module, drawn with rich where standard error is a terminal.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.RichModelSummary.html
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from torchlift.callbacks.model_summary import ModelSummary
from torchlift.utilities.model_summary import get_formatted_model_size, get_human_readable_count

__all__ = ["RichModelSummary"]

_RICH_AVAILABLE = find_spec("rich") is not None
_NUMBERS = ("Params", "Params per Device", "FLOPs", "In sizes", "Out sizes")


class RichModelSummary(ModelSummary):
    """Like :class:`ModelSummary`; the option ``header_style`` is a rich style (default "bold magenta").

    Raises:
        ModuleNotFoundError: rich is not installed.
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        if not _RICH_AVAILABLE:
            raise ModuleNotFoundError(
                "`RichModelSummary` requires `rich` to be installed. Install it by running `pip install -U rich`."
            )
        super().__init__(max_depth, **summarize_kwargs)

    def _show(self, *args: Any, **kwargs: Any) -> None:
        if type(self).summarize is RichModelSummary.summarize and not sys.stderr.isatty():
            ModelSummary.summarize(*args, **kwargs)  # a log wants plain lines
        else:
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
        import rich
        from rich.console import Console
        from rich.table import Table

        console = rich.get_console()
        if console.file is sys.stdout:  # nobody has directed it elsewhere
            console = Console(stderr=True)
        table = Table(header_style=summarize_kwargs.get("header_style", "bold magenta"))
        for name, _ in summary_data:
            table.add_column(
                name,
                style={" ": "dim", "In sizes": "white", "Out sizes": "white"}.get(name),
                justify="right" if name in _NUMBERS else "left",
                no_wrap=name == "Name",
            )
        for row in zip(*(cells for _, cells in summary_data)):
            table.add_row(*row)
        console.print(table)
        totals = Table.grid(expand=True)
        totals.add_column()
        for name, value in (
            ("Trainable params", get_human_readable_count(trainable_parameters)),
            ("Non-trainable params", get_human_readable_count(total_parameters - trainable_parameters)),
            ("Total params", get_human_readable_count(total_parameters)),
            ("Total estimated model params size (MB)", get_formatted_model_size(model_size)),
            ("Modules in train mode", str(total_training_modes["train"])),
            ("Modules in eval mode", str(total_training_modes["eval"])),
            ("Total FLOPs", get_human_readable_count(total_flops)),
        ):
            totals.add_row(f"[bold]{name}[/]: {value}")
        console.print(totals)
