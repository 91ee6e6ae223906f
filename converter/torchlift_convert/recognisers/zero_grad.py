"""``optimizer.zero_grad()``, ``model.zero_grad()``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, ZeroGrad


def see(call: ast.Call, name: str | None) -> Fact | None:
    match call.func:
        case ast.Attribute(value=receiver, attr="zero_grad") if name is None:
            return ZeroGrad(call, receiver, not call.args and _plain(call.keywords))
    return None


def _plain(keywords: list[ast.keyword]) -> bool:
    """``set_to_none=True`` is torch's default."""
    return all(k.arg == "set_to_none" and isinstance(k.value, ast.Constant) and k.value.value is True for k in keywords)
