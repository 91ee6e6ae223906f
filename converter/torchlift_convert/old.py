"""Python 2, and torch before 0.4: what no longer runs, named with the way it is written today."""

from __future__ import annotations

import ast
import re

from torchlift_convert.diagnostics import Refuse

ASYNC = re.compile(r"\basync\s*=")
STATEMENT = re.compile(
    r"^\s*(?:print|exec)\s+[^=(\s]|^\s*print\s*>>|^\s*except\s+[\w.]+\s*,\s*\w+\s*:|^\s*raise\s+\w+\s*,"
)


def is_old(line: str) -> str:
    """What is old about a line that is not Python 3, as the end of a sentence; nothing where that is not known."""
    if ASYNC.search(line):
        return "`async=` is torch before 0.4.1, and `async` a keyword since Python 3.7; write `non_blocking=` for it"
    if STATEMENT.search(line):
        return "this is Python 2; `2to3 -w` rewrites its statements, and `/` between integers has to become `//`"
    return ""


def refuse_old_torch(tree: ast.Module) -> None:
    """Raises Refuse at the first thing that torch has not run since 0.4."""
    lost = {
        ast.unparse(n.func.value)
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "backward"
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="Variable") | ast.Attribute(attr="Variable"), keywords=keywords):
                if any(k.arg == "volatile" for k in keywords):
                    raise Refuse(
                        "TL903",
                        "Variable(..., volatile=...) is torch before 0.4, and raises an error today.",
                        node,
                        "Write the tensor itself, under `with torch.no_grad():`.",
                    )
            case ast.Subscript(
                value=ast.Attribute(value=held, attr="data"), slice=ast.Constant(value=0), ctx=ast.Load()
            ) if ast.unparse(held) in lost:
                name = ast.unparse(held)
                raise Refuse(
                    "TL903",
                    f"{name}.data[0] is torch before 0.4: a loss has no dimension, and this raises an error today.",
                    node,
                    f"Write {name}.item().",
                )
