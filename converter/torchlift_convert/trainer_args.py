"""The Trainer's arguments that stand in the script in other words: how many epochs."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.counting import endless
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.nest import Nest
from torchlift_convert.program import Program
from torchlift_convert.showing import counted


@dataclass(frozen=True)
class Epochs:
    """``count``: the expression for max_epochs. ``start``: what the script's epoch counter starts with."""

    count: str
    start: str
    start_expr: ast.expr | None = None


def epochs_of(nest: Nest, program: Program) -> Epochs:
    """Read ``for epoch in range(...)``."""
    if nest.epochs is None:
        return Epochs("1", "0")
    if isinstance(nest.epochs, ast.While):
        return Epochs("-1", "0")
    judge = Judge(program)
    without_end = endless(nest.epochs.iter, nest.home, judge)
    if without_end is not None:
        first = without_end.args[0] if without_end.args else None
        return Epochs("-1", ast.unparse(first) if first is not None else "0", first)
    call = counted(nest.epochs.iter, nest.home, judge)
    assert call is not None
    args = call.args
    if len(args) == 3 or any(isinstance(a, ast.Starred) for a in args):
        raise Refuse("TL102", "The epochs are counted with a step.", nest.epochs, "Count them with range(start, end).")
    if len(args) == 1:
        return Epochs(ast.unparse(args[0]), "0")
    start, end = args
    if isinstance(start, ast.Constant) and isinstance(start.value, int):
        return Epochs(_minus(end, start.value), str(start.value), None if start.value == 0 else start)
    return Epochs(_difference(end, start), ast.unparse(start), start)


def may_have_none(nest: Nest, program: Program) -> bool:
    """Is no epoch left by the script's own numbers? A Trainer makes an iterator even then, and iterators draw.

    So it is when the script computes its first epoch, and when the count is written as zero.
    """
    epochs = epochs_of(nest, program)
    if epochs.count in ("0", "max(0, 0)"):
        return True
    return epochs.count.startswith("max(") and not epochs.start.lstrip("-").isdigit()


def _difference(end: ast.expr, start: ast.expr) -> str:
    """``end - start``; ``range(start, start + n)`` has ``n`` rounds. Below zero means for ever to a Trainer."""
    if isinstance(end, ast.BinOp) and isinstance(end.op, ast.Add):
        for one, other in ((end.left, end.right), (end.right, end.left)):
            if ast.dump(one) == ast.dump(start):
                return ast.unparse(other)
    return f"max(0, {ast.unparse(end)} - {_bracketed(start)})"


def _bracketed(expr: ast.expr) -> str:
    text = ast.unparse(expr)
    return text if isinstance(expr, (ast.Name, ast.Attribute, ast.Constant)) else f"({text})"


def _minus(expr: ast.expr, number: int) -> str:
    """``expr - number``, folded where it reads better: ``range(1, epochs + 1)`` has ``epochs`` rounds."""
    if number == 0:
        return ast.unparse(expr)
    match expr:
        case ast.Constant(value=int(value)):
            return str(max(0, value - number))
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int(value))) if value == number:
            return ast.unparse(left)
        case ast.BinOp(left=ast.Constant(value=int(value)), op=ast.Add(), right=right) if value == number:
            return ast.unparse(right)
    return f"max(0, {ast.unparse(expr)} - {number})"
