from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import Step


@pytest.mark.parametrize("receiver", ["optimizer", "scheduler", "self.optimizer", "optimizers[0]", "scaler"])
def test_sees_a_step_of_anything(seen, receiver: str) -> None:
    """Whose step it is, its role says, not its name."""
    fact = seen(f"{receiver}.step()")
    assert isinstance(fact, Step) and ast.unparse(fact.receiver) == receiver


@pytest.mark.parametrize("call", ["optimizer.step(closure)", "scheduler.step(loss)", "scaler.step(optimizer)"])
def test_sees_steps_with_arguments(seen, call: str) -> None:
    assert isinstance(seen(call), Step)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("step(optimizer)", "a function of the script"),
        ("optimizer.zero_grad()", "another method"),
        ("torch.step(x)", "a function of a library"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), Step), reason
