"""``loss.backward()``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Backward, Fact


def see(call: ast.Call, name: str | None) -> Fact | None:
    match call.func:
        case ast.Attribute(value=target, attr="backward") if name is None:
            return Backward(call, target)
    return None
