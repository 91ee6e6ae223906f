"""Conditions that are known before anything runs."""

from __future__ import annotations

import ast

import pytest

from torchlift_convert.folding import decided, live_nodes
from torchlift_convert.program import Bound, Frame


def frame_with(**values: object) -> Frame:
    """A function whose parameters stand for written values."""
    scope = ast.parse(f"def f({', '.join(values)}): pass").body[0]
    assert isinstance(scope, ast.FunctionDef)
    module = Frame(ast.parse("x = 1"))
    return Frame(scope, module, {n: Bound(ast.Constant(v), module) for n, v in values.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("phase == 'train'", True),
        ("'val' == phase", False),
        ("phase != 'train'", False),
        ("phase in ('train', 'test')", True),
        ("not flag", True),
        ("flag or phase == 'train'", True),
        ("phase == 'val' and x > 3", False),
        ("phase == 'train' or x > 3", True),
        ("x > 3 and phase == 'val'", False),
        ("not x.ready or phase == 'train'", True),
        ("nothing is None", True),
        ("nothing is not None", False),
    ],
)
def test_knows(test: str, expected: bool) -> None:
    frame = frame_with(phase="train", flag=False, nothing=None)
    assert decided(ast.parse(test, mode="eval").body, frame) is expected


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("phase == 'train' and x > 3", "the rest of the condition is not known"),
        ("check(x) and phase == 'val'", "what comes first may do something"),
        ("x == 3", "no written value stands behind the name"),
        ("'train' == 'train'", "no name at all: as the user wrote it"),
        ("phase == x", "one side only"),
        ("phase is 'train'", "identity of strings is nobody's business"),
        ("check(phase)", "a call"),
    ],
)
def test_does_not_know(test: str, reason: str) -> None:
    assert decided(ast.parse(test, mode="eval").body, frame_with(phase="train")) is None, reason


def test_nodes_of_a_branch_that_is_not_taken_do_not_run() -> None:
    branches = "    if phase == 'train':\n        step()\n    else:\n        check()\n"
    source = f"for b in data:\n{branches}    if x:\n        either()"
    called = {
        n.func.id  # type: ignore[attr-defined]
        for n in live_nodes(ast.parse(source).body[0], frame_with(phase="train"))
        if isinstance(n, ast.Call)
    }
    assert called == {"step", "either"}
