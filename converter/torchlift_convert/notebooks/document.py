"""A notebook as its file has it: JSON of nbformat 4 (nbformat.readthedocs.io, "The notebook file format")."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PYTHON = re.compile(r"i?python", re.IGNORECASE)


class NotNotebook(Exception):
    """A file that is called a notebook, and cannot be used as one. The message is a sentence; ``remedy`` another."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True)
class Cell:
    """A code cell. ``number``: its place among all cells, markdown included, counted from 1."""

    number: int
    source: str
    count: int | None = None  # when it ran last, as the file says


@dataclass(frozen=True)
class Notebook:
    """The whole document; ``cells`` are its code cells."""

    data: dict[str, Any]
    text: str
    cells: tuple[Cell, ...]

    def written(self, sources: dict[int, str | None]) -> str:
        """The file again: new sources by cell number (None: the cell goes), no outputs, everything else as it was."""
        cells = [
            _cleared(cell, sources.get(number, ""), number in sources)
            for number, cell in enumerate(self.data["cells"], 1)
            if sources.get(number, "") is not None
        ]
        made = {**self.data, "cells": cells}
        text = json.dumps(made, indent=_indent(self.text), ensure_ascii=self.text.isascii() and "\\u" in self.text)
        return text + self.text[len(self.text.rstrip()) :]


def read(text: str) -> Notebook:
    """Read a notebook.

    Raises:
        NotNotebook: the text is none, or one that holds no Python.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotNotebook(f"This is no notebook: its JSON cannot be read ({error}).") from None
    if isinstance(data, dict) and "worksheets" in data:
        raise NotNotebook(
            "The notebook has the old format 3.",
            "Open and save it in Jupyter, or run: jupyter nbconvert --to notebook --inplace FILE",
        )
    cells = data.get("cells") if isinstance(data, dict) else None
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise NotNotebook("This is no notebook: it holds no list of cells.")
    _check_language(data.get("metadata"))
    code = [
        Cell(number, _joined(cell["source"]), cell.get("execution_count"))
        for number, cell in enumerate(cells, 1)
        if cell["cell_type"] == "code"
    ]
    return Notebook(data, text, tuple(code))


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
        return False
    source = cell.get("source")
    return isinstance(source, str) or (isinstance(source, list) and all(isinstance(s, str) for s in source))


def _check_language(metadata: Any) -> None:
    said = metadata if isinstance(metadata, dict) else {}
    for key, field in (("language_info", "name"), ("kernelspec", "language")):
        language = said.get(key, {}).get(field) if isinstance(said.get(key), dict) else None
        if isinstance(language, str) and not PYTHON.match(language):
            raise NotNotebook(f"The notebook's language is {language}, not Python.")


def _joined(source: str | Sequence[str]) -> str:
    return source if isinstance(source, str) else "".join(source)


def _cleared(cell: dict[str, Any], source: str | None, changed: bool) -> dict[str, Any]:
    """A cell that has not run; a new source has the form of the old one, which may be a string or its lines."""
    if cell["cell_type"] != "code":
        return cell
    made = {**cell, "execution_count": None, "outputs": []}
    if changed and source is not None:
        made["source"] = source if isinstance(cell["source"], str) else source.splitlines(keepends=True)
    return made


def _indent(text: str) -> int | str | None:
    """How the file is indented: by so many blanks or by tabs; None when it is one line."""
    found = re.match(r"\s*\{\r?\n([ \t]+)", text)
    return None if found is None else found[1] if "\t" in found[1] else len(found[1])
