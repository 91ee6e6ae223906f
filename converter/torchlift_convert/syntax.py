"""Source text as two linked trees.

Analysis reads the standard library's ``ast`` (fast, and every name says whether it is loaded or stored); rewriting
edits libcst (nothing of the user's formatting or comments is lost). Both trees hold the same statements in the same
order, so one walk over the two links them. The second tree is made when something is first asked of it: a file without
a training loop, or with one that is refused, never needs it.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from torchlift_convert.kept import children, kept
from torchlift_convert.links import Links
from torchlift_convert.types import Span


class Unreadable(Exception):
    """The text is not Python; the message says why in one sentence, ``line`` says where (0: nowhere)."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, eq=False)
class Script:
    """One parsed file."""

    text: str
    tree: ast.Module
    statements: tuple[ast.stmt, ...]  # every statement, in source order, outer before inner
    parent: dict[ast.stmt, ast.stmt | None]
    vouched: frozenset[tuple[str, int]] = frozenset()  # codes and lines for which the author gives a word
    links: Links | None = None  # where what stands in the text comes from, when it is not all of one file

    @cached_property
    def module(self) -> cst.Module:
        """The text as libcst reads it.

        Raises:
            Unreadable: libcst cannot read it.
        """
        try:
            return cst.parse_module(self.text)
        except cst.ParserSyntaxError as error:
            raise Unreadable(f"libcst cannot parse this: {error.message}.", error.raw_line) from None
        except RecursionError:
            raise Unreadable("An expression in this file is nested too deeply to be edited.") from None

    @cached_property
    def _linked(self) -> list[tuple[ast.stmt, cst.CSTNode, cst.SimpleStatementLine | None]]:
        linked: list[tuple[ast.stmt, cst.CSTNode, cst.SimpleStatementLine | None]] = []
        _link(self.tree.body, self.module.body, linked)
        return linked

    @cached_property
    def node(self) -> dict[ast.stmt, cst.BaseStatement | cst.BaseSmallStatement]:
        """Each statement as libcst has it."""
        return {s: n for s, n, _ in self._linked}  # type: ignore[misc]

    @cached_property
    def line(self) -> dict[ast.stmt, cst.SimpleStatementLine]:
        """Of small statements: the line they stand on."""
        return {s: line for s, _, line in self._linked if line is not None}

    def is_linked(self, stmt: ast.stmt) -> bool:
        """Is the statement one of another file?"""
        return self.links is not None and self.links.is_linked(stmt)

    def is_imported(self, stmt: ast.stmt) -> bool:
        """Does it run while the file that it is from is imported?"""
        return self.is_linked(stmt) and self.parent[stmt] is None

    def plain(self, name: str) -> str:
        """What a reader calls a name of the text."""
        return self.links.plain(name) if self.links is not None else name

    def span(self, node: ast.stmt | ast.expr) -> Span:
        return span_of(node)


def span_of(node: ast.stmt | ast.expr) -> Span:
    """The lines of a node, its decorators included."""
    first = node.lineno
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.decorator_list:
        first = min(first, *(d.lineno for d in node.decorator_list))
    return Span(first, node.end_lineno or node.lineno)


def decode(source: str | bytes) -> str:
    """Text of a source file, honouring its BOM and its encoding declaration (PEP 263)."""
    if isinstance(source, str):
        return source
    if b"\0" in source:
        raise Unreadable("This is a binary file, not Python source.")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        return source.decode(encoding)
    except SyntaxError as error:
        raise Unreadable(
            f"The text cannot be decoded ({error.msg}). Save it as UTF-8 or declare its encoding."
        ) from None
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"The text is not valid {error.encoding} (byte {error.start}). Save it as UTF-8 or declare its encoding."
        ) from None


def python_tree(text: str) -> ast.Module:
    """The ``ast`` of the text, or Unreadable with the place and the interpreter's reason."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise Unreadable(f"This is not valid Python 3: {error.msg}.", error.lineno or 0) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"This cannot be parsed as Python: {error}.") from None


def parse(text: str, tree: ast.Module | None = None, links: Links | None = None) -> Script:
    """Parse the text, and lay its statements out."""
    tree = tree or python_tree(text)
    parent: dict[ast.stmt, ast.stmt | None] = {}
    _lay_out(tree.body, None, parent)
    return Script(text, tree, tuple(parent), parent, links=links)


def _lay_out(body: Sequence[ast.stmt], parent: ast.stmt | None, out: dict[ast.stmt, ast.stmt | None]) -> None:
    for stmt in body:
        out[stmt] = parent
        for inner in blocks_of(stmt):
            _lay_out(inner, stmt, out)


def blocks_of(stmt: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The statement lists directly inside a compound statement, in source order."""
    if isinstance(stmt, ast.Match):
        for case in stmt.cases:
            yield case.body
        return
    for name in ("body", "handlers", "orelse", "finalbody"):
        for part in [getattr(stmt, name, None)]:
            if not part:
                continue
            if name == "handlers":
                for handler in part:
                    yield handler.body
            else:
                yield part


def walk_statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement of a block, outer before inner, in source order."""
    for stmt in body:
        yield stmt
        for block in blocks_of(stmt):
            yield from walk_statements(block)


def cst_blocks_of(node: cst.CSTNode) -> Iterator[Sequence[cst.CSTNode]]:
    """The same lists as ``blocks_of``, of the libcst statement; an ``elif`` stands as a list of one ``If``."""
    if isinstance(node, cst.Match):
        for case in node.cases:
            yield case.body.body
        return
    if hasattr(node, "body") and isinstance(node.body, (cst.IndentedBlock, cst.SimpleStatementSuite)):
        yield node.body.body
    for handler in getattr(node, "handlers", ()):
        yield handler.body.body
    orelse = getattr(node, "orelse", None)
    if isinstance(orelse, cst.If):
        yield [orelse]
    elif isinstance(orelse, cst.Else):
        yield orelse.body.body
    final = getattr(node, "finalbody", None)
    if final is not None:
        yield final.body.body


def _link(
    body: Sequence[ast.stmt],
    nodes: Sequence[cst.CSTNode],
    out: list[tuple[ast.stmt, cst.CSTNode, cst.SimpleStatementLine | None]],
) -> None:
    flat: list[tuple[cst.CSTNode, cst.SimpleStatementLine | None]] = []
    for node in nodes:
        if isinstance(node, cst.SimpleStatementLine):
            flat += [(small, node) for small in node.body]
        else:
            flat.append((node, None))
    if len(flat) != len(body):
        raise AssertionError("ast and libcst disagree about the statements of a block")
    for stmt, (node, line) in zip(body, flat, strict=True):
        out.append((stmt, node, line))
        for inner, inner_nodes in zip(blocks_of(stmt), cst_blocks_of(node), strict=True):
            _link(inner, inner_nodes, out)


def is_backward(node: ast.AST) -> bool:
    """``loss.backward()``, ``accelerator.backward(loss)`` and their like."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward"


@kept
def nodes_of(stmt: ast.AST) -> tuple[ast.AST, ...]:
    """Nodes of a statement that run with it: not the bodies of functions and classes that it defines."""
    if isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return ()
    stack: list[ast.AST] = [stmt]
    found: list[ast.AST] = []
    while stack:
        node = stack.pop()
        found.append(node)
        if not isinstance(node, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stack.extend(children(node))
    return tuple(found)


def exits_of(stmt: ast.stmt) -> list[ast.stmt]:
    """The ``break`` and ``continue`` statements that leave the loop around a statement."""
    found: list[ast.stmt] = []
    stack: list[ast.AST] = [stmt]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Break, ast.Continue)):
            found.append(node)
        elif not isinstance(node, (ast.For, ast.While, ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            stack.extend(children(node))
    return found
