"""From the new tree to text: imports settled, generated lines formatted, everything else left as it was."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from torchlift_convert.syntax import cst_blocks_of, span_of, walk_statements
from torchlift_convert.types import Span, Target


@dataclass(frozen=True, eq=False)
class Rendered:
    """The text of the output, and the lines of each statement that was carried or kept."""

    text: str
    tree: ast.Module
    lines: dict[int, Span]  # by id of the libcst statement


def with_import(module: cst.Module, name: str, target: Target) -> cst.Module:
    """Add ``import torchlift as L`` behind the script's imports of torch."""
    line = cst.parse_statement(f"import {target.value} as {name}")
    body = list(module.body)
    places = [n for n, s in enumerate(body) if _is_import(s)]
    head = [n for n in places if n <= end_of_head(body)] or places
    torches = [n for n in head if _imports_torch(body[n]) and not _from_future(body[n])]
    if torches:
        body.insert(torches[-1] + 1, line)
    elif head:
        body.insert(head[-1] + 1, line)
    else:
        start = 1 if body and _is_docstring(body[0]) else 0
        body.insert(start, line)
    return module.with_changes(body=body)


def end_of_head(body: Sequence[cst.BaseStatement]) -> int:
    """The last statement of the import head: imports with at most plain statements between them."""
    last = -1
    for n, stmt in enumerate(body):
        if _is_import(stmt):
            last = n
        elif isinstance(stmt, (cst.FunctionDef, cst.ClassDef, cst.For, cst.While)):
            break
    return last


def _is_import(stmt: cst.CSTNode) -> bool:
    return isinstance(stmt, cst.SimpleStatementLine) and isinstance(stmt.body[0], (cst.Import, cst.ImportFrom))


def _imports_torch(stmt: cst.CSTNode) -> bool:
    assert isinstance(stmt, cst.SimpleStatementLine)
    text = cst.Module([]).code_for_node(stmt.body[0])
    return text.startswith(("import torch", "from torch"))


def _from_future(stmt: cst.CSTNode) -> bool:
    assert isinstance(stmt, cst.SimpleStatementLine)
    return cst.Module([]).code_for_node(stmt.body[0]).startswith("from __future__")


def _is_docstring(stmt: cst.CSTNode) -> bool:
    return isinstance(stmt, cst.SimpleStatementLine) and isinstance(stmt.body[0], cst.Expr)


def without_unused_imports(
    module: cst.Module, before: ast.Module, used_now: set[str], spared: frozenset[str] = frozenset()
) -> cst.Module:
    """Drop names that the script imported and used, and that nothing uses any more, but for those in ``spared``."""
    lost = used_names(before) - used_now - spared
    if not lost:
        return module
    body: list[cst.BaseStatement] = []
    waiting: list[cst.EmptyLine] = []
    for stmt in module.body:
        kept = _without(stmt, lost)
        if kept is None:
            waiting += [e for e in getattr(stmt, "leading_lines", ()) if e.comment]
            continue
        if waiting:
            kept = kept.with_changes(leading_lines=[*waiting, *getattr(kept, "leading_lines", ())])
            waiting = []
        body.append(kept)
    return module.with_changes(body=body)


def used_names(tree: ast.AST) -> set[str]:
    """Names that code mentions, in strings of their own too: ``__all__``, annotations, lookups by name."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    exported = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return names | {e for e in exported if e.isidentifier()}


def _without(stmt: cst.BaseStatement, lost: set[str]) -> cst.BaseStatement | None:
    if not isinstance(stmt, cst.SimpleStatementLine) or len(stmt.body) != 1:
        return stmt
    node = stmt.body[0]
    if not isinstance(node, (cst.Import, cst.ImportFrom)) or isinstance(node.names, cst.ImportStar):
        return stmt
    kept = [a for a in node.names if _local(a) not in lost]
    if len(kept) == len(node.names):
        return stmt
    if not kept:
        return None
    kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return stmt.with_changes(body=[node.with_changes(names=kept)])


def _local(alias: cst.ImportAlias) -> str:
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    return cst.Module([]).code_for_node(alias.name).split(".")[0]


def statements_of(nodes: object) -> list[cst.CSTNode]:
    """Every statement of a libcst tree in the order of ``walk_statements``; small statements stand for their line."""
    out: list[cst.CSTNode] = []
    for node in nodes:  # type: ignore[attr-defined]
        if isinstance(node, cst.SimpleStatementLine):
            out += node.body if len(node.body) > 1 else [node]
            continue
        out.append(node)
        for inner in cst_blocks_of(node):
            out += statements_of(inner)
    return out


def render(module: cst.Module, original: set[int]) -> Rendered:
    """Format the generated lines with black; ``original``: ids of statements that are the user's own, untouched."""
    text = module.code
    tree = ast.parse(text)
    nodes = statements_of(module.body)
    stmts = list(walk_statements(tree.body))
    ranges = _generated_lines(nodes, stmts, original)
    formatted = _formatted(text, tree, ranges)
    final = ast.parse(formatted)
    spans: dict[int, Span] = {}
    for node, stmt in zip(nodes, walk_statements(final.body), strict=True):
        spans[id(node)] = span_of(stmt)
    return Rendered(formatted, final, spans)


def _generated_lines(nodes: list[cst.CSTNode], stmts: list[ast.stmt], original: set[int]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for node, stmt in zip(nodes, stmts, strict=True):
        if id(node) not in original:
            inner = isinstance(node, (cst.FunctionDef, cst.ClassDef, cst.If, cst.For, cst.While, cst.With, cst.Try))
            span = span_of(stmt)
            last = stmt.body[0].lineno - 1 if inner and stmt.body[0].lineno > span.first else span.last  # type: ignore[attr-defined]
            out.append((span.first, last if inner else span.last))
    return out


def _formatted(text: str, tree: ast.Module, ranges: list[tuple[int, int]]) -> str:
    """The text with the generated lines formatted, one top-level statement at a time: black costs by its input."""
    lines = text.splitlines(keepends=True)
    above = len(lines) + 1
    for stmt in reversed(tree.body):
        span = span_of(stmt)
        mine = [(a - span.first + 1, b - span.first + 1) for a, b in ranges if span.first <= a and b <= span.last]
        if mine and span.last < above:
            chunk = "".join(lines[span.first - 1 : span.last])
            lines[span.first - 1 : span.last] = [_black(chunk, mine)]
            above = span.first
    return "".join(lines)


def _black(text: str, ranges: list[tuple[int, int]]) -> str:
    import black

    mode = black.Mode(line_length=120, magic_trailing_comma=True, string_normalization=False)
    try:
        return black.format_str(text, mode=mode, lines=ranges)
    except ValueError:  # black cannot parse what the interpreter can: leave the lines as they are
        return text
