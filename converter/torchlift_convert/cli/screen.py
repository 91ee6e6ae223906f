"""The side-by-side view on a terminal. Each fate has a colour and a letter, so that it reads without colour too."""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from torchlift_convert.report import (
    KIND_WORDS,
    SECTIONS,
    Answer,
    counted,
    diagnostic_line,
    sorted_diagnostics,
)
from torchlift_convert.sidebyside import Line, Row, SideBySide
from torchlift_convert.types import Fate, FateKind

LETTERS = {
    FateKind.KEPT: "K",
    FateKind.MOVED: "M",
    FateKind.MERGED: "G",
    FateKind.TRAINER: "T",
    FateKind.REFUSED: "R",
}
STYLES = {
    FateKind.KEPT: "",
    FateKind.MOVED: "cyan",
    FateKind.MERGED: "yellow",
    FateKind.TRAINER: "magenta",
    FateKind.REFUSED: "bold red",
}
GENERATED = "+"
GENERATED_STYLE = "green"
POINTER_STYLE = "dim italic"
ANSWER_STYLES = {Answer.EXACT: "bold green", Answer.DIFFERS: "bold red", Answer.NO_ANSWER: "bold yellow"}
NARROWEST = 40
TAB = 4
Cell = list[Text]


def console(width: int | None) -> Console:
    """Standard output, as wide as asked for or as the terminal is; what its encoding lacks becomes a question mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(width=width)


def show(lines: Iterable[Text], console: Console) -> None:
    """Print lines that are as wide as they should be already."""
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def rows(view: SideBySide, width: int) -> Iterator[Text]:
    """The view line by line, none wider than ``width`` but for the sentences below it."""
    width = max(width, NARROWEST)
    highest = max((line.number for row in view.rows for line in (row.before, row.after) if line), default=0)
    digits = len(str(highest))
    # number, space, code, space, letter, space, number, space, code
    left = (width - 2 * digits - 5) // 2
    right = width - 2 * digits - 5 - left
    yield beside(heading(view.before_name, left + digits + 1), " ", heading(view.after_name, right), left + digits + 1)
    yield Text("-" * width, "dim")
    for row in view.rows:
        yield from row_lines(row, digits, left, right)
    yield Text("-" * width, "dim")
    yield legend(view)
    yield from sentences(view)


def beside(left: Text, letter: str | Text, right: Text, width: int) -> Text:
    """Two cells and what stands between them; the left one padded to ``width``."""
    line = Text()
    line.append_text(left)
    line.append(" " * (width - cell_len(left.plain) + 1))
    line.append_text(letter if isinstance(letter, Text) else Text(letter))
    line.append(" ")
    line.append_text(right)
    line.rstrip()
    return line


def heading(name: str, width: int) -> Text:
    text = Text(printable(name), "bold")
    while text.cell_len > width:  # the end of a path says more than its start
        text = text[1:]
    return text


def row_lines(row: Row, digits: int, left: int, right: int) -> Iterator[Text]:
    """One row on as many lines as its longer side needs."""
    style = STYLES[row.fate.kind] if row.fate else GENERATED_STYLE if row.generated else ""
    before = cell(row.before, digits, left, style, row)
    after = cell(row.after, digits, right, style, row)
    letter = LETTERS[row.fate.kind] if row.fate else GENERATED if row.generated else " "
    for index in range(max(len(before), len(after))):
        yield beside(
            before[index] if index < len(before) else Text(),
            Text(letter if index == 0 else " ", style),
            after[index] if index < len(after) else Text(),
            digits + 1 + left,
        )


def cell(line: Line | None, digits: int, width: int, style: str, row: Row) -> Cell:
    """A numbered line of code, wrapped; or, on an empty side, where its other side is."""
    if line is None:
        return wrap(" " * (digits + 1) + pointer(row), digits + 1 + width, POINTER_STYLE) if row.starts else [Text()]
    cells = wrap(printable(line.text), width, style)
    numbers = [f"{line.number:>{digits}} ", *[" " * (digits + 1)] * (len(cells) - 1)]
    return [Text(number, "dim").append_text(code) for number, code in zip(numbers, cells)]


def pointer(row: Row) -> str:
    """'-> LitNet.training_step, line 93' on the right, '<- line 31' on the left, '' where there is nothing to say."""
    assert row.fate is not None
    fate = row.fate
    spans = ", ".join(map(str, row.counterpart))
    place = f"line{'s' if '-' in spans or ',' in spans else ''} {spans}" if spans else ""
    if row.before is None:
        return f"<- {fate.file}, {place}" if fate.file else f"<- {place}"
    if fate.kind is FateKind.REFUSED:
        return fate.note or "to be done by hand"
    where = ", ".join(filter(None, [destination(fate), place, fate.note]))
    return f"-> {where}" if where else ""


def destination(fate: Fate) -> str:
    return f"done by {fate.where}" if fate.kind is FateKind.TRAINER and fate.where else fate.where


def printable(text: str) -> str:
    """Code as a terminal may show it: tabs widened, control characters (which could steer the terminal) replaced."""
    text = text.expandtabs(TAB)
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf") else c for c in text)


def wrap(text: str, width: int, style: str) -> Cell:
    """Break a line of code where it is too wide, and indent what follows a little more."""
    indent = len(text) - len(text.lstrip(" "))
    hanging = " " * min(indent + 2, width // 3)
    pieces: Cell = []
    rest = text.rstrip()
    while cell_len(rest) > width:
        cut = break_at(rest, width)
        pieces.append(Text(rest[:cut].rstrip(), style))
        rest = hanging + rest[cut:].lstrip(" ")
    return [*pieces, Text(rest, style)]


def break_at(text: str, width: int) -> int:
    """How many characters go on the line: up to a space in its second half, else to punctuation there, else all."""
    fits = 1
    while fits < len(text) and cell_len(text[: fits + 1]) <= width:
        fits += 1
    indent = len(text) - len(text.lstrip(" "))
    middle = indent + max(1, (fits - indent) // 2)
    for ends, starts in ((" ", " "), ("([{,", ".")):
        for cut in range(fits, middle, -1):
            if (text[cut - 1] in ends or text[cut] in starts) and text[cut] not in ")]}":
                return cut
    return fits


def legend(view: SideBySide) -> Text:
    """'K 20 kept   M 14 moved   ...   + generated', the ledger's sum and the key to the letters in one."""
    if not view.counts:
        return Text(f"{LETTERS[FateKind.KEPT]} in both files  {GENERATED} in the second only")
    line = Text(f"{counted(sum(view.counts.values()), 'statement')}: ")
    for kind, number in view.counts.items():
        if number:
            line.append(f"{LETTERS[kind]} {number} {KIND_WORDS[kind]}", STYLES[kind]).append("  ")
    if any(row.generated for row in view.rows):
        line.append(f"{GENERATED} generated", GENERATED_STYLE)
    line.rstrip()
    return line


def sentences(view: SideBySide) -> Iterator[Text]:
    """What there is to tell about the conversion, one sentence a line."""
    for severity, title in SECTIONS:
        chosen = [d for d in sorted_diagnostics(view.diagnostics) if d.severity is severity]
        if chosen:
            yield Text(f"\n{title}:")
            yield from (Text(diagnostic_line(view.before_name, d)) for d in chosen)


def verdict(view: SideBySide) -> Iterator[Text]:
    """Verify's answer, if it was asked."""
    if view.verdict is not None:
        yield Text(f"verify: {view.verdict.sentence}", ANSWER_STYLES[view.verdict.answer])
