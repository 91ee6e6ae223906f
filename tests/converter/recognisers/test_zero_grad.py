from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import ZeroGrad


@pytest.mark.parametrize(
    ("call", "plain"),
    [
        ("optimizer.zero_grad()", True),
        ("optimizer.zero_grad(set_to_none=True)", True),
        ("optimizer.zero_grad(set_to_none=False)", False),
        ("optimizer.zero_grad(set_to_none=fast)", False),
        ("optimizer.zero_grad(True)", False),
        ("model.zero_grad()", True),
    ],
)
def test_sees_gradients_being_zeroed_and_whether_as_a_trainer_does(seen, call: str, plain: bool) -> None:
    fact = seen(call)
    assert isinstance(fact, ZeroGrad) and fact.plain is plain
    assert ast.unparse(fact.receiver) in ("optimizer", "model")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("p.grad.zero_()", "one tensor, in place"),
        ("zero_grad(model)", "a function of the script"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), ZeroGrad), reason
