"""``torch.utils.data.DataLoader(dataset, ...)``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, MakesLoader


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is None or not name.startswith("torch.utils.data.") or not name.endswith(".DataLoader"):
        return None
    datasets = [k.value for k in call.keywords if k.arg == "dataset"] + call.args[:1]
    return MakesLoader(call, datasets[0]) if datasets else None
