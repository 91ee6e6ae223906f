"""What a script says to torchlift in its comments.

``# torchlift: ignore[TL310]`` at the end of a line is about what would be said of that line (of the whole statement,
where it goes over several): a finding or a note is not told, and a refusal that rests on something the script cannot
show is taken back on the author's word. ``# torchlift: skip-file`` on a line of its own leaves the file alone.

A comment never changes numbers in silence. What an author may vouch for, the converted script checks when it runs;
every other refusal stands, whatever a comment says.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches

from torchlift_convert.diagnostics import CODES
from torchlift_convert.types import Diagnostic, Result, Severity, Span, Status

MARK = "torchlift:"
_COMMENT = re.compile(r"(?:^|\s)#\s*torchlift:\s*(?P<said>[^#]*)")
_IGNORE = re.compile(r"ignore\s*\[(?P<codes>[^\]]*)\]")
_WORD = re.compile(r"[\w-]*")
WORDS = ("ignore", "skip-file")
SKIP = "skip-file"
_OUTSIDE = frozenset({tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING})


@dataclass(frozen=True)
class Ignore:
    """One code of one comment. ``about``: the statement's lines, of a compound one its head's; ``line``: its own."""

    code: str
    line: int
    about: Span

    def speaks_of(self, diagnostic: Diagnostic) -> bool:
        return self.code == diagnostic.code and self.about.first <= diagnostic.span.first <= self.about.last


@dataclass(frozen=True)
class Directives:
    """All that a script says. ``unclear``: comments that say nothing known."""

    ignores: tuple[Ignore, ...] = ()
    unclear: tuple[Diagnostic, ...] = ()
    skip: bool = False

    def vouched(self) -> frozenset[tuple[str, int]]:
        """Codes with the lines for which the author gives a word, where a word counts."""
        return frozenset((i.code, line) for i in self.ignores for line in range(i.about.first, i.about.last + 1))


def read(text: str) -> Directives:
    """The directives of a script that parses."""
    if MARK not in text:
        return Directives()
    ignores: list[Ignore] = []
    unclear: list[Diagnostic] = []
    skip = False
    for line, about, said in _comments(text):
        if said.split(maxsplit=1)[:1] == [SKIP] and about is None:
            skip = True
            continue
        codes, problem = _codes(said, alone=about is None)
        if problem:
            unclear.append(Diagnostic("TL911", Severity.NOTE, problem[0], Span(line, line), problem[1]))
        elif about is not None:
            ignores += [Ignore(code, line, about) for code in codes]
    return Directives(tuple(ignores), tuple(unclear), skip)


def _comments(text: str) -> Iterator[tuple[int, Span | None, str]]:
    """Each comment to torchlift: its line, the lines of the statement that it is beside (None: alone), its words."""
    first: int | None = None  # line of the first token of the statement that is being read
    waiting: list[tuple[int, str]] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                if found := _COMMENT.search(token.string):
                    said = (token.start[0], found["said"].strip())
                    if first is None:
                        yield said[0], None, said[1]
                    else:
                        waiting.append(said)
            elif token.type == tokenize.NEWLINE:
                about = Span(first or token.start[0], token.start[0])
                yield from ((line, about, words) for line, words in waiting)
                first, waiting = None, []
            elif token.type not in _OUTSIDE and first is None:
                first = token.start[0]
    except (tokenize.TokenError, SyntaxError):  # text that ast reads and tokenize does not: the rest says nothing
        return


def _codes(said: str, *, alone: bool) -> tuple[list[str], tuple[str, str] | None]:
    """The codes that an ignore names; or what is unclear about it, and what to write instead."""
    word = _WORD.match(said)
    name = word[0] if word else ""
    if name not in WORDS:
        near = get_close_matches(name, WORDS, n=1)
        return [], (f"The comment says '{name}' to torchlift, which it does not know.", _did_you_mean(near))
    if name == SKIP:
        return [], ("skip-file is about the whole file, and stands behind code here.", "Put it on a line of its own.")
    found = _IGNORE.match(said)
    codes = [code.strip() for code in found["codes"].split(",") if code.strip()] if found else []
    if not codes:
        return [], ("The comment names no code to ignore.", "Name it: # torchlift: ignore[TL302]")
    for code in codes:
        if code not in CODES:
            near = get_close_matches(code.upper(), list(CODES), n=1)
            return [], (f"There is no code '{code}' to ignore.", _did_you_mean(near))
    if alone:
        return [], ("The comment ignores something on a line without code.", "Put it at the end of the line meant.")
    return codes, None


def _did_you_mean(near: list[str]) -> str:
    return f"Did you mean {near[0]}?" if near else "`torchlift explain TL911` shows what can be said."


def apply(directives: Directives, result: Result) -> Result:
    """Leave out what the script does not want to hear, and tell of the comments that came to nothing."""
    heard = tuple(d for d in result.diagnostics if not _silenced(d, directives.ignores))
    idle = _idle(directives.ignores, result) if result.status in (Status.CONVERTED, Status.REFUSED) else []
    unclear = directives.unclear if result.status is not Status.NO_LOOP else ()
    return replace(result, diagnostics=(*heard, *unclear, *idle))


def _silenced(diagnostic: Diagnostic, ignores: Iterable[Ignore]) -> bool:
    return diagnostic.severity is not Severity.REFUSAL and any(i.speaks_of(diagnostic) for i in ignores)


def _idle(ignores: Iterable[Ignore], result: Result) -> Iterator[Diagnostic]:
    """Ignores that changed nothing. Of a script that was refused only the refusal itself is known."""
    for one in ignores:
        about = [d for d in result.diagnostics if one.speaks_of(d)]
        place = Span(one.line, one.line)
        if any(d.severity is Severity.REFUSAL for d in about):
            yield Diagnostic(
                "TL910",
                Severity.NOTE,
                f"This comment cannot take {one.code} back: it is not something that a word could settle.",
                place,
                "Remove the comment, and do what the refusal says.",
            )
        elif not about and result.status is Status.CONVERTED and not _vouched_for(one, result):
            yield Diagnostic(
                "TL910", Severity.NOTE, f"Nothing on this line is told as {one.code}.", place, "Remove the comment."
            )


def _vouched_for(one: Ignore, result: Result) -> bool:
    return any(one.code == v.code and one.about.first <= v.span.first <= one.about.last for v in result.vouched)
