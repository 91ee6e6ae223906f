from __future__ import annotations

import pytest

from torchlift_convert.facts import GradMode, GradSwitch


@pytest.mark.parametrize("call", ["torch.no_grad()", "torch.inference_mode()", "torch.set_grad_enabled(False)"])
def test_sees_gradients_being_switched_off(seen, call: str) -> None:
    assert isinstance(seen(call), GradMode)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("torch.enable_grad()", "switches them on"),
        ("torch.set_grad_enabled(True)", "switches them on"),
        ("torch.set_grad_enabled(training)", "depends on a value"),
        ("torch.inference_mode(False)", "leaves them on"),
        ("torch.no_grad(evaluate)", "decorates a function"),
        ("model.no_grad()", "a method of the script's own"),
    ],
)
def test_leaves_alone(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), GradMode), reason


@pytest.mark.parametrize(
    "call",
    ["torch.set_grad_enabled(training)", 'torch.set_grad_enabled(phase == "train")', "torch.set_grad_enabled(True)"],
)
def test_sees_a_switch(seen, call: str) -> None:
    assert isinstance(seen(call), GradSwitch)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("torch.set_grad_enabled(False)", "known to switch them off"),
        ("torch.set_grad_enabled(mode=training)", "by keyword"),
        ("torch.set_grad_enabled()", "nothing is given"),
        ("set_grad_enabled(training)", "a function of the script's own"),
        ("torch.autograd.set_detect_anomaly(training)", "another switch"),
        ("torch.no_grad()", "no switch"),
    ],
)
def test_is_no_switch(seen, call: str, reason: str) -> None:
    assert not isinstance(seen(call), GradSwitch), reason
