"""The table of metrics that ``validate`` and ``test`` show when they end, on standard error."""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def print_results(outputs: Sequence[Mapping[str, Any]], stage: str) -> None:
    """One row per metric, one column per loader; nothing when nothing was logged.

    Loaders that find no room beside the others get a table of their own below.
    """
    columns = [{name.split("/dataloader_idx_")[0]: value for name, value in output.items()} for output in outputs]
    names = sorted({name for column in columns for name in column})
    if not names:
        return
    first = _padded([f"{stage} metric".capitalize(), *names])
    loaders = [
        _padded([f"DataLoader {i}", *(_cell(column.get(name)) for name in names)]) for i, column in enumerate(columns)
    ]
    for group in _that_fit(loaders, shutil.get_terminal_size().columns - len(first[0])):
        header, *rows = ("".join(cells).rstrip() for cells in zip(first, *group))
        rule = _rule_character() * sum(len(column[0]) for column in (first, *group))
        print("\n".join([rule, header, rule, *rows, rule]), file=sys.stderr)


def _padded(cells: list[str]) -> list[str]:
    """The cells of a column, all of its width."""
    width = max(map(len, cells)) + 2
    return [cell.center(width) for cell in cells]


def _that_fit(columns: list[list[str]], width: int) -> Iterator[list[list[str]]]:
    """The columns in groups of at most `width` characters, but at least one column each."""
    group: list[list[str]] = []
    for column in columns:
        if group and sum(len(one[0]) for one in (*group, column)) > width:
            yield group
            group = []
        group.append(column)
    yield group


def _rule_character() -> str:
    try:
        "─".encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "-"
    return "─"


def _cell(value: Any) -> str:
    return "" if value is None else str(value.item() if hasattr(value, "item") else value)
