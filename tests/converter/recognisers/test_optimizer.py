from __future__ import annotations

import pytest

from torchlift_convert.facts import MakesOptimizer


@pytest.mark.parametrize(
    "call",
    [
        "torch.optim.SGD(model.parameters(), lr=0.1)",
        "optim.AdamW(model.parameters())",
        "opt.LBFGS(model.parameters())",
        "Adam(params=weights)",
        "torch.optim.sgd.SGD(weights, lr=0.1)",
    ],
)
def test_sees_an_optimizer_being_made(seen, call: str) -> None:
    assert isinstance(seen(call), MakesOptimizer)


@pytest.mark.parametrize(
    ("call", "before", "reason"),
    [
        ("SGD(model.parameters())", "class SGD:\n    pass", "the script's own class, which may step otherwise"),
        ("optim.lr_scheduler.StepLR(optimizer, 1)", "", "a scheduler"),
        ("optim.swa_utils.update_bn(loader, model)", "", "a function"),
        ("bitsandbytes.optim.Adam(weights)", "import bitsandbytes", "another library's"),
    ],
)
def test_leaves_alone(seen, call: str, before: str, reason: str) -> None:
    assert not isinstance(seen(call, before), MakesOptimizer), reason
