"""What is shown on a bar, and whether showing it is all that the statement does."""

from __future__ import annotations

import ast
from collections.abc import Callable

from torchlift_convert import facts as F
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.kept import walk
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
    return not any(_acts(n) for p in parts for n in walk(p))


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
    for item in stmt.items:
        call, name = item.context_expr, item.optional_vars
        fact = fact_of(call, frame, judge.program) if isinstance(call, ast.Call) else None
        if not isinstance(fact, F.Bar):
            return False
        if not _quiet_bar(fact, frame, judge):
            return False
        if name is not None and not (
            isinstance(name, ast.Name) and only_shows(name.id, frame.scope, _quiet(frame, judge))
        ):
            return False
    return True


def counted(expr: ast.expr, frame: Frame, judge: Judge) -> ast.Call | None:
    """The ``range(...)`` that a loop goes over, under a bar or under the name of a bar that only shows; else None."""
    if isinstance(expr, ast.Name):
        made = bar_of(expr.id, frame, judge)
        return counted(made, frame, judge) if made is not None else None
    if not isinstance(expr, ast.Call):
        return None
    fact = fact_of(expr, frame, judge.program)
    if isinstance(fact, F.Bar):
        return counted(fact.iterable, frame, judge) if fact.iterable is not None else None
    return expr if judge.program.canonical(expr.func, frame) == "range" else None


def bar_of(name: str, frame: Frame, judge: Judge) -> ast.Call | None:
    """What makes the bar of that name, which the scope makes once and only loops over, sets and tells what to show."""
    scope = frame.scope
    stores = [n for n in walk(scope) if isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load)]
    made = _made(name, scope)
    if len(stores) != 1 or len(made) != 1 or not isinstance(made[0], ast.Call) or name not in frame.locals:
        return None
    fact = fact_of(made[0], frame, judge.program)
    if not isinstance(fact, F.Bar) or not _quiet_bar(fact, frame, judge):
        return None
    return made[0] if only_shows(name, scope, _quiet(frame, judge)) else None


def _made(name: str, scope: ast.AST) -> list[ast.expr]:
    """What a scope binds a name to, alone or by ``with``."""
    made: list[ast.expr] = []
    for node in walk(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=one)], value=value) if one == name:
                made.append(value)
            case ast.withitem(optional_vars=ast.Name(id=one), context_expr=value) if one == name:
                made.append(value)
    return made


def refuse_read_bar(loop: ast.For | ast.While, frame: Frame, judge: Judge) -> None:
    """Say so where a loop goes over a bar that does more than show.

    Raises:
        Refuse: always, when it is one.
    """
    if not isinstance(loop, ast.For) or not isinstance(loop.iter, ast.Name):
        return
    name = loop.iter.id
    if any(is_bar(v, frame, judge.program) for v in _made(name, frame.scope)) and bar_of(name, frame, judge) is None:
        raise Refuse(
            "TL103",
            f"The bar '{name}' does more than show: it is read, or its text changes something.",
            loop,
            "Count with the loop's own variable, and compute the bar's text in front of showing it.",
        )


def _quiet(frame: Frame, judge: Judge) -> Callable[[ast.expr], bool]:
    return lambda told: only_computes(arguments(told) if isinstance(told, ast.Call) else [told], frame, judge)


def _quiet_bar(fact: F.Bar, frame: Frame, judge: Judge) -> bool:
    """Are the arguments of a bar besides what it goes over for the screen alone?"""
    return only_computes([a for a in arguments(fact.node) if a is not fact.iterable], frame, judge)
