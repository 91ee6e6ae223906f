from __future__ import annotations

import pytest

from torchlift_convert.facts import MakesLoss


@pytest.mark.parametrize(
    "call", ["nn.CrossEntropyLoss()", "torch.nn.MSELoss(reduction='sum')", "nn.modules.loss.L1Loss()"]
)
def test_sees_a_loss_being_made(seen, call: str) -> None:
    assert isinstance(seen(call), MakesLoss)


@pytest.mark.parametrize(
    ("call", "before", "reason"),
    [
        ("MyLoss()", "class MyLoss(nn.Module):\n    pass", "the script's own, which may have parameters"),
        ("nn.functional.mse_loss(a, b)", "", "computes one"),
        ("nn.Linear(2, 2)", "", "a layer"),
        ("criterion(output, target)", "", "uses one"),
    ],
)
def test_leaves_alone(seen, call: str, before: str, reason: str) -> None:
    assert not isinstance(seen(call, before), MakesLoss), reason
