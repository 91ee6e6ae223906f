"""``torch.amp.GradScaler()``, ``scaler.scale(loss)``, ``scaler.unscale_(optimizer)``, ``scaler.update()``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, MakesScaler, Scaling

_ARGUMENTS = {"scale": 1, "unscale_": 1, "update": 0}


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is not None:
        made = name.startswith("torch.") and ".amp." in name and name.endswith(".GradScaler")
        return MakesScaler(call) if made else None
    match call.func:
        case ast.Attribute(value=receiver, attr=verb) if verb in _ARGUMENTS:
            plain = len(call.args) == _ARGUMENTS[verb] and not call.keywords
            return Scaling(call, receiver, verb) if plain else None
    return None
