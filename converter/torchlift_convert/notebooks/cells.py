"""The text of one cell, cut into Python and magics, as IPython's input transformer cuts it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from torchlift_convert.notebooks.magics import RUNNING, SHOWING, Kind, Magic, kind_of, magic_of

_OPEN, _CLOSE = "([{", ")]}"
_FUTURE = re.compile(r"^\s*from\s+__future__\s+import\b", re.M)
_CAPTURED = re.compile(r"%%capture\s+(?:-\S+\s+)*([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Part:
    """Some whole lines of a cell: Python, or one magic. ``indent`` stands in front of the magic."""

    lines: tuple[str, ...]
    magic: Magic | None = None
    indent: str = ""


def parts_of(source: str) -> list[Part]:
    """The lines of a cell in parts; put together they are the cell."""
    lines = dedented(source).split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return [Part(tuple(lines))]
    if lines[first].startswith("%%"):
        return [Part(tuple(lines[:first]))] * bool(first) + _with_head(lines[first:])
    if _FUTURE.search(source) is None and _parses("\n".join(lines)):
        return [Part(tuple(lines))]
    return list(_scanned(lines))


def _with_head(lines: list[str]) -> list[Part]:
    """A cell under a cell magic: it runs as any other, or it is no Python."""
    name = lines[0][2:].split(maxsplit=1)[0] if lines[0][2:].strip() else ""
    whole = "\n".join(lines)
    if name in RUNNING:
        bound = _CAPTURED.match(lines[0])
        head = Magic(lines[0], Kind.UNKNOWN if bound else Kind.HARMLESS, targets=bound[1] if bound else "", head=True)
        return [Part((lines[0],), head), *parts_of("\n".join(lines[1:]))]
    return [Part(tuple(lines), Magic(whole, Kind.HARMLESS if name in SHOWING else kind_of(whole)))]


def dedented(source: str) -> str:
    """A cell whose first line is indented is read as if it were not."""
    lines = source.split("\n")
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    if not indent or first.lstrip().startswith("#"):
        return source
    return "\n".join(line.removeprefix(indent) for line in lines)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _scanned(lines: list[str]) -> Iterator[Part]:
    """Magics stand at the start of logical lines; what is inside brackets or strings is none."""
    plain: list[str] = []
    quote, depth, joined = "", 0, False
    at = 0
    while at < len(lines):
        line = lines[at]
        if not quote and not depth and not joined:
            end = at
            while lines[end].endswith("\\") and end + 1 < len(lines):
                end += 1
            if "__future__" in line and "(" in line:
                while ")" not in lines[end] and end + 1 < len(lines):
                    end += 1
            indent = line[: len(line) - len(line.lstrip())]
            taken = lines[at : end + 1]
            magic = magic_of("\n".join(taken)[len(indent) :])
            if magic is not None and magic.kind is Kind.TIMED and indent:
                magic = Magic(magic.text, Kind.UNKNOWN)
            if magic is not None:
                if plain:
                    yield Part(tuple(plain))
                yield Part(tuple(taken), magic, indent)
                plain, at = [], end + 1
                continue
        quote, depth, joined = _after(line, quote, depth)
        plain.append(line)
        at += 1
    if plain:
        yield Part(tuple(plain))


def _after(line: str, quote: str, depth: int) -> tuple[str, int, bool]:
    """Where a line ends: in which string, in how many brackets, joined to the next one by a backslash or not."""
    at = 0
    while at < len(line):
        char = line[at]
        if quote:
            if char == "\\":
                at += 2
                continue
            if line.startswith(quote, at):
                at += len(quote)
                quote = ""
                continue
        elif char == "#":
            break
        elif char in "\"'":
            quote = char * 3 if line.startswith(char * 3, at) else char
            at += len(quote)
            continue
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth = max(0, depth - 1)
        at += 1
    joined = line.endswith("\\") and (bool(quote) or "#" not in line)
    return (quote if len(quote) == 3 or (quote and joined) else ""), depth, joined
