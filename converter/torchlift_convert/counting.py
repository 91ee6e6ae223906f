"""How loops that train count: by a range, by ``itertools.count()``, or as long as a condition holds.

``while condition:`` is to a Trainer a loop without an end that is left when the condition no longer holds, whenever the
script looks: in front of the first epoch, and at the end of each.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torchlift_convert.effects import Judge
from torchlift_convert.folding import decided
from torchlift_convert.kept import walk
from torchlift_convert.loops import Loop
from torchlift_convert.program import Frame, Item, dotted
from torchlift_convert.showing import counted
from torchlift_convert.syntax import exits_of


def counts(loop: Loop, frame: Frame, judge: Judge) -> bool:
    """Does a loop count epochs or steps, instead of going over data?"""
    if isinstance(loop, ast.While):
        return True
    return counted(loop.iter, frame, judge) is not None or endless(loop.iter, frame, judge) is not None


def endless(expr: ast.expr, frame: Frame, judge: Judge) -> ast.Call | None:
    """``itertools.count(start)``"""
    if not isinstance(expr, ast.Call) or judge.program.canonical(expr.func, frame) != "itertools.count":
        return None
    return expr if len(expr.args) < 2 and not expr.keywords else None


def last_look(loop: Loop, frame: Frame) -> tuple[Item, ...]:
    """What ends the epochs of a ``while`` loop: a look at its condition behind each of them."""
    if not isinstance(loop, ast.While) or _is_always(loop.test, frame):
        return ()
    test = loop.test
    opposite = test.operand if _is_not(test) else ast.UnaryOp(ast.Not(), test)  # type: ignore[attr-defined]
    leave = ast.copy_location(ast.If(opposite, [ast.Break()], []), loop)
    ast.fix_missing_locations(leave)
    return (Item(leave, frame, synthetic=True),)


def first_look(loop: Loop | None, frame: Frame) -> Item | None:
    """The look in front of the first epoch."""
    if not isinstance(loop, ast.While) or _is_always(loop.test, frame):
        return None
    return Item(ast.copy_location(ast.Expr(loop.test), loop), frame)


def holds(test: ast.expr, written: dict[str, ast.expr]) -> bool:
    """Is a condition true for certain, with these values in the place of names?"""
    match test:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(holds(p, written) for p in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(holds(p, written) for p in parts)
    names = {n.id: written.get(n.id) for n in walk(test) if isinstance(n, ast.Name)}
    try:
        values = {name: _literal(value) for name, value in names.items()}
        match test:
            case ast.Name(id=name):
                return bool(values[name])
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name)):
                return not values[name]
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _ORDER:
                pair = [values[e.id] if isinstance(e, ast.Name) else _literal(e) for e in (left, right)]
                return bool(_ORDER[type(op)](*pair))
    except (ValueError, TypeError):
        pass
    return False


_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.NotEq: operator.ne,
    ast.Eq: operator.eq,
}  # fmt: skip


def _literal(value: ast.expr | None) -> object:
    """The number or text that an expression is; ValueError where it is none."""
    match value:
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]):
            return float(text)
        case ast.Constant(value=bool() | int() | float() | str()):
            return value.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    raise ValueError("no literal")


def _is_always(test: ast.expr, frame: Frame) -> bool:
    """``while True:``"""
    return bool(test.value) if isinstance(test, ast.Constant) else decided(test, frame) is True


def _is_not(test: ast.expr) -> bool:
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


@dataclass(frozen=True, eq=False)
class Counted:
    """A ``while`` loop that is a ``for`` loop over a range in other words.

    ``loop``: that ``for`` loop. ``start``: the statement that the count starts from. ``step``: the one that counts.
    ``last``: it stands at the end of the body, so that the counter is one further behind the loop than in its last
    round. ``read``: somebody reads it there.
    """

    loop: ast.For
    start: ast.stmt
    step: ast.stmt
    last: bool
    read: bool


def counted_while(loop: Loop, body: list[ast.stmt], frame: Frame, judge: Judge) -> Counted | None:
    """Read ``while n < end:`` with one ``n += 1`` at the start or the end of the loop; None for any other loop.

    ``body``: the statements that the loop stands among.
    """
    if not isinstance(loop, ast.While):
        return None
    match loop.test:
        case ast.Compare(left=ast.Name(id=name), ops=[ast.Lt() | ast.LtE() as op], comparators=[end]):
            pass
        case ast.Compare(left=end, ops=[ast.Gt() | ast.GtE() as op], comparators=[ast.Name(id=name)]):
            pass
        case _:
            return None
    steps = [s for s in (loop.body[0], loop.body[-1]) if _adds_one(s, name)]
    begun = _start(name, body[: body.index(loop)])
    if (
        len(steps) != 1
        or begun is None
        or frame.resolve(name).frame is not frame
        or not _is_fixed(end, loop, frame, judge)
    ):
        return None
    start, made_by = begun
    upto = isinstance(op, (ast.LtE, ast.GtE))
    if upto and not isinstance(end, ast.Constant):  # 2.5 is reached by 2, and 3.5 by 3
        return None
    stores = [n for n in walk(loop) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)]
    functions = [n for n in walk(judge.program.script.tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))]
    hidden = [f for f in functions if f is not frame.scope and any(_names(n, name) for n in walk(f))]
    leaves = [e for s in loop.body for e in exits_of(s)]
    last = steps[0] is loop.body[-1]
    read = sum(_names(n, name) for n in walk(frame.scope)) > sum(_names(n, name) for n in walk(loop)) + 1
    if len(stores) != 1 or hidden or (last and leaves and (read or any(isinstance(e, ast.Continue) for e in leaves))):
        return None
    rest = [s for s in loop.body if s is not steps[0]]
    if not rest:
        return None
    first, stop = start if last else start + 1, _plus(end, (not last) + upto)
    bounds: list[ast.expr] = [stop] if first == 0 else [ast.Constant(first), stop]
    made = ast.For(ast.Name(name, ast.Store()), ast.Call(ast.Name("range", ast.Load()), bounds, []), rest, [])
    made.orelse = loop.orelse
    return Counted(ast.copy_location(made, loop), made_by, steps[0], last, read)


def _adds_one(stmt: ast.stmt, name: str) -> bool:
    match stmt:
        case ast.AugAssign(target=ast.Name(id=one), op=ast.Add(), value=ast.Constant(value=1)):
            return one == name
        case ast.Assign(
            targets=[ast.Name(id=one)],
            value=ast.BinOp(left=ast.Name(id=other), op=ast.Add(), right=ast.Constant(value=1)),
        ):
            return one == other == name
    return False


def _start(name: str, before: list[ast.stmt]) -> tuple[int, ast.stmt] | None:
    """The whole number that the last statement which binds the name gives it, and that statement."""
    for stmt in reversed(before):
        if any(_names(n, name) and isinstance(n.ctx, ast.Store) for n in walk(stmt) if isinstance(n, ast.Name)):
            match stmt:
                case ast.Assign(targets=[ast.Name()], value=ast.Constant(value=int(value))) if value >= 0:
                    return None if isinstance(value, bool) else (value, stmt)
            return None
    return None


def _is_fixed(end: ast.expr, loop: ast.While, frame: Frame, judge: Judge) -> bool:
    """A whole number, or a name or option that the loop leaves as it is."""
    if isinstance(end, ast.Constant):
        return isinstance(end.value, int)
    text = dotted(end)
    if text is None:
        return False
    root = frame.resolve(text.partition(".")[0])
    return not any(root in judge.changes(Item(s, frame)) for s in loop.body)


def _plus(end: ast.expr, number: int) -> ast.expr:
    if number == 0:
        return end
    if isinstance(end, ast.Constant):
        return ast.Constant(end.value + number)  # type: ignore[operator]
    return ast.BinOp(end, ast.Add(), ast.Constant(number))


def _names(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
