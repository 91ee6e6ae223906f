"""``nn.CrossEntropyLoss()`` and the other loss modules of torch"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, MakesLoss


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is not None and name.startswith("torch.nn.") and name.endswith("Loss"):
        return MakesLoss(call)
    return None
