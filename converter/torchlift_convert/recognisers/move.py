"""``value.to(device)``, ``value.cuda()``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, Move


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is not None:
        return None
    keywords = {k.arg: k.value for k in call.keywords}
    rest = set(keywords) - {"non_blocking", "device"}
    match call.func, call.args:
        case ast.Attribute(value=value, attr="to"), [device, *others]:
            return Move(call, value, device, plain=not rest and not others)
        case ast.Attribute(value=value, attr="to"), [] if "device" in keywords:
            return Move(call, value, keywords["device"], plain=not rest)
        case ast.Attribute(value=value, attr="cuda"), [] | [_] if not rest:
            numbers = [*call.args, *keywords.values()] if "non_blocking" not in keywords else call.args
            return Move(call, value, None, index=numbers[0] if numbers else None)
    return None
