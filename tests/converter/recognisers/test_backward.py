from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import Backward


@pytest.mark.parametrize("target", ["loss", "(a + b)", "self.loss", "criterion(model(x), y)", "losses[0].mean()"])
def test_sees_backward_of_anything_that_is_not_a_library(seen, target: str) -> None:
    fact = seen(f"{target}.backward()")
    assert isinstance(fact, Backward) and ast.dump(fact.target) == ast.dump(ast.parse(target, mode="eval").body)


def test_sees_arguments_too_and_leaves_judging_them_to_others(seen) -> None:
    assert isinstance(seen("loss.backward(retain_graph=True)"), Backward)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("torch.autograd.backward(loss)", "a function of torch, whose first argument is the loss"),
        ("backward(loss)", "a function of the script"),
        ("loss.backwards()", "another method"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), Backward), reason
