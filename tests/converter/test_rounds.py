"""Loops over phases: which are laid out round by round, and what is in the way of the others."""

from __future__ import annotations

import ast
from textwrap import dedent, indent

import pytest

from torchlift_convert.folding import decided
from torchlift_convert.program import Program, build
from torchlift_convert.rounds import obstacle, round_of, written_values
from torchlift_convert.syntax import parse


def loop_of(source: str) -> tuple[ast.For, Program]:
    program = build(parse(dedent(source)))
    loops = [n for n in ast.walk(program.script.tree) if isinstance(n, ast.For) and ast.unparse(n.target) == "phase"]
    return loops[0], program


def phases(header: str, body: str = "print(phase)", after: str = "", before: str = "") -> str:
    return f"{before}\nfor epoch in range(3):\n    {header}\n{indent(dedent(body), ' ' * 8)}\n    {after or 'pass'}\n"


PLAIN = 'for phase in ["train", "val"]:'


def values(source: str) -> list[str]:
    loop, program = loop_of(source)
    return [ast.literal_eval(v) for v in written_values(loop, program.module, program)]


@pytest.mark.parametrize(
    "source",
    [
        phases(PLAIN),
        phases('for phase in ("train", "val"):'),
        phases("for phase in PHASES:", before='PHASES = ["train", "val"]'),
        phases("for phase in PHASES:", before='PHASES = ("train", "val")\nboth = {p: 1 for p in PHASES}'),
        phases(PLAIN, after="sizes = [len(phase) for phase in names]"),
        phases(PLAIN, before="def show(phase):\n    print(phase)\n", body="show(phase)"),
        phases(PLAIN, body="for x in xs:\n    if x:\n        break"),
    ],
)
def test_sees(source: str) -> None:
    assert values(source) == ["train", "val"]
    loop, program = loop_of(source)
    assert obstacle(loop, program.module) is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (phases(PLAIN, after="print(phase)"), "'phase' is used outside of them"),
        (phases(PLAIN, body="phase = phase.upper()"), "'phase' gets another value in them"),
        (phases(PLAIN, body="show = lambda: phase"), "a function is made in them"),
        (phases(PLAIN, body="if epoch:\n    continue"), "a 'break' or 'continue' leaves one of them"),
        (phases("for phase in [True, False]:"), "they go over more than texts"),
        (phases('for phase in ["train", name]:'), "they go over more than texts"),
    ],
)
def test_says_what_is_in_the_way(source: str, reason: str) -> None:
    assert values(source) == []
    loop, program = loop_of(source)
    assert obstacle(loop, program.module) == reason


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (phases("for phase in loader:"), "a loop over data"),
        (phases("for phase in [first, second]:"), "no phases"),
        (phases("for phase in sets:", before='sets = ["train"]\nsets.append("val")'), "the list grows"),
        (phases("for phase in sets:", before='sets = ["train"]\nsets = ["val"]'), "two lists"),
        (phases("for phase in sets:", before='if x:\n    sets = ["train"]'), "made under a condition"),
        (phases("for phase in list(sets):"), "made by a call"),
    ],
)
def test_leaves_alone(source: str, reason: str) -> None:
    assert values(source) == [], reason


def known(source: str, test: str) -> bool | None:
    loop, program = loop_of(source)
    (value, *_) = written_values(loop, program.module, program)
    return decided(ast.parse(test, mode="eval").body, round_of(loop, program.module, value))


def test_a_name_for_the_question_is_known_too() -> None:
    source = phases(PLAIN, body='training = phase == "train"\nheld_out = not training\nprint(held_out)')
    assert known(source, "training") is True
    assert known(source, "held_out") is False


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (phases(PLAIN, body='t = phase == "train"', after="print(t)"), "read behind the loop"),
        (phases(PLAIN, body='t = phase == "train"\nt = t and ready'), "bound twice"),
        (phases(PLAIN, body='t = phase == "train" and epoch'), "not known whole"),
        (phases(PLAIN, body='t = phase == "train"', before="t = None"), "bound in front of the loop"),
        (phases(PLAIN, body='if epoch and t:\n    print(1)\nt = phase == "train"'), "read from the round before"),
        (phases(PLAIN, body='if epoch:\n    t = phase == "train"'), "bound now and then"),
    ],
)
def test_a_name_that_may_mean_something_else_is_not_known(source: str, reason: str) -> None:
    assert known(source, "t") is None, reason
