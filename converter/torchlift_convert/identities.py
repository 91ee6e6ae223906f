"""Assignments of a name to itself, which are left where ``x = x.to(device)`` only moved what the Trainer moves."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst


def is_identity(node: cst.CSTNode) -> bool:
    """``x = x``, ``a, b = a, b``"""
    match node:
        case cst.SimpleStatementLine(body=[cst.Assign(targets=[cst.AssignTarget(target=target)], value=value)]):
            empty = cst.Module([])
            return empty.code_for_node(_bare(target)) == empty.code_for_node(_bare(value))
    return False


def without_identities(original: cst.Assign, updated: cst.Assign) -> cst.Assign:
    """``a, b = a, f(b)`` says ``b = f(b)``, where the first half only moved what the Trainer moves."""
    match updated, original:
        case (
            cst.Assign(targets=[cst.AssignTarget(target=cst.Tuple() as left)], value=cst.Tuple() as right),
            cst.Assign(targets=[cst.AssignTarget(target=cst.Tuple() as was)], value=cst.Tuple() as had),
        ) if len(left.elements) == len(right.elements) == len(was.elements) == len(had.elements):
            pairs = list(zip(left.elements, right.elements, was.elements, had.elements, strict=True))
            kept = [(t, v) for t, v, w, h in pairs if not (_same(t, v) and not _same(w, h))]
            if len(kept) in (0, len(pairs)):
                return updated
            target, value = ([e.value for e in side] for side in zip(*kept, strict=True))
            return updated.with_changes(
                targets=[updated.targets[0].with_changes(target=_tupled(target))], value=_tupled(value)
            )
    return updated


def _same(one: cst.BaseElement, other: cst.BaseElement) -> bool:
    code = cst.Module([]).code_for_node
    return code(_bare(one.value)) == code(_bare(other.value))


def _tupled(values: Sequence[cst.BaseExpression]) -> cst.BaseExpression:
    return values[0] if len(values) == 1 else cst.Tuple([cst.Element(v) for v in values], lpar=[], rpar=[])


def _bare(node: cst.BaseExpression) -> cst.BaseExpression:
    return node.with_changes(lpar=[], rpar=[]) if node.lpar else node
