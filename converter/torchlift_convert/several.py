"""Several trainings in one script: one after the other is converted, each in the text that the one before has left.

The last goes first, so that each is planned in front of what the script does after it, as the script wrote it before.
A training that cannot be converted stays as it is, and is told of.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torchlift_convert.kept import walk
from torchlift_convert.types import (
    Diagnostic,
    Fate,
    FateKind,
    Optimization,
    Proof,
    Result,
    Severity,
    Span,
    Status,
)

HIDDEN = Span(0, 0)  # the place of training that no way leads to


@dataclass(frozen=True)
class Go:
    """What one go came to, with the training of one place."""

    result: Result
    place: Span
    ranked: tuple[str, ...] = ()  # names that are numbered for the sake of other trainings
    last: bool = False  # no other training is left


# The text, the places that are done with, and what became of the original's statements so far; None: all is done.
Step = Callable[[str, frozenset[Span], Sequence[Fate]], Go | None]


def convert_all(text: str, step: Step, once: bool = False) -> Result | None:
    """The conversion of every training of a text; None when it has none. ``once``: of one only.

    The refusal of the first, when none can be converted.
    """
    done: Result | None = None
    refused: dict[Span, Result] = {}
    settled = set[Span]()
    numbered: list[str] = []
    while True:
        fates = done.fates if done is not None else ()
        current = done.code if done is not None else None
        one = step(current if current is not None else text, frozenset(settled), fates)
        if one is None or one.place in settled:
            break
        settled.add(one.place)
        told = one.result if done is None else in_original(one.result, done.fates)
        if one.result.status is not Status.CONVERTED:
            refused[one.place] = told
        else:
            done = one.result if done is None else joined(done, told, one.result)
            numbered = [*one.ranked, *numbered]
        if once or one.last:
            break
    if done is None:
        return min(refused.values(), key=lambda r: r.diagnostics[0].span, default=None)
    stay = [r.diagnostics[0] for key, r in refused.items() if key != HIDDEN]
    notes = stays(sorted(stay, key=lambda d: d.span))
    return replace(_unnumbered(done, numbered), diagnostics=(*done.diagnostics, *notes))


def carried(vouched: frozenset[tuple[str, int]], fates: Sequence[Fate]) -> frozenset[tuple[str, int]]:
    """Lines of the original, as those of the text that it has become so far."""
    if not fates:
        return vouched
    return frozenset(
        (code, target.first)
        for code, line in vouched
        for fate in fates
        if fate.source.first == line
        for target in fate.targets
    )


def _unnumbered(done: Result, names: Sequence[str]) -> Result:
    """Take the number off the names that nothing else wants."""
    for name in names:
        plain, code = re.sub(r"_?\d+$", "", name), done.code or ""
        tree = ast.parse(code)
        taken = {n.id for n in walk(tree) if isinstance(n, ast.Name)}
        taken |= {n.name for n in walk(tree) if isinstance(n, (ast.ClassDef, ast.FunctionDef, ast.alias))}
        if plain not in taken:
            done = _renamed(done, re.compile(rf"\b{name}\b"), plain)
    return done


def _renamed(done: Result, name: re.Pattern[str], plain: str) -> Result:
    return replace(
        done,
        code=name.sub(plain, done.code or ""),
        datamodule=name.sub(plain, done.datamodule) if done.datamodule else None,
        module=name.sub(plain, done.module) if done.module else None,
        became=tuple(replace(b, target=name.sub(plain, b.target)) for b in done.became),
        fates=tuple(replace(f, where=name.sub(plain, f.where)) for f in done.fates),
    )


def stays(refusals: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """What is said of trainings that are left as they are, while others are not."""
    return tuple(
        replace(
            r, code="TL101", severity=Severity.NOTE, message=f"This training stays as it is ({r.code}). {r.message}"
        )
        for r in refusals
    )


def in_original(result: Result, before: Sequence[Fate]) -> Result:
    """A result about the text of a go, told in the lines of the original."""
    back = to_original(before)
    return replace(
        result,
        became=tuple(replace(b, span=back(b.span)) for b in result.became),
        diagnostics=tuple(replace(d, span=back(d.span)) for d in result.diagnostics),
        vouched=tuple(replace(v, span=back(v.span)) for v in result.vouched),
    )


def joined(done: Result, told: Result, made: Result) -> Result:
    """What two goes came to together. ``told``: the second, in the original's lines; ``made``: in the first's text."""
    manual = Optimization.MANUAL in (done.optimization, told.optimization)
    vouched = Proof.VOUCHED in (done.proof, told.proof)
    return replace(
        told,
        proof=Proof.VOUCHED if vouched else told.proof,
        optimization=Optimization.MANUAL if manual else told.optimization,
        datamodule=told.datamodule or done.datamodule,
        became=(*told.became, *done.became),
        fates=composed(done.fates, made.fates),
        diagnostics=(*told.diagnostics, *done.diagnostics),
        vouched=(*told.vouched, *done.vouched),
    )


def composed(first: Sequence[Fate], second: Sequence[Fate]) -> tuple[Fate, ...]:
    """The fates of the original's statements after both goes: a statement that was kept has the fate of the second."""
    after = {fate.source: fate for fate in second}
    out: list[Fate] = []
    for fate in first:
        kept = fate.kind is FateKind.KEPT and len(fate.targets) == 1
        own = after.get(fate.targets[0]) if kept else None
        if own is not None:
            out.append(replace(own, source=fate.source))
            continue
        targets = [span for target in fate.targets for span in _moved(target, after)]
        out.append(replace(fate, targets=tuple(sorted(set(targets)))))
    return tuple(out)


def _moved(span: Span, after: dict[Span, Fate]) -> tuple[Span, ...]:
    """Where lines of the first text are in the second: those of the statement there, or of those inside of it."""
    if span in after:
        return after[span].targets
    inside = [t for s, fate in after.items() if span.first <= s.first and s.last <= span.last for t in fate.targets]
    return (Span(min(t.first for t in inside), max(t.last for t in inside)),) if inside else ()


def to_original(fates: Sequence[Fate]) -> Callable[[Span], Span]:
    """From the lines of a converted text to those of the original; of the original itself, without ``fates``."""
    pairs = [(target, fate.source) for fate in fates for target in fate.targets]

    def original(span: Span) -> Span:
        for target, source in pairs:
            if target == span:
                return source
        around = [(t, s) for t, s in pairs if t.first <= span.first <= t.last]
        if not around:
            return Span(1, 1)
        target, source = min(around, key=lambda pair: pair[0].last - pair[0].first)
        first = min(source.first + span.first - target.first, source.last)
        return Span(first, min(first + span.last - span.first, source.last))

    return original if fates else lambda span: span
