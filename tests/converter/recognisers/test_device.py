from __future__ import annotations

import pytest

from torchlift_convert.facts import MakesDevice


@pytest.mark.parametrize(
    "call",
    [
        "torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "torch.device('cuda', 0)",
        "torch.accelerator.current_accelerator()",
    ],
)
def test_sees_a_device_being_made(seen, call: str) -> None:
    assert isinstance(seen(call), MakesDevice)


@pytest.mark.parametrize(
    ("call", "before", "reason"),
    [
        ("torch.cuda.device(0)", "", "a context manager that selects a device"),
        ("device('cpu')", "def device(name):\n    return name", "the script's own function"),
        ("torch.cuda.is_available()", "", "only asks"),
    ],
)
def test_leaves_alone(seen, call: str, before: str, reason: str) -> None:
    assert not isinstance(seen(call, before), MakesDevice), reason
