"""Bugs of the script that are kept as they are, because mending them would change the numbers. They are told."""

from __future__ import annotations

import ast

from torchlift_convert import facts as F
from torchlift_convert.definitions import nest_items
from torchlift_convert.diagnostics import finding
from torchlift_convert.names import own_nodes
from torchlift_convert.plan import Plan
from torchlift_convert.program import Frame, Item
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.scaling import scales
from torchlift_convert.syntax import nodes_of
from torchlift_convert.types import Diagnostic


def never_trained_again(plan: Plan) -> list[Diagnostic]:
    """A model that each epoch puts into evaluation mode and nothing puts back into training mode."""
    if any(_is_switch(n) for i in nest_items(plan.nest) for n in nodes_of(i.stmt)):
        return []
    switches = [(f, i) for i in nest_items(plan.nest) for f in _modes(plan, i)]
    evaluated = [(f, i) for f, i in switches if not f.training]
    if not evaluated or any(f.training for f, _ in switches):
        return []
    return [
        finding(
            "TL310",
            "The model is put into evaluation mode and never back: from the second epoch on, dropout and batch "
            "normalization act as in evaluation. The conversion keeps this.",
            evaluated[0][1].stmt,
            "If that is not meant, call model.train() at the start of each epoch.",
        )
    ]


def _is_switch(node: ast.AST) -> bool:
    """``model.train(was)``: the mode is a value that is not known here."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "train"
        and bool(node.args or node.keywords)
    )


def _modes(plan: Plan, item: Item) -> list[F.Mode]:
    """Mode switches of a statement and of the script's functions that it calls."""
    found: list[F.Mode] = []
    seen: set[object] = set()
    stack = [(n, item.frame) for n in nodes_of(item.stmt)]
    while stack:
        node, frame = stack.pop()
        fact = fact_of(node, frame, plan.program) if isinstance(node, ast.Call) else None
        if isinstance(fact, F.Mode):
            found.append(fact)
        func = node.func if isinstance(node, ast.Call) else None
        target = frame.function(func.id) if isinstance(func, ast.Name) else None
        if target is not None and target[0] not in seen:
            seen.add(target[0])
            inner = Frame(*target)
            stack += [(n, inner) for n in own_nodes(target[0])]
    return found


def clipped_while_scaled(plan: Plan) -> list[Diagnostic]:
    """A clip between the backward of a scaled loss and the unscaling: its limit is that many times smaller."""
    program, roles, scaled = plan.program, plan.roles, False
    for item in plan.nest.body:
        for fact in facts_of(item.stmt, item.frame, program):
            if scales(fact, item.frame, roles):
                scaled = isinstance(fact, F.Scaling) and fact.verb == "scale"
            elif isinstance(fact, F.Clip) and scaled:
                return [
                    finding(
                        "TL401",
                        "Gradients are clipped while the scaler's factor is in them, so the limit is that much "
                        "smaller. The conversion keeps this.",
                        item.stmt,
                        "If that is not meant, call scaler.unscale_(optimizer) in front of it.",
                    )
                ]
    return []
