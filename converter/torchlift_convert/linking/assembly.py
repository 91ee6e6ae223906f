"""The text of a script with what is linked into it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torchlift_convert.linking.library import Module
from torchlift_convert.syntax import span_of


class Unlinkable(Exception):
    """Something that cannot be taken into the script's text; ``known``: its module and name."""

    def __init__(self, known: tuple[str, str]) -> None:
        super().__init__(*known)
        self.known = known


@dataclass(frozen=True, eq=False)
class Edit:
    """One name of a source gets another text: ``old`` at a node (of a definition: its name)."""

    node: ast.expr | ast.stmt
    old: str
    new: str


Lines = tuple[tuple[str, int], ...]


def assemble(
    script: Module,
    edits: list[Edit],
    stmts: Mapping[Module, Mapping[ast.stmt, list[Edit]]],
    heads: Iterable[str],
    loaded: Mapping[Module, ast.stmt],
) -> tuple[str, Lines]:
    """The text, and for each of its lines the file (none: the script) and the line there."""
    newline = "\r\n" if "\r\n" in script.text else "\n"
    own = edited(script, edits, ("__main__", "*"))
    place = _place(script, loaded) if any(stmts.values()) else 0
    chunk: list[tuple[str, tuple[str, int]]] = []
    first = next(iter(loaded))
    chunk += [(line, (first.path, 1)) for line in heads]
    for module in loaded:
        held = stmts.get(module, {})
        if not held:
            continue
        lines = edited(module, [e for s in held.values() for e in s], (module.name, "*"))
        for stmt in (s for s in module.tree.body if s in held):
            span = span_of(stmt)
            if _shares_line(stmt, module):
                raise Unlinkable((module.name, "*"))
            chunk += [(lines[n - 1], (module.path, n)) for n in range(span.first, span.last + 1)]
    out = [(line, ("", n)) for n, line in enumerate(own, 1)]
    out[place:place] = chunk
    return newline.join(line for line, _ in out), tuple(where for _, where in out)


def _place(script: Module, loaded: Mapping[Module, ast.stmt]) -> int:
    """Behind which line of the script: the imports that load modules, and the imports right behind these."""
    last = 0
    for stmt in script.tree.body:
        if any(stmt.lineno <= t.lineno <= (stmt.end_lineno or stmt.lineno) for t in loaded.values()):
            last = stmt.end_lineno or stmt.lineno
    for stmt in script.tree.body:
        if stmt.lineno > last and isinstance(stmt, (ast.Import, ast.ImportFrom)):
            last = stmt.end_lineno or stmt.lineno
        elif stmt.lineno > last:
            break
    return last


def _shares_line(stmt: ast.stmt, module: Module) -> bool:
    span = span_of(stmt)
    return any(
        s is not stmt and s.lineno <= span.last and (s.end_lineno or s.lineno) >= span.first for s in module.tree.body
    )


def edited(module: Module, edits: list[Edit], known: tuple[str, str]) -> list[str]:
    """The lines of a module with the edits made; Unlinkable where one does not find its name."""
    lines = re.split(r"\r\n|\r|\n", module.text)
    spots: list[tuple[int, int, str, str]] = []
    for edit in edits:
        row = edit.node.lineno - 1
        line = lines[row].encode()
        if isinstance(edit.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found = re.search(rb"\b(?:def|class)\s+(" + re.escape(edit.old.encode()) + rb")\b", line)
            column = found.start(1) if found else -1
        elif isinstance(edit.node, ast.Global):
            found = re.search(rb"\b" + re.escape(edit.old.encode()) + rb"\b", line)
            column = found.start() if found else -1
        else:
            column = edit.node.col_offset
        if column < 0 or line[column : column + len(edit.old.encode())] != edit.old.encode():
            raise Unlinkable(known)
        spots.append((row, column, edit.old, edit.new))
    for row, column, old, new in sorted(set(spots), reverse=True):
        line = lines[row].encode()
        lines[row] = (line[:column] + new.encode() + line[column + len(old.encode()) :]).decode()
    return lines
