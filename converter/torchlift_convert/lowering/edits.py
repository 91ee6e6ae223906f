"""Small changes of a text, and what became of each of its statements."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from torchlift_convert.kept import walk
from torchlift_convert.syntax import span_of, walk_statements
from torchlift_convert.types import Fate, FateKind, Span


@dataclass(frozen=True, order=True)
class Edit:
    """The characters from ``start`` to ``end`` (not included) become ``new``."""

    start: int
    end: int
    new: str = ""


@dataclass(eq=False)
class Edited:
    """A text with its changes so far. ``gone``: statements that leave nothing, or nothing of their own, and why."""

    text: str
    tree: ast.Module
    edits: list[Edit] = field(default_factory=list)
    gone: dict[ast.stmt, str] = field(default_factory=dict)
    moved: Counter[int] = field(default_factory=Counter)  # lines, and by how many columns to the left

    def __post_init__(self) -> None:
        self._lines = self.text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        """The place of a column that ``ast`` counts (in bytes)."""
        text = self._lines[line - 1]
        return self._starts[line - 1] + (column if text.isascii() else len(text.encode()[:column].decode()))

    def start(self, node: ast.stmt | ast.expr) -> int:
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.stmt | ast.expr) -> int:
        return self.at(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def source(self, node: ast.stmt | ast.expr) -> str:
        return self.text[self.start(node) : self.end(node)]

    def put(self, start: int, end: int, new: str = "") -> None:
        self.edits.append(Edit(start, end, new))

    def replace(self, node: ast.stmt | ast.expr, new: str) -> None:
        self.put(self.start(node), self.end(node), new)

    def keep_only(self, node: ast.expr, inner: ast.expr, before: str = "", after: str = "") -> None:
        """Of an expression, only one that stands in it is left, with something around it."""
        self.put(self.start(node), self.start(inner), before)
        self.put(self.end(inner), self.end(node), after)

    def remove(self, stmt: ast.stmt, why: str) -> None:
        """The statement goes with its line, when it has that for itself; else a ``pass`` stays."""
        self.gone[stmt] = why
        first, last = stmt.lineno, stmt.end_lineno or stmt.lineno
        start, end = self._starts[first - 1], self._starts[last]
        alone = self.text[start : self.start(stmt)].isspace() or start == self.start(stmt)
        rest = self.text[self.end(stmt) : end].strip()
        if alone and not rest.startswith(";") and self._has_siblings(stmt):
            indent = self.text[start : self.start(stmt)]
            self.put(start, end, f"{indent}{rest}\n" if rest else "")
        else:
            self.replace(stmt, "pass")

    def _has_siblings(self, stmt: ast.stmt) -> bool:
        for node in walk(self.tree):
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list) and stmt in block:
                    return any(s not in self.gone for s in block)
        return True

    def insert_line(self, line: int, text: str) -> None:
        self.put(self._starts[line - 1], self._starts[line - 1], text + "\n")

    def unwrap(self, stmt: ast.If | ast.With, why: str, stay: Collection[int] = ()) -> bool:
        """The body of a statement takes its place, one step to the left; False where a line of it cannot move.

        ``stay``: lines that keep their place.
        """
        body = stmt.body
        first = body[0].lineno
        step = body[0].col_offset - stmt.col_offset
        strings = [n for s in body for n in walk(s) if isinstance(n, (ast.Constant, ast.JoinedStr))]
        written = self.source(stmt).startswith("if" if isinstance(stmt, ast.If) else "with")  # and no elif
        if not written or first == stmt.lineno or any((n.end_lineno or n.lineno) > n.lineno for n in strings):
            return False
        if any(s.decorator_list for s in body if isinstance(s, (ast.FunctionDef, ast.ClassDef))):
            return False
        header_end = self._starts[first - 1]
        comment = self.text[self._starts[stmt.lineno - 1] : header_end].partition("#")[2]
        if comment:
            return False
        self.gone[stmt] = why
        self.put(self._starts[stmt.lineno - 1], header_end)
        for line in (n for n in range(first, (stmt.end_lineno or first) + 1) if n not in stay):
            text = self._lines[line - 1]
            if text[:step].isspace() and len(text.strip()):
                self.moved[line] += step
        return True

    def _outer(self) -> list[Edit]:
        """The edits in order; one inside of a bigger one has nothing left to change."""
        out: list[Edit] = []
        left = [Edit(self._starts[n - 1], self._starts[n - 1] + by) for n, by in self.moved.items()]
        for edit in sorted([*self.edits, *left], key=lambda e: (e.start, -e.end)):
            if out and edit.end <= out[-1].end and edit.start < out[-1].end:
                continue
            assert not out or edit.start >= out[-1].end, "edits overlap"
            out.append(edit)
        return out

    def result(self) -> str:
        out, at = [], 0
        for edit in self._outer():
            out += [self.text[at : edit.start], edit.new]
            at = edit.end
        return "".join([*out, self.text[at:]])

    def fates(self) -> tuple[Fate, ...]:
        """Where each statement stands in the new text."""
        after, place = self.result(), _Places(self._outer())
        ends = [n for n, char in enumerate(after) if char == "\n"]

        def line(offset: int) -> int:
            return bisect_right(ends, offset - 1) + 1

        out: list[Fate] = []
        for stmt in walk_statements(self.tree.body):
            span = span_of(stmt)
            if stmt in self.gone:
                out.append(Fate(span, FateKind.MERGED, self.gone[stmt]))
                continue
            start = self._starts[span.first - 1] + self.start(stmt) - self._starts[stmt.lineno - 1]
            first, last = line(place.of(start)), line(max(place.of(self.end(stmt)) - 1, 0))
            out.append(Fate(span, FateKind.KEPT, "kept", (Span(first, max(first, last)),)))
        return tuple(out)

    def changed(self) -> set[Span]:
        """The statements in whose own lines something changed."""
        spans = set()
        for stmt in walk_statements(self.tree.body):
            if any(self.start(stmt) <= e.start < self.end(stmt) and e.new.strip() for e in self.edits):
                spans.add(span_of(stmt))
        return spans


class _Places:
    """From a place of the text to one of the new text."""

    def __init__(self, edits: Iterable[Edit]) -> None:
        self.edits = list(edits)

    def of(self, offset: int) -> int:
        shift = 0
        for edit in self.edits:
            if edit.end > offset or (edit.start == edit.end == offset):
                break
            shift += len(edit.new) - (edit.end - edit.start)
        return offset + shift
