"""Expressions in which a written value has taken a name's place, said as a person would say them."""

from __future__ import annotations

from typing import Any

import libcst as cst

from torchlift_convert.folding import truth


def without_known(original: cst.CSTNode, updated: cst.CSTNode) -> cst.CSTNode:
    """``"val" == "val"`` is ``True``, ``True and better`` is ``better``, f-string ``{"val"}`` is ``val``, and so on.

    Only where a name stood in the original: what the user wrote stays as it is.
    """
    match original, updated:
        case cst.If(test=cst.BooleanOperation(right=was)), cst.If(test=cst.BooleanOperation() as test) if _truth(
            was
        ) is None and _truth(test.right) is isinstance(test.operator, cst.And):
            return updated.with_changes(test=test.left)
        case cst.FormattedStringExpression(expression=cst.Name()), cst.FormattedStringExpression(
            expression=cst.SimpleString() as text, conversion=None, format_spec=None, equal=None
        ) if str(text.evaluated_value).isidentifier():
            return cst.FormattedStringText(str(text.evaluated_value))
        case ((cst.Comparison() | cst.UnaryOperation()), (cst.Comparison() | cst.UnaryOperation())):
            holds = _truth(updated) if _truth(original) is None else None
            return updated if holds is None else cst.Name(str(holds), lpar=updated.lpar, rpar=updated.rpar)
        case cst.BooleanOperation(left=before, right=behind), cst.BooleanOperation(left=left, operator=op, right=right):
            neutral = isinstance(op, cst.And)
            if _truth(before) is None and _truth(left) is neutral:
                return _in_brackets_of(updated, right)
            plain = isinstance(left, cst.Comparison) or _is_not(left)  # ``x and True`` is True where x is 3
            done = _truth(behind) is None and _truth(right) is neutral and plain
            return _in_brackets_of(updated, left) if done else updated
        case cst.IfExp(test=before), cst.IfExp(test=test, body=body, orelse=orelse):
            holds = _truth(test) if _truth(before) is None else None
            return updated if holds is None else _in_brackets_of(updated, body if holds else orelse)
    return updated


def _in_brackets_of(whole: cst.BaseExpression, part: cst.BaseExpression) -> cst.BaseExpression:
    """``n / (a if True else b + c)`` and ``n / (True and b + c)`` need the brackets for what is left of them."""
    return part if part.lpar else part.with_changes(lpar=whole.lpar, rpar=whole.rpar)


def branch(stmt: cst.If, taken: bool, nested: bool) -> cst.CSTNode | cst.RemovalSentinel | cst.FlattenSentinel[Any]:
    """What an ``if`` whose condition is known stands for. ``nested``: it is the ``elif`` of another."""
    if not taken and isinstance(stmt.orelse, cst.If) and not nested:
        return stmt.orelse.with_changes(leading_lines=[*stmt.leading_lines, *stmt.orelse.leading_lines])
    if not taken and (nested or stmt.orelse is None):
        return stmt.orelse or cst.RemoveFromParent()
    if nested:
        return cst.Else(stmt.body, leading_lines=stmt.leading_lines)
    block = stmt.body if taken else cst.ensure_type(stmt.orelse, cst.Else).body
    if isinstance(block, cst.SimpleStatementSuite):
        lines: list[Any] = [cst.SimpleStatementLine(block.body, trailing_whitespace=block.trailing_whitespace)]
    else:
        lines = list(block.body)
    if not lines:
        return cst.RemoveFromParent()
    header = block.header if isinstance(block, cst.IndentedBlock) else None
    said = [cst.EmptyLine(comment=header.comment)] if header is not None and header.comment is not None else []
    lead = [*stmt.leading_lines, *said, *lines[0].leading_lines]
    return cst.FlattenSentinel([lines[0].with_changes(leading_lines=lead), *lines[1:]])


def _is_not(expr: cst.BaseExpression) -> bool:
    return isinstance(expr, cst.UnaryOperation) and isinstance(expr.operator, cst.Not)


def _truth(test: cst.CSTNode) -> bool | None:
    """Whether a condition made of written values holds; None for any other."""
    if any(isinstance(n, (cst.Call, cst.FormattedString)) for n in (test, *test.children)):
        return None
    return truth(f"({cst.Module([]).code_for_node(test)})")
