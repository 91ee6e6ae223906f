"""The rows of the side-by-side view: every line once, in order, and lines of one statement in one row."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from torchlift_convert.sidebyside import (
    Row,
    align,
    carry_over,
    insert_if_fits,
    longest_increasing,
    side_by_side,
    text_lines,
    textual,
)
from torchlift_convert.types import Fate, FateKind, Span

BEFORE = """\
import torch
lr = 0.1
for x in data:
    opt.zero_grad()
    # the loss
    loss = f(x)

    opt.step()
save(model)
"""
AFTER = """\
import torch
class Lit:
    def training_step(self, x):
        # the loss
        loss = f(x)

        return loss
lr = 0.1
Trainer().fit()
save(model)
"""
IMPORT, RATE, LOOP, ZERO, LOSS, STEP, SAVE = FATES = (
    Fate(Span(1, 1), FateKind.KEPT, "module", (Span(1, 1),)),
    Fate(Span(2, 2), FateKind.KEPT, "module", (Span(8, 8),)),
    Fate(Span(3, 8), FateKind.MERGED, "Lit.training_step", (Span(3, 7),)),
    Fate(Span(4, 4), FateKind.TRAINER, "automatic optimization"),
    Fate(Span(6, 6), FateKind.MOVED, "Lit.training_step", (Span(5, 5),)),
    Fate(Span(8, 8), FateKind.TRAINER, "automatic optimization"),
    Fate(Span(9, 9), FateKind.KEPT, "module", (Span(10, 10),)),
)


def numbers(rows: tuple[Row, ...]) -> list[tuple[int | None, int | None]]:
    return [(row.before and row.before.number, row.after and row.after.number) for row in rows]


def test_statements_share_rows_and_what_changed_its_order_stands_apart() -> None:
    rows = align(BEFORE, AFTER, FATES)
    assert numbers(rows) == [
        (1, 1),
        (2, None),  # moved below the class: points to line 8
        (None, 2),
        (3, 3),
        (4, None),
        (5, 4),  # a comment goes with its statement
        (6, 5),
        (7, 6),
        (8, None),
        (None, 7),
        (None, 8),
        (None, 9),
        (9, 10),
    ]
    by_before = {row.before.number: row for row in rows if row.before}
    assert by_before[2].fate is RATE
    assert (by_before[2].elsewhere, by_before[2].counterpart, by_before[2].starts) == (True, (Span(8, 8),), True)
    assert by_before[3].fate is LOOP
    assert by_before[4].fate is ZERO
    assert by_before[4].counterpart == ()
    assert by_before[5].fate is None  # a comment is no statement
    by_after = {row.after.number: row for row in rows if row.after}
    assert by_after[8].counterpart == (Span(2, 2),)
    assert [number for number, row in by_after.items() if row.generated] == [2, 7, 9]


def test_a_statement_used_twice_points_to_both_places() -> None:
    twice = Fate(Span(1, 1), FateKind.MOVED, "both", (Span(1, 1), Span(3, 3)))
    rows = align("a()\n", "a()\nb()\na()\n", [twice])
    assert numbers(rows) == [(1, 1), (None, 2), (None, 3)]
    assert rows[2].counterpart == (Span(1, 1),)


def test_what_is_inserted_into_a_block_is_generated() -> None:
    before = "def main():\n    a()\n    if x:\n        b()\n    else:\n        c()\n"
    after = "def main():\n    a()\n    new()\n    if x:\n        b()\n    else:\n        c()\n"
    fates = [
        Fate(Span(1, 6), FateKind.KEPT, "module", (Span(1, 7),)),
        Fate(Span(2, 2), FateKind.KEPT, "main", (Span(2, 2),)),
        Fate(Span(3, 6), FateKind.KEPT, "main", (Span(4, 7),)),
        Fate(Span(4, 4), FateKind.KEPT, "main", (Span(5, 5),)),
        Fate(Span(6, 6), FateKind.KEPT, "main", (Span(7, 7),)),
    ]
    rows = align(before, after, fates)
    assert numbers(rows) == [(1, 1), (2, 2), (None, 3), (3, 4), (4, 5), (5, 6), (6, 7)]
    assert [row.generated for row in rows] == [False, False, True, False, False, False, False]


def test_a_statement_that_grows_or_shrinks_stays_together() -> None:
    before = "f(a,\n  b)\ngone()\ng(\n  c,\n  d)\n"
    after = "f(\n  a,\n  b,\n)\ng(c, d)\n"
    fates = [
        Fate(Span(1, 2), FateKind.MOVED, "here", (Span(1, 4),)),
        Fate(Span(3, 3), FateKind.TRAINER, "fit"),
        Fate(Span(4, 6), FateKind.MOVED, "here", (Span(5, 5),)),
    ]
    rows = align(before, after, fates)
    assert numbers(rows) == [(1, 1), (2, 2), (None, 3), (None, 4), (3, None), (4, 5), (5, None), (6, None)]
    assert [row.starts for row in rows] == [False, False, False, False, True, False, False, False]


def test_without_a_result_there_is_only_a_left_side() -> None:
    refused = Fate(Span(1, 1), FateKind.REFUSED, "")
    rows = align("a()\n", "", [refused])
    assert numbers(rows) == [(1, None)]
    assert rows[0].fate is refused


def test_an_edited_result_keeps_the_fates_of_the_lines_that_are_left() -> None:
    edited = "# mine\n" + AFTER.replace("loss = f(x)", "loss = g(x)")
    fates = carry_over(FATES, AFTER, edited)
    assert fates[0].targets == (Span(2, 2),)
    assert fates[4].targets == ()  # its line was edited away
    assert fates[6].targets == (Span(11, 11),)
    assert [fate.kind for fate in fates] == [fate.kind for fate in FATES]


def test_two_unrelated_texts_are_matched_by_equal_lines() -> None:
    fates = textual("a\nb\nc\n", "b\nc\nd\n")
    assert numbers(align("a\nb\nc\n", "b\nc\nd\n", fates)) == [(1, None), (2, 1), (3, 2), (None, 3)]


def test_the_view_counts_the_ledger() -> None:
    view = side_by_side(("train.py", BEFORE), ("train_lightning.py", AFTER), FATES)
    assert view.counts == {
        FateKind.KEPT: 3,
        FateKind.MOVED: 1,
        FateKind.MERGED: 1,
        FateKind.TRAINER: 2,
        FateKind.REFUSED: 0,
    }


def test_lines_are_counted_as_python_counts_them() -> None:
    assert text_lines("a\r\nb\rc\n") == ["a", "b", "c"]
    assert text_lines("a\x0cb\n'\u2028'") == ["a\x0cb", "'\u2028'"]
    assert text_lines("") == []


spans = st.builds(lambda first, more: Span(first, first + more), st.integers(1, 12), st.integers(0, 5))
ledgers = st.lists(st.builds(Fate, spans, st.sampled_from(FateKind), st.just("there"), st.lists(spans).map(tuple)))
texts = st.lists(st.sampled_from(["a = 1", "  b()", "# c", ""]), max_size=12).map(lambda lines: "\n".join(lines) + "\n")


@given(texts, texts, ledgers)
def test_every_line_of_both_texts_stands_there_once_and_in_order(before: str, after: str, fates: list[Fate]) -> None:
    rows = align(before, after, fates)
    for text, lines in (
        (before, [row.before for row in rows if row.before]),
        (after, [row.after for row in rows if row.after]),
    ):
        assert [line.number for line in lines] == list(range(1, len(text_lines(text)) + 1))
        assert [line.text for line in lines] == text_lines(text)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8))
def test_the_chain_is_the_longest(pairs: list[tuple[int, int]]) -> None:
    chain = longest_increasing(pairs)
    assert set(chain) <= set(pairs)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(chain))
    longest: dict[tuple[int, int], int] = {}
    for pair in sorted(set(pairs)):
        before = [longest[other] for other in longest if other[0] < pair[0] and other[1] < pair[1]]
        longest[pair] = 1 + max(before, default=0)
    assert len(chain) == max(longest.values(), default=0)


def test_a_pair_is_put_in_only_where_the_order_holds() -> None:
    pairs = [(1, 1), (5, 5)]
    assert insert_if_fits(pairs, (3, 3))
    assert not insert_if_fits(pairs, (4, 2))
    assert not insert_if_fits(pairs, (3, 4))
    assert pairs == [(1, 1), (3, 3), (5, 5)]
