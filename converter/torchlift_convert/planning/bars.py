"""Bars that are made before the loops and shown by nothing that is left."""

from __future__ import annotations

import ast

from torchlift_convert.planning.context import Context
from torchlift_convert.program import Item
from torchlift_convert.recognisers.bar import SHOWING
from torchlift_convert.regions import BAR
from torchlift_convert.showing import bar_of


def drop_bars(ctx: Context) -> None:
    """Drop ``bar = tqdm(range(10))`` and, after the loops, ``bar.close()``, where nobody goes over the bar any more."""
    for stmt in ctx.pre:
        match stmt:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if bar_of(name, ctx.home, ctx.judge) is value:
                var = ctx.home.resolve(name)
                shown = [s for s in [*ctx.pre, *ctx.nest.post] if _shows(s, name)]
                rest = [Item(s, ctx.home) for s in [*ctx.pre, *ctx.nest.post] if s is not stmt and s not in shown]
                if var not in ctx.pinned and not any(var in ctx.judge.reads(i) for i in [*rest, *ctx.hooks]):
                    ctx.dropped |= dict.fromkeys([stmt, *shown], BAR)


def _shows(stmt: ast.stmt, name: str) -> bool:
    match stmt:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=one), attr=attr))):
            return one == name and attr in SHOWING
    return False
