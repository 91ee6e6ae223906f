"""Expressions in which a written value has taken a name's place, said as a person would say them."""

from __future__ import annotations

import libcst as cst


def without_known(original: cst.CSTNode, updated: cst.CSTNode) -> cst.CSTNode:
    """``"val" == "val" and better`` is ``better``, ``x if True else y`` is ``x``, f-string ``{"val"}`` is ``val``.

    Only where a name stood in the original: what the user wrote stays as it is.
    """
    match original, updated:
        case cst.FormattedStringExpression(expression=cst.Name()), cst.FormattedStringExpression(
            expression=cst.SimpleString() as text, conversion=None, format_spec=None, equal=None
        ) if str(text.evaluated_value).isidentifier():
            return cst.FormattedStringText(str(text.evaluated_value))
        case cst.BooleanOperation(left=before), cst.BooleanOperation(left=left, operator=op, right=right):
            holds = _truth(left) if before is not left else None
            return right if holds is isinstance(op, cst.And) and holds is not None else updated
        case cst.IfExp(test=before), cst.IfExp(test=test, body=body, orelse=orelse):
            holds = _truth(test) if before is not test else None
            return updated if holds is None else body if holds else orelse
    return updated


def _truth(test: cst.BaseExpression) -> bool | None:
    """Whether a condition made of written values holds; None for any other."""
    match test:
        case cst.Name(value="True"):
            return True
        case cst.Name(value="False" | "None"):
            return False
        case cst.UnaryOperation(operator=cst.Not(), expression=inner):
            holds = _truth(inner)
            return None if holds is None else not holds
        case cst.Comparison(left=cst.SimpleString() as one, comparisons=[target]):
            other, equal = target.comparator, isinstance(target.operator, cst.Equal)
            if isinstance(other, cst.SimpleString) and (equal or isinstance(target.operator, cst.NotEqual)):
                return (one.evaluated_value == other.evaluated_value) is equal
    return None
