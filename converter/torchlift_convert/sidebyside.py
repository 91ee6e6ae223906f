"""Before and after side by side: each line of both texts once, lines that correspond in one row.

Pure, and drawn from the ledger: the two texts share so little order that a textual diff would show one long deletion
and one long insertion. The rows are data for any rendering, on a terminal or a page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchlift_convert.report import Verdict, ledger
from torchlift_convert.types import Diagnostic, Fate, FateKind, Span

Pair = tuple[int, int]  # a line of the original and a line of the result, counted from 0

Painted = list[int | None]  # for each line of a text, counted from 0, the statement that owns it

# Statements of these fates stand in the result as they stood before; the others left a trace at best.
SAME_TEXT = (FateKind.KEPT, FateKind.MOVED)


@dataclass(frozen=True)
class Line:
    """One line of a text; ``number`` counts from 1."""

    number: int
    text: str


@dataclass(frozen=True)
class Row:
    """One row of the view.

    ``fate`` belongs to the statement on the left, or to the one that the right side comes from; None for a comment, a
    blank line and generated code. ``elsewhere`` is True where only one side is filled although the statement has
    another side; then ``counterpart`` holds its lines there. ``starts`` marks the first row of each such statement.
    """

    before: Line | None
    after: Line | None
    fate: Fate | None = None
    elsewhere: bool = False
    counterpart: tuple[Span, ...] = ()
    starts: bool = False

    @property
    def generated(self) -> bool:
        """Written by the conversion: a line of the result that no statement of the original became."""
        return self.before is None and self.fate is None and self.after is not None and bool(self.after.text.strip())


@dataclass(frozen=True)
class SideBySide:
    """The whole view: names, rows, the ledger's counts, what there is to tell, and verify's answer if it was asked.

    ``counts`` is empty where there is no ledger, only two texts.
    """

    before_name: str
    after_name: str
    rows: tuple[Row, ...]
    counts: dict[FateKind, int]
    diagnostics: tuple[Diagnostic, ...] = ()
    verdict: Verdict | None = None


def text_lines(text: str) -> list[str]:
    """Split as Python counts lines; str.splitlines() also breaks at form feeds and Unicode separators."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def align(before: str, after: str, fates: Sequence[Fate]) -> tuple[Row, ...]:
    """Lay two texts out in rows, each line of each exactly once and in its own order.

    Args:
        before: the original.
        after: the result, '' when there is none.
        fates: the ledger; its spans count lines of ``before`` (or of another file), its targets lines of ``after``.

    Returns:
        The rows from top to bottom. Statements whose order changed stand apart and point to each other.
    """
    left, right = text_lines(before), text_lines(after)
    here = [(index, fate.source) for index, fate in enumerate(fates) if not fate.file]
    sources, blocks = paint(here, fates, left)
    targets, _ = paint([(index, span) for index, fate in enumerate(fates) for span in fate.targets], fates, right)
    targets = without_inserted(blocks, sources, targets, left, right)
    rows: list[Row] = []
    i = j = 0
    for next_left, next_right in [*anchors(left, right, fates, sources, targets), (len(left), len(right))]:
        # What is longer on one side stays with its statement; then what has no place on the other side.
        more_left, more_right = continued(sources, i, next_left), continued(targets, j, next_right)
        rows += alone(left, range(i, more_left), fates, sources, before=True, goes_on=True)
        rows += alone(right, range(j, more_right), fates, targets, before=False, goes_on=True)
        rows += alone(left, range(more_left, next_left), fates, sources, before=True)
        rows += alone(right, range(more_right, next_right), fates, targets, before=False)
        if next_left < len(left):
            owner = sources[next_left]
            fate = None if owner is None else fates[owner]
            rows.append(Row(Line(next_left + 1, left[next_left]), Line(next_right + 1, right[next_right]), fate))
        i, j = next_left + 1, next_right + 1
    return tuple(rows)


def without_inserted(
    blocks: set[int], sources: Painted, targets: Painted, left: Sequence[str], right: Sequence[str]
) -> Painted:
    """Take from a block what the conversion has inserted into it: that is generated, not the block's own.

    A block's own lines are its head, and those that read as one of its lines in the original (an ``else:``).
    """
    own = {index: [left[line].strip() for line in lines] for index, lines in lines_of(sources).items()}
    seen: set[int | None] = set()
    result: Painted = []
    for text, owner in zip(right, targets):
        inserted = owner in blocks and owner in seen and text.strip() not in own.get(owner, ())
        result.append(None if inserted else owner)
        seen.add(owner)
    return result


def continued(owners: Painted, start: int, end: int) -> int:
    """Where the statement that ends on the line before ``start`` stops going on."""
    if start == 0 or owners[start - 1] is None:
        return start
    while start < end and owners[start] == owners[start - 1]:
        start += 1
    return start


def paint(spans: Sequence[tuple[int, Span]], fates: Sequence[Fate], texts: Sequence[str]) -> tuple[Painted, set[int]]:
    """For each line the statement that owns it: the innermost, and of equals the one that stands there unchanged.

    A comment or a blank line between the statements of a block belongs to nobody. The second result is these blocks:
    the statements that have others inside.
    """
    owners: Painted = [None] * len(texts)
    blocks: set[int] = set()
    outer_first = sorted(
        spans, key=lambda item: (item[1].first - item[1].last, fates[item[0]].kind in SAME_TEXT, -item[0])
    )
    for index, span in outer_first:
        lines = range(max(span.first, 1) - 1, min(span.last, len(texts)))
        blocks.update(owner for owner in (owners[line] for line in lines) if owner is not None)
        for line in lines:
            owners[line] = index
    silent = [text.lstrip().startswith("#") or not text.strip() for text in texts]
    return [None if owner in blocks and quiet else owner for owner, quiet in zip(owners, silent)], blocks


def anchors(
    left: Sequence[str],
    right: Sequence[str],
    fates: Sequence[Fate],
    sources: Painted,
    targets: Painted,
) -> list[Pair]:
    """The pairs of lines that share a row; both numbers increase from pair to pair.

    First the longest run in order of lines that are the same statement, then what fits between: statements merged into
    something, comments and blank lines that stand next to a paired line on both sides.
    """
    same, merged = corresponding(fates, sources, targets)
    chosen = longest_increasing(same)
    for pair in merged:
        insert_if_fits(chosen, pair)
    for step in (-1, 1):
        for i, j in list(chosen):
            i, j = i + step, j + step
            while 0 <= i < len(left) and 0 <= j < len(right) and sources[i] is None and targets[j] is None:
                if left[i].strip() != right[j].strip() or not insert_if_fits(chosen, (i, j)):
                    break
                i, j = i + step, j + step
    return chosen


def corresponding(fates: Sequence[Fate], sources: Painted, targets: Painted) -> tuple[list[Pair], list[Pair]]:
    """Pairs of lines of one statement: those that stand unchanged on both sides, and those merged into something."""
    own_left, own_right = lines_of(sources), lines_of(targets)
    same: list[Pair] = []
    merged: list[Pair] = []
    for index, fate in enumerate(fates):
        for span in fate.targets:
            there = [line for line in own_right.get(index, []) if span.first <= line + 1 <= span.last]
            pairs = zip(own_left.get(index, []), there, strict=False)
            (same if fate.kind in SAME_TEXT else merged).extend(pairs)
    return same, merged


def lines_of(owners: Painted) -> dict[int, list[int]]:
    lines: dict[int, list[int]] = {}
    for line, owner in enumerate(owners):
        if owner is not None:
            lines.setdefault(owner, []).append(line)
    return lines


def longest_increasing(pairs: Iterable[Pair]) -> list[Pair]:
    """The longest chain of pairs that increases strictly in both numbers (patience sorting, O(n log n))."""
    ordered = sorted(set(pairs), key=lambda pair: (pair[0], -pair[1]))
    tails: list[int] = []  # the smallest last right line of a chain of each length
    ends: list[int] = []  # which pair that is
    previous: list[int] = []
    for index, (_, j) in enumerate(ordered):
        place = bisect_left(tails, j)
        previous.append(ends[place - 1] if place else -1)
        tails[place : place + 1] = [j]
        ends[place : place + 1] = [index]
    chain: list[Pair] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(ordered[index])
        index = previous[index]
    return chain[::-1]


def insert_if_fits(pairs: list[Pair], pair: Pair) -> bool:
    """Add a pair to an increasing list unless it would break the order; says whether it was added."""
    place = bisect_left(pairs, pair)
    if place and not (pairs[place - 1][0] < pair[0] and pairs[place - 1][1] < pair[1]):
        return False
    if place < len(pairs) and not (pair[0] < pairs[place][0] and pair[1] < pairs[place][1]):
        return False
    pairs.insert(place, pair)
    return True


def alone(
    texts: Sequence[str],
    lines: range,
    fates: Sequence[Fate],
    owners: Painted,
    *,
    before: bool,
    goes_on: bool = False,
) -> list[Row]:
    """Rows for lines that have no line beside them; ``goes_on``: their statement stands in the row above."""
    rows = []
    for line in lines:
        owner = owners[line]
        fate = None if owner is None else fates[owner]
        text = Line(line + 1, texts[line])
        sides = (text, None) if before else (None, text)
        if fate is None or goes_on:
            rows.append(Row(sides[0], sides[1], fate))
            continue
        starts = line == lines.start or owners[line - 1] != owner
        counterpart = fate.targets if before else (fate.source,)
        rows.append(Row(sides[0], sides[1], fate, True, counterpart, starts))
    return rows


def carry_over(fates: Iterable[Fate], generated: str, edited: str) -> tuple[Fate, ...]:
    """Point the ledger at a text that somebody edited after the conversion.

    Targets follow the lines that are the same in both texts; a statement whose lines were all edited away keeps its
    fate and loses its target.
    """
    import difflib

    matcher = difflib.SequenceMatcher(None, text_lines(generated), text_lines(edited), autojunk=False)
    where = {a + k + 1: b + k + 1 for a, b, size in matcher.get_matching_blocks() for k in range(size)}

    def moved(span: Span) -> Span | None:
        lines = [where[line] for line in range(span.first, span.last + 1) if line in where]
        return Span(min(lines), max(lines)) if lines else None

    return tuple(
        Fate(
            fate.source,
            fate.kind,
            fate.where,
            tuple(span for span in map(moved, fate.targets) if span is not None),
            fate.note,
            fate.file,
        )
        for fate in fates
    )


def textual(before: str, after: str) -> tuple[Fate, ...]:
    """A ledger for two texts about which nothing is known: runs of equal lines are kept."""
    import difflib

    matcher = difflib.SequenceMatcher(None, text_lines(before), text_lines(after), autojunk=False)
    return tuple(
        Fate(Span(a + 1, a + size), FateKind.KEPT, "", (Span(b + 1, b + size),))
        for a, b, size in matcher.get_matching_blocks()
        if size
    )


def side_by_side(
    before: tuple[str, str],
    after: tuple[str, str],
    fates: Sequence[Fate],
    diagnostics: Sequence[Diagnostic] = (),
) -> SideBySide:
    """Build the view from (name, text) of both sides, the ledger and the diagnostics; no ledger: equal lines."""
    rows = align(before[1], after[1], fates or textual(before[1], after[1]))
    counts = ledger(fates) if fates else {}
    return SideBySide(before[0], after[0], rows, counts, tuple(diagnostics))
