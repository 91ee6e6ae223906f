"""The converted script as cells again: what stands between the statements that begin cells, with its magics."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass

from torchlift_convert.notebooks.document import Notebook
from torchlift_convert.notebooks.flat import Flat, heading
from torchlift_convert.notebooks.magics import Kind
from torchlift_convert.syntax import span_of, walk_statements


class Lost(Exception):
    """A magic that cannot stand in the output as it stood. ``number``: which one."""

    def __init__(self, number: int) -> None:
        super().__init__(f"magic {number}")
        self.number = number


@dataclass(frozen=True)
class Text:
    """A line of a cell, and the line of the converted script that it is (of a magic's: where its statement begins)."""

    text: str
    origin: int


@dataclass(frozen=True)
class Rebuilt:
    """The new notebook.

    ``sources``: of each cell that changed its new text, None where the cell goes. ``shown``: the cells as one script;
    ``lines``: for lines of the converted script those of ``shown``; ``places``: for lines of ``shown`` the cell (as
    the new notebook counts) and the line there.
    """

    sources: dict[int, str | None]
    shown: str
    lines: dict[int, int]
    places: tuple[tuple[int, int], ...]


def rebuild(notebook: Notebook, flat: Flat, code: str, own: dict[int, int]) -> Rebuilt:
    """Cut the converted script into the notebook's cells.

    Args:
        notebook: the original.
        flat: its script.
        code: the script's conversion.
        own: lines of it on which a statement of the original begins, with its line in the notebook's script.

    Raises:
        Lost: a magic is gone, or reads a name that the conversion has changed.
    """
    tree = ast.parse(code)
    texts = _with_magics(code, tree, flat)
    starts = _starts(tree, flat)
    chunks: dict[int, list[Text]] = {}
    cells = [cell.number for cell in notebook.cells]
    above = texts[: starts[cells[0]] - 1]  # a note at the head of the script is one at the head of the first cell
    for number, (first, end) in zip(cells, _between(starts, cells, len(texts)), strict=True):
        chunks[number] = _stripped([t for line in [*above, *texts[first:end]] for t in line])
        above = []
    ends = _ends(tree, flat, own)
    for number in cells:
        _hand_on(chunks, number, ends, flat)
    sources: dict[int, str | None] = {}
    for cell in notebook.cells:
        chunk = _head_first(chunks[cell.number], flat)
        before = _stripped(_original(flat, cell.number))
        if [t.text for t in chunk] == [t.text for t in before]:
            continue
        sources[cell.number] = _source(chunk, tree, own) if _does_something(chunk, flat) else None
        chunks[cell.number] = chunk
    return _rebuilt(notebook, sources, chunks)


def _rebuilt(notebook: Notebook, sources: dict[int, str | None], chunks: dict[int, list[Text]]) -> Rebuilt:
    shown: list[str] = []
    lines: dict[int, int] = {}
    places: list[tuple[int, int]] = []
    gone = sorted(number for number, source in sources.items() if source is None)
    for cell in notebook.cells:
        if cell.number in gone:
            continue
        place = cell.number - sum(number < cell.number for number in gone)
        shown.append(heading(place))
        places.append((place, 1))
        source = sources.get(cell.number)
        source = cell.source if source is None else source
        above = _blank_above(source)
        for number, line in enumerate(source.split("\n")):
            index = number - above
            shown.append(line)
            places.append((place, number + 1))
            if 0 <= index < len(chunks[cell.number]):
                lines.setdefault(chunks[cell.number][index].origin, len(shown))
    return Rebuilt(sources, "".join(f"{line}\n" for line in shown), lines, tuple(places))


def _with_magics(code: str, tree: ast.Module, flat: Flat) -> list[list[Text]]:
    """The lines of the converted script, each as what stands in its place: a magic's own lines, or itself."""
    texts = [[Text(line, n)] for n, line in enumerate(code.split("\n"), 1)]
    stand_ins = {
        number: stmt
        for stmt in walk_statements(ast.parse(flat.text).body)
        if (number := _number(stmt, flat)) is not None
    }
    there: set[int] = set()
    for stmt in walk_statements(tree.body):
        number = _number(stmt, flat)
        if number is None:
            continue
        if ast.dump(stmt) != ast.dump(stand_ins[number]):
            raise Lost(number)
        there.add(number)
        span, indent = span_of(stmt), " " * stmt.col_offset
        said = flat.magics[number].text.split("\n")
        texts[span.first - 1] = [Text(indent + said[0], span.first), *(Text(line, span.first) for line in said[1:])]
        texts[span.first : span.last] = [[]] * (span.last - span.first)
    comment = re.compile(rf"^(?P<indent>\s*)(?P<code>.*?)\s*# {flat.mark} (?P<number>\d+)$")
    for n, held in enumerate(texts):
        if len(held) == 1 and (found := comment.match(held[0].text)):
            there.add(int(found["number"]))
            texts[n] = [Text(_timed(found, flat), n + 1)]
    for number in range(len(flat.magics)):
        if number not in there:
            raise Lost(number)
    if any(flat.mark in t.text for held in texts for t in held if f"{flat.mark} cell" not in t.text):
        raise Lost(0)
    return texts


def _timed(found: re.Match[str], flat: Flat) -> str:
    """A statement that was timed; inside a function the magic would not bind what the statement binds."""
    code, indent = found["code"], found["indent"]
    magic = flat.magics[int(found["number"])]
    if code == magic.code and not indent:
        return magic.text
    if not code or indent:
        return f"{indent}{code}{'  ' if code else ''}# %time"
    return f"%time {code}"


def _number(stmt: ast.stmt, flat: Flat) -> int | None:
    """The number of the magic in whose place a statement stands."""
    match stmt:
        case ast.Expr(value=ast.Tuple(elts=[ast.Constant(value=str(said)), *_])):
            pass
        case ast.Expr(value=ast.Call(args=[ast.Constant(value=str(said)), *_])):
            pass
        case ast.Assign(value=ast.Call(args=[ast.Constant(value=str(said)), *_])):
            pass
        case _:
            return None
    word, _, number = said.partition(" ")
    return int(number) if word == flat.mark and number.isdigit() else None


def _starts(tree: ast.Module, flat: Flat) -> dict[int, int]:
    """The line on which each cell begins."""
    starts = ((s, _begun(s, flat)) for s in tree.body)
    return {number: stmt.lineno for stmt, number in starts if number is not None}


def _begun(stmt: ast.stmt, flat: Flat) -> int | None:
    """The number of the cell that a statement begins."""
    match stmt:
        case ast.Expr(value=ast.Constant(value=str(said))) if said.startswith(f"{flat.mark} cell "):
            return int(said.rpartition(" ")[2])
    return None


def _between(starts: dict[int, int], cells: list[int], end: int) -> Iterator[tuple[int, int]]:
    """Indices of the first line of each cell and of the one behind its last."""
    lines = [starts[cell] for cell in cells]
    assert lines == sorted(lines), "cells keep their order"
    yield from zip(lines, [*(line - 1 for line in lines[1:]), end], strict=True)


def _stripped(chunk: list[Text]) -> list[Text]:
    """Without blank lines at either end."""
    full = [n for n, t in enumerate(chunk) if t.text.strip()]
    return chunk[full[0] : full[-1] + 1] if full else []


def _original(flat: Flat, cell: int) -> list[Text]:
    first, last = flat.bodies[cell]
    return [Text(line.text, n) for n, line in enumerate(flat.lines[first - 1 : last], first)]


def _hand_on(chunks: dict[int, list[Text]], cell: int, ends: set[int], flat: Flat) -> None:
    """What was generated behind a cell's own end belongs to the next cell, for which it was made."""
    after = _taker(cell, flat)
    held = chunks[cell]
    end = max((n for n, t in enumerate(held) if t.origin in ends), default=None)
    if after is None or end is None:
        return
    code = [n for n, t in enumerate(held) if n > end and _is_code(t.text)]
    if not code:
        return
    made = held[end + 1 : code[-1] + 1]
    chunks[cell] = _stripped([*held[: end + 1], *held[code[-1] + 1 :]])
    blank = [Text("", made[-1].origin)] * bool(chunks[after])
    chunks[after] = _stripped([*made, *blank, *chunks[after]])


def _taker(cell: int, flat: Flat) -> int | None:
    """The next cell of Python, with nothing in between that could tell when it runs."""
    for number in (n for n in flat.bodies if n > cell):
        first, last = flat.bodies[number]
        tree = ast.parse("\n".join(flat.text.split("\n")[first - 1 : last]))
        magics = [n for s in tree.body if (n := _number(s, flat)) is not None]
        if len(magics) < len(tree.body):
            return number
        if any(flat.magics[n].kind is not Kind.HARMLESS for n in magics):
            return None
    return None


def _ends(tree: ast.Module, flat: Flat, own: dict[int, int]) -> set[int]:
    """Lines on which the last statements of cells end, where they stand as they stood."""
    lasts: set[int] = set()
    before: ast.stmt | None = None
    for stmt in ast.parse(flat.text).body:
        if _begun(stmt, flat) and before is not None:
            lasts.add(span_of(before).first)
        before = stmt
    found = {span_of(s).last for s in tree.body if own.get(span_of(s).first) in lasts}
    # of a magic over several lines, all lines have the number of its first
    return found | {s.lineno for s in tree.body if _number(s, flat) is not None and own.get(s.lineno) in lasts}


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _head_first(chunk: list[Text], flat: Flat) -> list[Text]:
    """The magic of a whole cell stands above whatever came to the cell."""
    heads = {magic.text for magic in flat.magics if magic.head}
    at = next((n for n, t in enumerate(chunk) if t.text in heads), 0)
    return [*chunk[at : at + 1], *chunk[:at], *chunk[at + 1 :]] if at else chunk


def _does_something(chunk: list[Text], flat: Flat) -> bool:
    """Is there more in a cell than the magic above it?"""
    return any(t.text.strip() and not t.text.startswith("%%") for t in chunk)


def _source(chunk: list[Text], tree: ast.Module, own: Container[int]) -> str:
    """The cell's text. A generated expression at its end would be displayed: a semicolon keeps it from that."""
    texts = [t.text for t in chunk]
    last = chunk[-1].origin
    stmt = next((s for s in tree.body if span_of(s).last == last), None)
    if isinstance(stmt, ast.Expr) and stmt.lineno not in own and not _gives_nothing(stmt.value):
        texts[-1] += ";"
    return "\n".join(texts)


def _gives_nothing(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in ("fit", "setup")


def _blank_above(source: str) -> int:
    lines = source.split("\n")
    return next((n for n, line in enumerate(lines) if line.strip()), 0)
