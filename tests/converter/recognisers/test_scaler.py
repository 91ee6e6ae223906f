from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import MakesScaler, Scaling


@pytest.mark.parametrize(
    "call",
    [
        "torch.amp.GradScaler('cuda', enabled=use_amp)",
        "torch.cuda.amp.GradScaler()",
        "torch.cuda.amp.grad_scaler.GradScaler()",
        "torch.cpu.amp.GradScaler()",
    ],
)
def test_sees_a_scaler_made(seen, call: str) -> None:
    assert isinstance(seen(call), MakesScaler)


@pytest.mark.parametrize(
    ("call", "receiver", "verb"),
    [
        ("scaler.scale(loss)", "scaler", "scale"),
        ("self.scaler.unscale_(optimizer)", "self.scaler", "unscale_"),
        ("scaler.update()", "scaler", "update"),
    ],
)
def test_sees_what_is_asked_of_one(seen, call: str, receiver: str, verb: str) -> None:
    fact = seen(call)
    assert isinstance(fact, Scaling)
    assert (ast.unparse(fact.receiver), fact.verb) == (receiver, verb)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("scaler.update(512.0)", "a new scale is set by hand"),
        ("meter.update(loss, n)", "a meter"),
        ("GradScaler()", "a class of the script"),
        ("torch.scale(loss)", "a function of a library"),
        ("scaler.scale()", "of nothing"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), MakesScaler | Scaling), reason
