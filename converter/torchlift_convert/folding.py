"""Conditions that are known before anything runs, because a name in them stands for a value written in the code.

``for phase in ["train", "val"]`` and ``run_epoch(..., training=True)`` give such names; ``if phase == "train":`` is
then either its body or its ``else``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from torchlift_convert.kept import children, walk
from torchlift_convert.objects import stands_for_object
from torchlift_convert.program import Bound, Frame, dotted

_UNKNOWN = object()
_OBJECT = object()  # true, and never None; nothing else is known about it


def decided(test: ast.expr, frame: Frame) -> bool | None:
    """Whether a condition holds; None when that is not known, or when no name in it stands for a written value."""
    names = [n.id for n in walk(test) if isinstance(n, ast.Name)]
    if not any(frame.alias(n) is not None or stands_for_object(n, frame) for n in names):
        return None
    value = _value(test, frame)
    return None if value is _UNKNOWN else bool(value)


def learn(frame: Frame, body: list[ast.stmt], outside: frozenset[str] = frozenset()) -> None:
    """Let names that a block binds once, to what is known to be true or false, stand for that.

    ``is_train = phase == "train"``. ``outside``: names that something around the block mentions too.
    """
    stores = [n.id for s in body for n in walk(s) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)]
    early = set[str]()  # what is read in front of a statement: in a loop, that is the value of the round before
    for stmt in body:
        here = {n.id for n in walk(stmt) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        match stmt:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if stores.count(name) == 1:
                known = _value(value, frame) if decided(value, frame) is not None else None
                taken = name in outside or name in frame.bound or name in early | here
                if isinstance(known, bool) and not taken:
                    frame.locals |= {name}
                    frame.bound[name] = Bound(ast.copy_location(ast.Constant(known), value), frame)
        early |= here


def is_learned(stmt: ast.stmt, frame: Frame) -> bool:
    """Is this the statement that binds such a name?"""
    match stmt:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            held = frame.bound.get(name)
            return held is not None and held.frame is frame and decided(value, frame) is not None
    return False


def live_nodes(stmt: ast.AST, frame: Frame) -> Iterator[ast.AST]:
    """Nodes of a statement that may run with it: no function bodies, no branches that are known not to be taken."""
    if isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    stack: list[ast.AST] = [stmt]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        taken = decided(node.test, frame) if isinstance(node, ast.If) else None
        if isinstance(node, ast.If) and taken is not None:
            stack += [node.test, *(node.body if taken else node.orelse)]
        else:
            stack.extend(children(node))


def _value(expr: ast.expr, frame: Frame | None) -> Any:
    """The value of an expression made of written values; `_UNKNOWN` for any other."""
    match expr:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            bound = frame.alias(name) if frame is not None else None
            if bound is not None:
                return _value(bound.expr, bound.frame)
            return _OBJECT if frame is not None and stands_for_object(name, frame) else _UNKNOWN
        case ast.List(elts=elts) | ast.Tuple(elts=elts) | ast.Set(elts=elts):
            values = [_value(e, frame) for e in elts]
            return _UNKNOWN if any(v is _UNKNOWN for v in values) else values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            value = _value(operand, frame)
            return _UNKNOWN if value is _UNKNOWN else not value
        case ast.BoolOp(op=op, values=parts):
            return _joined(isinstance(op, ast.And), parts, frame)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(_value(left, frame), op, _value(right, frame))
    return _UNKNOWN


def _joined(all_of: bool, parts: list[ast.expr], frame: Frame | None) -> Any:
    """``and`` and ``or``, which look no further than the first part that decides.

    A part that is not known may stand before that when looking at it does nothing.
    """
    unsure = False
    for part in parts:
        value = _value(part, frame)
        if value is _UNKNOWN:
            if not _harmless(part):
                return value
            unsure = True
        elif bool(value) is not all_of:
            return not all_of if unsure else value
    return _UNKNOWN if unsure else value


def _harmless(expr: ast.expr) -> bool:
    """A name, an attribute or a written value, and comparisons of such."""
    match expr:
        case ast.Constant():
            return True
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _harmless(operand)
        case ast.Compare(left=left, comparators=comparators):
            return all(map(_harmless, [left, *comparators]))
    return dotted(expr) is not None


def truth(text: str) -> bool | None:
    """Whether a condition made of written values alone holds; None for any other."""
    value = _value(ast.parse(text, mode="eval").body, None)
    return None if value is _UNKNOWN else bool(value)


def _compared(left: Any, op: ast.cmpop, right: Any) -> Any:
    if left is _UNKNOWN or right is _UNKNOWN:
        return _UNKNOWN
    if _OBJECT in (left, right) and (None not in (left, right) or isinstance(op, (ast.In, ast.NotIn))):
        return _UNKNOWN
    match op:
        case ast.Eq():
            return left == right
        case ast.NotEq():
            return left != right
        case ast.Is():
            return left is right if left is None or right is None else _UNKNOWN
        case ast.IsNot():
            return left is not right if left is None or right is None else _UNKNOWN
        case ast.In():
            return left in right
        case ast.NotIn():
            return left not in right
    return _UNKNOWN
