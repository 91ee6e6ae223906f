"""``value.to(device)``, ``value.cuda()``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, Move


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is not None:
        return None
    keywords = {k.arg: k.value for k in call.keywords}
    blocking = {k: v for k, v in keywords.items() if k not in ("non_blocking", "device")}
    if blocking:
        return None
    match call.func, call.args:
        case ast.Attribute(value=value, attr="to"), [device]:
            return Move(call, value, device)
        case ast.Attribute(value=value, attr="to"), [] if "device" in keywords:
            return Move(call, value, keywords["device"])
        case ast.Attribute(value=value, attr="cuda"), [] | [_]:
            return Move(call, value, None)
    return None
