"""The table of metrics that ``validate`` and ``test`` show when they end, on standard error."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any


def print_results(outputs: Sequence[Mapping[str, Any]], stage: str) -> None:
    """One row per metric, one column per loader; nothing when nothing was logged."""
    columns = [{name.split("/dataloader_idx_")[0]: value for name, value in output.items()} for output in outputs]
    names = sorted({name for column in columns for name in column})
    if not names:
        return
    header = [f"{stage} metric".capitalize(), *(f"DataLoader {i}" for i in range(len(columns)))]
    rows = [[name, *(_cell(column.get(name)) for column in columns)] for name in names]
    widths = [max(len(row[i]) for row in [header, *rows]) + 2 for i in range(len(header))]
    rule = "─" * sum(widths)
    lines = [rule, _line(header, widths), rule, *(_line(row, widths) for row in rows), rule]
    print("\n".join(lines), file=sys.stderr)


def _cell(value: Any) -> str:
    return "" if value is None else str(value.item() if hasattr(value, "item") else value)


def _line(cells: list[str], widths: list[int]) -> str:
    return "".join(cell.center(width) for cell, width in zip(cells, widths)).rstrip()
