"""``torch.optim.Adam(model.parameters(), lr=...)``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, MakesOptimizer


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is None:
        return None
    module, _, cls = name.rpartition(".")
    other = "lr_scheduler" in module or "swa_utils" in module
    if module.startswith("torch.optim") and not other and cls[:1].isupper():
        return MakesOptimizer(call)
    return None
