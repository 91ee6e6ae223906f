"""``with torch.no_grad():``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, GradMode


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name in ("torch.no_grad", "torch.inference_mode") and not call.args and not call.keywords:
        return GradMode(call)
    if name == "torch.set_grad_enabled" and [ast.unparse(a) for a in call.args] == ["False"]:
        return GradMode(call)
    return None
