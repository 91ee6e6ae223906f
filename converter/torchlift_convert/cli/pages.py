"""The pages of ``torchlift explain`` on a terminal: as wide as it is, but never wider than one reads with ease."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from textwrap import wrap

from rich.text import Text

from torchlift_convert.cli import screen
from torchlift_convert.explain import SEVERITIES, Page

WIDEST = 100
HEADING = "bold"
CODE_STYLE = "cyan"
SEVERITY_STYLES = {"refusal": "red", "finding": "yellow", "note": "blue", "bug": "magenta"}
MARKS = {"+": "green", "-": "red"}
INLINE = re.compile(r"`[^`]+`")


def show(whole: Iterable[Page], listed: Iterable[Page]) -> None:
    """Print pages in full, then a list of others."""
    console = screen.console(None)
    for number, page in enumerate(whole):
        screen.show([Text()] * min(number, 1), console)
        screen.show(page_lines(page, min(console.width, WIDEST)), console)
    screen.show(listing(list(listed), console.width), console)


def page_lines(page: Page, width: int) -> Iterator[Text]:
    """A page, line by line; only code may be wider than ``width``."""
    yield from heading(f"{page.code}: {page.title}", width)
    for severity in page.severities:
        yield Text(f"{severity}: {SEVERITIES[severity]}", SEVERITY_STYLES[severity])
    yield Text()
    yield from prose(page.meaning, width)
    yield from heading("\nWhy it matters\n", width)
    yield from prose(page.why, width)
    if page.example:
        yield from heading("\nExample\n", width)
        yield from code(page.example.splitlines())
    yield from heading("\nWhat to do\n", width)
    yield from prose(page.remedy, width)
    if page.example:
        yield Text()
        yield from code(page.change)


def heading(text: str, width: int) -> Iterator[Text]:
    for line in text.split("\n"):
        yield from (Text(part, HEADING) for part in wrap(line, width) or [""])


def prose(text: str, width: int) -> Iterator[Text]:
    """Sentences, wrapped anew; what stands in backticks is code and keeps them where colours are missing."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield Text()
        for part in wrap(" ".join(paragraph.split()), width, break_long_words=False, break_on_hyphens=False):
            line = Text(part)
            line.highlight_regex(INLINE, CODE_STYLE)
            yield line


def code(lines: Iterable[str]) -> Iterator[Text]:
    yield from (Text(f"    {screen.printable(line)}".rstrip(), MARKS.get(line[:1], "")) for line in lines)


def listing(pages: list[Page], width: int) -> Iterator[Text]:
    """One line a code, under the names of the families."""
    kinds = {page.code: ", ".join(page.severities) for page in pages}
    kind = max(map(len, kinds.values()), default=0)
    for number, (family, members) in enumerate(groupby(pages, key=lambda page: page.family)):
        yield from heading(f"{chr(10) if number else ''}{family.capitalize()}", width)
        for page in members:
            first, *rest = wrap(page.title, max(width - kind - 11, 20))
            line = Text(f"  {page.code}  ").append(f"{kinds[page.code]:<{kind}}", SEVERITY_STYLES[page.severities[0]])
            yield line.append(f"  {first}")
            yield from (Text(" " * (kind + 11) + part) for part in rest)
    if pages:
        yield Text("\ntorchlift explain CODE prints the page of one.", "dim")
