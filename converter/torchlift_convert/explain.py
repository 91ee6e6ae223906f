"""The page of each code: what it means, why it matters for the numbers, an example, what to do.

A page is one file in ``pages/``, named after its code and found there. It begins with fields; the rest is Markdown:

    severity: finding

    What the code means, in a paragraph or two.

    ## Why it matters
    ## Example              one block of Python that makes the converter say the code; a bug of ours has none
    ## What to do           ends with the example as it converts without it

The title is the code's meaning in ``diagnostics.CODES``. docs/codes.md is all of this in one file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from torchlift_convert.diagnostics import CODES

JSON_SCHEMA = 1

FAMILIES = {
    "1": "structure",
    "2": "device",
    "3": "optimizer and scheduler",
    "4": "precision",
    "5": "distributed",
    "6": "logging and checkpoints",
    "7": "data",
    "8": "the way back to a plain loop",
    "9": "left alone",
}
BUG = "bug"  # the severity of what no script can be blamed for
SEVERITIES = {
    "refusal": "nothing is written",
    "finding": "kept as the script has it, and told",
    "note": "said so that nobody is surprised",
    BUG: "torchlift itself is wrong; nothing is written",
}


@dataclass(frozen=True)
class Page:
    """All that is known about one code. ``instead`` is the example as it should be; a bug of ours has neither.

    Texts are paragraphs divided by a blank line; inline code stands in backticks.
    """

    code: str
    title: str
    severities: tuple[str, ...]
    meaning: str
    why: str
    example: str
    remedy: str
    instead: str

    @property
    def family(self) -> str:
        return FAMILIES[self.code[2]]

    @property
    def change(self) -> list[str]:
        """The lines of a patch that leads from the example to what should stand there, with their marks."""
        patch = difflib.unified_diff(self.example.splitlines(), self.instead.splitlines(), lineterm="", n=2)
        lines = [line for line in patch if not line.startswith(("---", "+++", "@@"))]
        while lines and not lines[0].strip():
            lines.pop(0)
        return lines


class BadPage(Exception):
    """A page is not written as this module reads it: a bug of ours."""


@cache
def pages() -> dict[str, Page]:
    """Every page, by its code, in order."""
    found = (entry for entry in files("torchlift_convert").joinpath("pages").iterdir() if entry.name.endswith(".md"))
    read = (parse(entry.name.removesuffix(".md"), entry.read_text(encoding="utf-8")) for entry in found)
    return {page.code: page for page in sorted(read, key=lambda page: page.code)}


def parse(code: str, text: str) -> Page:
    """Read one page.

    Raises:
        BadPage: a section or a field is missing.
    """
    head, _, body = text.partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    meaning, *sections = body.split("\n## ")
    parts = {title: rest.strip() for title, _, rest in (section.partition("\n") for section in sections)}
    try:
        severities = tuple(fields["severity"].split(", "))
        example, remedy = parts.get("Example", ""), parts["What to do"]
        before, after = block(example), block(remedy)
        prose = remedy.partition("\n```")[0].strip()
        return Page(code, CODES[code], severities, meaning.strip(), parts["Why it matters"], before, prose, after)
    except KeyError as missing:
        raise BadPage(f"the page of {code} has no {missing}") from None


def block(text: str) -> str:
    """The first fenced block of Python in a text, '' when there is none."""
    inside = text.partition("```python\n")[2].partition("```")[0]
    return inside.rstrip("\n") + "\n" if inside else ""


def matching(prefix: str) -> list[Page]:
    """The pages whose codes start with this, in capitals or not: one for a code, all of a family for ``TL3``."""
    return [page for code, page in pages().items() if code.startswith(prefix.upper())]


def nearest(code: str) -> list[str]:
    """Codes that somebody may have meant by one that does not exist."""
    return difflib.get_close_matches(code.upper(), list(pages()), n=3, cutoff=0.7)


def markdown(chosen: Iterable[Page], *, level: int = 1) -> str:
    """Pages in full, one after the other, their titles as headings of this level."""
    return "\n\n".join(_markdown(page, "#" * level) for page in chosen) + "\n"


def _markdown(page: Page, mark: str) -> str:
    kinds = "; ".join(f"{severity}: {SEVERITIES[severity]}" for severity in page.severities)
    parts = [f"{mark} {page.code}: {page.title}", f"*{kinds}*", page.meaning]
    parts += [f"**Why it matters.** {page.why}"]
    if page.example:
        parts += [f"**Example.**\n\n```python\n{page.example}```"]
    parts += [f"**What to do.** {page.remedy}"]
    if page.example:
        parts += ["```diff\n" + "\n".join(page.change) + "\n```"]
    return "\n\n".join(parts)


def record(page: Page) -> dict[str, Any]:
    """A page for JSON."""
    return {
        "code": page.code,
        "title": page.title,
        "family": page.family,
        "severities": list(page.severities),
        "meaning": page.meaning,
        "why": page.why,
        "example": page.example or None,
        "remedy": page.remedy,
        "instead": page.instead or None,
    }
