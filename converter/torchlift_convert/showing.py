"""What is shown on a bar, and whether showing it is all that the statement does."""

from __future__ import annotations

import ast

from torchlift_convert import facts as F
from torchlift_convert.effects import Judge
from torchlift_convert.program import Frame, Item, Program, item_flow
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.recognisers.bar import only_shows

_IN_PLACE = frozenset({"append", "extend", "insert", "discard", "remove", "clear", "update", "add", "__next__"})
_ACTS = (F.Backward, F.Step, F.ZeroGrad, F.Clip, F.Mode, F.GradSwitch)


def only_computes(parts: list[ast.expr], frame: Frame, judge: Judge) -> bool:
    """May these expressions go unevaluated? They draw, write, bind and change nothing.

    ``set_postfix(loss=loss.item())`` is nothing but a view; ``set_postfix(norm=clip_grad_norm_(...))`` and
    ``set_postfix(acc=accuracy(model(x)))``, with dropout, are not.
    """
    item = Item(ast.fix_missing_locations(ast.Expr(ast.Tuple(parts, ast.Load()))), frame)
    effects = judge.of_item(item)
    if effects.draws or effects.writes or effects.unknown or item_flow(item).may or judge.changes(item):
        return False
    if any(isinstance(f, _ACTS) for p in parts for f in facts_of(p, frame, judge.program)):
        return False
    return not any(_acts(n) for p in parts for n in ast.walk(p))


def _acts(node: ast.AST) -> bool:
    """``next(it)``, ``seen.append(x)``, ``x.mul_(2)``, ``:=``."""
    match node:
        case ast.Call(func=ast.Name(id="next" | "setattr")) | ast.NamedExpr() | ast.Await() | ast.Yield():
            return True
        case ast.Call(func=ast.Attribute(attr=attr)):
            return attr in _IN_PLACE or (attr.endswith("_") and not attr.endswith("__"))
    return False


def arguments(call: ast.Call) -> list[ast.expr]:
    """Everything that a call is given."""
    return [*(a.value if isinstance(a, ast.Starred) else a for a in call.args), *(k.value for k in call.keywords)]


def is_bar(expr: ast.expr, frame: Frame, program: Program) -> bool:
    return isinstance(expr, ast.Call) and isinstance(fact_of(expr, frame, program), F.Bar)


def stands_in_bars(stmt: ast.With, frame: Frame, judge: Judge) -> bool:
    """``with tqdm(loader) as bar:`` where nothing but the screen and loops depend on the bar."""

    def quiet(told: ast.expr) -> bool:
        return only_computes(arguments(told) if isinstance(told, ast.Call) else [told], frame, judge)

    for item in stmt.items:
        call, name = item.context_expr, item.optional_vars
        fact = fact_of(call, frame, judge.program) if isinstance(call, ast.Call) else None
        if not isinstance(fact, F.Bar):
            return False
        if not only_computes([a for a in arguments(fact.node) if a is not fact.iterable], frame, judge):
            return False
        if name is not None and not (isinstance(name, ast.Name) and only_shows(name.id, frame.scope, quiet)):
            return False
    return True
