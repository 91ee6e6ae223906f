"""A notebook as one script: a line of the script for each line of its cells, and statements in the place of magics.

Each code cell begins with a statement of its own, a string; it does nothing, stays where it is, and says in the
converted script where the cells are. A magic becomes a statement that does to the analysis what the magic may do: a
constant where it is harmless, else a call of something unknown with the names that it reads.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.names import access
from torchlift_convert.notebooks.cells import Part, parts_of
from torchlift_convert.notebooks.document import Notebook
from torchlift_convert.notebooks.magics import Kind, Magic, names_in

MARK = "torchlift_magic"


@dataclass(frozen=True)
class Line:
    """A line of the script: its cell, its line there (0: the statement that begins the cell), and what stands there."""

    cell: int
    line: int
    text: str


@dataclass(frozen=True)
class Flat:
    """A notebook's script.

    ``magics`` by number; ``bodies``: of each cell its lines in the script, the first and the last (last below first
    where the cell is empty); ``mark``: what the strings of our own statements begin with.
    """

    text: str
    lines: tuple[Line, ...]
    magics: tuple[Magic, ...]
    bodies: dict[int, tuple[int, int]]
    mark: str

    @property
    def shown(self) -> str:
        """The script as its author would read it: cells under a comment, magics as they stand."""
        return "".join(f"{line.text}\n" for line in self.lines)

    def place(self, line: int) -> tuple[int, int]:
        """The cell and the line there of a line of the script."""
        if not self.lines:
            return 1, 1
        held = self.lines[max(1, min(line, len(self.lines))) - 1]
        return held.cell, max(1, held.line)


def flatten(notebook: Notebook) -> Flat:
    """The script of a notebook."""
    mark = MARK
    while mark in notebook.text:
        mark += "_"
    parts = {cell.number: parts_of(cell.source) for cell in notebook.cells}
    text, magics, _, _ = _joined(parts, mark, {})
    bound = _bound(text)
    text, magics, lines, bodies = _joined(parts, mark, bound)
    return Flat(text, tuple(lines), tuple(magics), bodies, mark)


def _joined(
    parts: dict[int, list[Part]], mark: str, bound: dict[str, int]
) -> tuple[str, list[Magic], list[Line], dict[int, tuple[int, int]]]:
    text: list[str] = []
    magics: list[Magic] = []
    lines: list[Line] = []
    bodies: dict[int, tuple[int, int]] = {}
    for cell, held in parts.items():
        text.append(f'"{mark} cell {cell}"')
        lines.append(Line(cell, 0, heading(cell)))
        first, inside = len(lines) + 1, 0
        for part in held:
            for shown in part.lines:
                inside += 1
                lines.append(Line(cell, inside, shown))
            if part.magic is None:
                text += part.lines
                continue
            text += [part.indent + line for line in _stand_in(part, len(magics), mark, bound, len(text) + 1)]
            magics.append(part.magic)
        bodies[cell] = (first, len(lines))
    return "\n".join(text) + "\n", magics, lines, bodies


def heading(cell: int) -> str:
    """What stands above a cell where a notebook is shown as a script."""
    return f"# %% cell {cell}"


def _stand_in(part: Part, number: int, mark: str, bound: dict[str, int], line: int) -> list[str]:
    """The statement in a magic's place, over as many lines."""
    magic = part.magic
    assert magic is not None
    if magic.kind is Kind.TIMED:
        return [f"{magic.code}  # {mark} {number}"]
    targets = magic.targets
    names: list[str] = []
    if magic.kind is Kind.BINDING:  # it may give any name above it another value, which may depend on all of them
        names = [n for n, at in bound.items() if at < line or part.indent]
        targets = targets or "".join(f"{name}, " for name in names).strip()
    elif magic.kind is Kind.UNKNOWN:
        names = sorted((names_in(magic) - {t.strip() for t in targets.split(",")}) & bound.keys())
    inside = ", ".join([f'"{mark} {number}"', *names])
    if magic.kind is Kind.HARMLESS:
        start, end = "(", f"{inside},)"
    else:
        start, end = f"{targets + ' = ' if targets else ''}{mark}(", f"{inside})"
    gaps = len(part.lines) - 2
    return [start + end] if gaps < 0 else [start, *[""] * gaps, end]


def _bound(text: str) -> dict[str, int]:
    """Names that the script binds somewhere, but by imports, and the line of the first statement that does."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, int] = {}
    for stmt in tree.body:
        for name in sorted(access(stmt).binds):
            if not isinstance(stmt, (ast.Import, ast.ImportFrom)):
                found.setdefault(name, stmt.lineno)
    return found
