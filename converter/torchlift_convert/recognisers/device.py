"""``torch.device("cuda" if torch.cuda.is_available() else "cpu")``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, MakesDevice

_MAKERS = ("torch.device", "torch.accelerator.current_accelerator")


def see(call: ast.Call, name: str | None) -> Fact | None:
    return MakesDevice(call) if name in _MAKERS else None
