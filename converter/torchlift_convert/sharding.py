"""Models whose parameters the script itself spreads over processes: a Trainer beside that would do so twice."""

from __future__ import annotations

import ast

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.program import Program, dotted

_SHARDING = (
    "torch.distributed.fsdp.",
    "torch.distributed._composable.",
    "torch.distributed.tensor.",
    "torch.distributed.pipelining.",
    "fairscale.",
    "deepspeed.initialize",
)


def refuse_sharding(program: Program) -> None:
    """Stop at the first call that shards a model.

    Raises:
        Refuse: there is one.
    """
    for node in ast.walk(program.script.tree):
        text = dotted(node.func) if isinstance(node, ast.Call) else None
        root, dot, rest = (text or "").partition(".")
        name = program.imports.get(root, "") + dot + rest
        if name.startswith(_SHARDING):
            assert isinstance(node, ast.Call)
            raise Refuse(
                "TL501",
                f"The script spreads the model's parameters over processes itself: {text}().",
                node,
                "Convert the script as it trains in one process; then ask the Trainer for a strategy.",
            )
