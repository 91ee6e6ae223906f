"""What a single loop goes over."""

from __future__ import annotations

import ast

from torchlift_convert.program import dotted

Loop = ast.For | ast.While


def is_small(loop: Loop) -> bool:
    """A loop over a range, or over things listed in the code: repeated work on one batch."""
    if not isinstance(loop, ast.For):
        return False
    match loop.iter:
        case ast.List() | ast.Tuple():
            return True
        case ast.Call(func=ast.Name(id="range" | "zip" | "reversed")):
            return True
        case ast.Call(func=ast.Name(id="enumerate"), args=[ast.List() | ast.Tuple(), *_]):
            return True
    return False


def is_range(expr: ast.expr) -> bool:
    """``range(...)``, ``trange(...)`` or a bar around a range."""
    if not isinstance(expr, ast.Call):
        return False
    name = (dotted(expr.func) or "").rpartition(".")[2]
    if name in ("range", "trange"):
        return True
    return name == "tqdm" and bool(expr.args) and is_range(expr.args[0])
