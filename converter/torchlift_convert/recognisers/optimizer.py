"""``torch.optim.Adam(model.parameters(), lr=...)``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, MakesOptimizer


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is None:
        return None
    module, _, cls = name.rpartition(".")
    if module.startswith("torch.optim") and "lr_scheduler" not in module and cls[:1].isupper():
        return MakesOptimizer(call)
    return None
