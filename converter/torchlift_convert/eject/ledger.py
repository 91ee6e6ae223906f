"""One fate for every statement of the original."""

from __future__ import annotations

import ast

from torchlift_convert.program import Program
from torchlift_convert.render import Rendered
from torchlift_convert.rewrite import Origins
from torchlift_convert.syntax import span_of
from torchlift_convert.types import Fate, FateKind, Span


def fates_of(program: Program, rendered: Rendered, origins: Origins, gone: dict[ast.stmt, str]) -> tuple[Fate, ...]:
    """What became of every statement, in source order."""
    script = program.script
    targets: dict[ast.stmt, set[Span]] = {}
    of_line: dict[int, list[ast.stmt]] = {}
    for stmt in script.statements:
        of_line.setdefault(id(script.node[stmt]), []).append(stmt)
        if stmt in script.line:
            of_line.setdefault(id(script.line[stmt]), []).append(stmt)
    for key, span in rendered.lines.items():
        if key in origins.stmt_of:
            targets.setdefault(origins.stmt_of[key], set()).add(span)
        for stmt in of_line.get(key, ()):
            targets.setdefault(stmt, set()).add(span)
    return tuple(_fate(s, targets, origins, gone) for s in script.statements)


def _fate(stmt: ast.stmt, targets: dict[ast.stmt, set[Span]], origins: Origins, gone: dict[ast.stmt, str]) -> Fate:
    spans = tuple(sorted(targets.get(stmt, ())))
    where = ", ".join(dict.fromkeys(origins.places.get(stmt, ())))
    if spans:
        return Fate(span_of(stmt), FateKind.MOVED if where else FateKind.KEPT, where or "kept", spans)
    if stmt in gone or where:
        return Fate(span_of(stmt), FateKind.MERGED, gone.get(stmt) or where)
    if isinstance(stmt, (ast.Import, ast.ImportFrom)):
        return Fate(span_of(stmt), FateKind.MERGED, "nothing uses the import any more")
    return Fate(span_of(stmt), FateKind.MERGED, "a plain loop has no need of it")
