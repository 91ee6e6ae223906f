from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import Mode


@pytest.mark.parametrize(
    ("call", "training"),
    [
        ("model.train()", True),
        ("model.train(True)", True),
        ("model.train(False)", False),
        ("model.train(mode=False)", False),
        ("model.eval()", False),
    ],
)
def test_sees_the_switch_and_its_direction(seen, call: str, training: bool) -> None:
    fact = seen(call)
    assert isinstance(fact, Mode) and fact.training is training and ast.unparse(fact.receiver) == "model"


def test_sees_a_switch_that_a_value_decides(seen) -> None:
    fact = seen("model.train(epoch < 3)")
    assert isinstance(fact, Mode) and fact.training is None


def test_sees_the_switch_of_a_part(seen) -> None:
    fact = seen("model.body[0].eval()")
    assert isinstance(fact, Mode) and ast.unparse(fact.receiver) == "model.body[0]"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("train(model)", "a function"),
        ("frame.eval('a + b')", "takes an expression, as pandas does"),
        ("booster.train(rows, rounds=3)", "trains something else"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), Mode), reason
