"""``optimizer.step()``, ``scheduler.step()``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, Step


def see(call: ast.Call, name: str | None) -> Fact | None:
    match call.func:
        case ast.Attribute(value=receiver, attr="step") if name is None:
            return Step(call, receiver)
    return None
