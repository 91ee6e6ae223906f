"""``tqdm(loader)``, ``trange(10)`` and the other bars of tqdm and rich"""

from __future__ import annotations

import ast
from collections.abc import Callable

from torchlift_convert.facts import Bar, Fact
from torchlift_convert.kept import walk

_BARS = (
    "tqdm.tqdm",
    "tqdm.auto.tqdm",
    "tqdm.notebook.tqdm",
    "tqdm.std.tqdm",
    "tqdm.tqdm_notebook",
    "rich.progress.track",
)


_RANGES = ("tqdm.trange", "tqdm.auto.trange", "tqdm.notebook.trange", "tqdm.std.trange", "tqdm.tnrange")


def see(call: ast.Call, name: str | None) -> Fact | None:
    if name in _RANGES:
        return Bar(call, ast.Call(ast.Name("range", ast.Load()), call.args, []))
    if name in _BARS:
        iterables = [k.value for k in call.keywords if k.arg == "iterable"] + call.args[:1]
        return Bar(call, iterables[0] if iterables else None)
    return None


SHOWING = frozenset(
    {"update", "set_description", "set_description_str", "set_postfix", "set_postfix_str", "close", "refresh"}
)
"""Methods of a bar whose bare call concerns the screen alone."""


def only_shows(name: str, scope: ast.AST, quiet: Callable[[ast.expr], bool]) -> bool:
    """Is a bar of this name only looped over, set and told what to show, wherever the scope mentions it?

    ``quiet``: whether what it is told (a call of one of its methods, or a value) is for the screen alone.
    """
    shown: set[int] = set()
    for node in walk(scope):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=bar, attr=attr)) as told) if attr in SHOWING:
                if not _names(bar, name) or quiet(told):
                    shown.add(id(bar))
            case ast.Assign(targets=[ast.Attribute(value=bar)], value=told) if not _names(bar, name) or quiet(told):
                shown.add(id(bar))
            case ast.For(iter=ast.Call(func=ast.Name(id="enumerate"), args=[bar, *_])) | ast.For(iter=bar):
                shown.add(id(bar))
    mentions = [n for n in walk(scope) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
    return all(id(n) in shown for n in mentions)


def _names(expr: ast.expr, name: str) -> bool:
    return isinstance(expr, ast.Name) and expr.id == name
