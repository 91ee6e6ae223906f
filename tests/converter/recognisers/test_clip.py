from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import Clip


@pytest.mark.parametrize(
    ("call", "algorithm"),
    [
        ("nn.utils.clip_grad_norm_(model.parameters(), 1.0)", "norm"),
        ("torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)", "norm"),
        ("clip_grad_norm_(model.parameters(), 1.0)", "norm"),
        ("nn.utils.clip_grad_value_(model.parameters(), clip_value=1.0)", "value"),
    ],
)
def test_sees_what_is_clipped_how_and_to_what(seen, call: str, algorithm: str) -> None:
    fact = seen(call)
    assert isinstance(fact, Clip)
    assert (fact.algorithm, ast.unparse(fact.parameters), ast.unparse(fact.limit)) == (
        algorithm, "model.parameters()", "1.0",
    )  # fmt: skip
    assert fact.plain


def test_another_norm_is_not_plain(seen) -> None:
    fact = seen("nn.utils.clip_grad_norm_(model.parameters(), 1.0, norm_type=1)")
    assert isinstance(fact, Clip) and not fact.plain


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("nn.utils.clip_grad_norm_(model.parameters())", "no limit is given"),
        ("nn.utils.parameters_to_vector(model.parameters())", "another tool"),
        ("clip(model.parameters(), 1.0)", "a function of the script"),
        ("model.clip_grad_norm_(1.0)", "a method of the script's model, as sharded models have"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), Clip), reason
