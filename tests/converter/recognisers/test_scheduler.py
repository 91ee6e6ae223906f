from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import MakesScheduler


@pytest.mark.parametrize(
    ("call", "plateau"),
    [
        ("StepLR(optimizer, 1)", False),
        ("optim.lr_scheduler.CosineAnnealingLR(optimizer=optimizer, T_max=5)", False),
        ("torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, 'min')", True),
    ],
)
def test_sees_a_scheduler_its_optimizer_and_whether_it_wants_a_number(seen, call: str, plateau: bool) -> None:
    fact = seen(call)
    assert isinstance(fact, MakesScheduler) and ast.unparse(fact.optimizer) == "optimizer" and fact.plateau is plateau


@pytest.mark.parametrize(
    ("call", "before", "reason"),
    [
        ("StepLR(optimizer, 1)", "class StepLR:\n    pass", "the script's own class"),
        ("optim.lr_scheduler.StepLR()", "", "without an optimizer"),
        ("warmup(optimizer)", "from transformers import get_linear_schedule as warmup", "another library's"),
        ("scheduler.step()", "", "steps one"),
    ],
)
def test_leaves_alone(seen, call: str, before: str, reason: str) -> None:
    assert not isinstance(seen(call, before), MakesScheduler), reason
