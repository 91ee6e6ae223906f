"""Which findings and notes are told, and which of them decide how a command ends. Refusals are always told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchlift_convert.types import Diagnostic, Severity


class NoSuchCode(ValueError):
    """Somebody names codes that there are none of; the message is a sentence that helps."""


@dataclass(frozen=True)
class Choice:
    """Codes, or how codes start. Of ``select`` and ``ignore`` the one that names more of a code has the say."""

    select: tuple[str, ...] = ("TL",)
    ignore: tuple[str, ...] = ()
    fail_on: tuple[str, ...] = ()

    def told(self, diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        """What is left to tell."""
        return tuple(d for d in diagnostics if d.severity is Severity.REFUSAL or self._wants(d.code))

    def fails(self, diagnostics: Iterable[Diagnostic]) -> bool:
        """Does one of these end a command with exit code 1?"""
        return any(_named(d.code, self.fail_on) for d in diagnostics)

    def _wants(self, code: str) -> bool:
        return _named(code, self.select) > _named(code, self.ignore)


EVERYTHING = Choice()


def _named(code: str, prefixes: Sequence[str]) -> int:
    """How much of a code the longest of these names."""
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=0)


def codes(texts: Iterable[str]) -> tuple[str, ...]:
    """Read codes or their starts, several in one text divided by commas.

    Raises:
        NoSuchCode: no code starts like one of them.
    """
    from torchlift_convert.diagnostics import CODES  # with libcst, which most command lines can do without

    found = tuple(part.strip().upper() for text in texts for part in text.split(",") if part.strip())
    for prefix in found:
        if not any(code.startswith(prefix) for code in CODES):
            near = difflib.get_close_matches(prefix, list(CODES), n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else "`torchlift explain` lists all."
            raise NoSuchCode(f"no code starts with {prefix!r}; {hint}")
    return found
