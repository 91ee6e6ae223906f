"""``torch.optim.lr_scheduler.StepLR(optimizer, ...)``"""

from __future__ import annotations

import ast

from torchlift_convert.facts import Fact, MakesScheduler


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name is None or not (name.startswith("torch.optim.lr_scheduler.") or name == "torch.optim.swa_utils.SWALR"):
        return None
    optimizers = [k.value for k in call.keywords if k.arg == "optimizer"] + call.args[:1]
    return MakesScheduler(call, optimizers[0], name.endswith("ReduceLROnPlateau")) if optimizers else None
