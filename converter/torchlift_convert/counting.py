"""How loops that train count: by a range, by ``itertools.count()``, or as long as a condition holds.

``while condition:`` is to a Trainer a loop without an end that is left when the condition no longer holds, whenever the
script looks: in front of the first epoch, and at the end of each.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from torchlift_convert.effects import Judge
from torchlift_convert.folding import decided
from torchlift_convert.loops import Loop
from torchlift_convert.program import Frame, Item
from torchlift_convert.showing import counted


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
    if not isinstance(loop, ast.While) or decided(loop.test, frame) is True:
        return ()
    test = loop.test
    opposite = test.operand if _is_not(test) else ast.UnaryOp(ast.Not(), test)  # type: ignore[attr-defined]
    leave = ast.copy_location(ast.If(opposite, [ast.Break()], []), loop)
    ast.fix_missing_locations(leave)
    return (Item(leave, frame, synthetic=True),)


def first_look(loop: Loop | None, frame: Frame) -> Item | None:
    """The look in front of the first epoch."""
    if not isinstance(loop, ast.While) or decided(loop.test, frame) is True:
        return None
    return Item(ast.copy_location(ast.Expr(loop.test), loop), frame)


def holds(test: ast.expr, written: dict[str, ast.expr]) -> bool:
    """Is a condition true for certain, with these values in the place of names?"""
    match test:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(holds(p, written) for p in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(holds(p, written) for p in parts)
    names = {n.id: written.get(n.id) for n in ast.walk(test) if isinstance(n, ast.Name)}
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


def _is_not(test: ast.expr) -> bool:
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
