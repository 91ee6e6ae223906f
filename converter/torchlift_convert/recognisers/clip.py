"""``torch.nn.utils.clip_grad_norm_(model.parameters(), limit)``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Clip, Fact

_ALGORITHMS = {"clip_grad_norm_": "norm", "clip_grad_norm": "norm", "clip_grad_value_": "value"}


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is None or not name.startswith("torch.nn.utils."):
        return None
    algorithm = _ALGORITHMS.get(name.rpartition(".")[2])
    limits = [k.value for k in call.keywords if k.arg in ("max_norm", "clip_value")] + call.args[1:2]
    if algorithm is None or not call.args or len(limits) != 1:
        return None
    return Clip(call, algorithm, call.args[0], limits[0], plain=len(call.args) + len(call.keywords) == 2)
