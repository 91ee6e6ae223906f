"""``with torch.no_grad():``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, GradMode, GradSwitch


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name in ("torch.no_grad", "torch.inference_mode") and not call.args and not call.keywords:
        return GradMode(call)
    if name == "torch.set_grad_enabled" and len(call.args) == 1 and not call.keywords:
        off = isinstance(call.args[0], ast.Constant) and call.args[0].value is False
        return GradMode(call) if off else GradSwitch(call, call.args[0])
    return None
