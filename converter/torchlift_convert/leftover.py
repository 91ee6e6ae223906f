"""Gradients that are there before the first batch. A Trainer clears them when it starts, so nobody may need them."""

from __future__ import annotations

import ast

from torchlift_convert import facts as F
from torchlift_convert.callers import earlier
from torchlift_convert.definitions import nest_items
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.kept import walk
from torchlift_convert.locating import fits, trainers_of
from torchlift_convert.names import access
from torchlift_convert.nest import Nest
from torchlift_convert.program import Item, Program, Var, flow_over
from torchlift_convert.reaching import Reach
from torchlift_convert.recognisers import fact_of
from torchlift_convert.regions import call_fact
from torchlift_convert.roles import Roles, variable
from torchlift_convert.syntax import blocks_of, is_backward, nodes_of
from torchlift_convert.values import Values


def refuse_leftover(program: Program, nest: Nest, roles: Roles) -> None:
    """Gradients of an earlier backward() may only be there when the loops zero them before they add their own.

    Raises:
        Refuse: they would be part of the first step.
    """
    pre = [Item(s, nest.home) for s in nest.pre]
    reach = Reach(program)
    made = set(roles.models) <= flow_over(pre).must and all(_makes(v, program, roles) for v in roles.models)
    fresh = made and not any(reach.trains(i.stmt, i.frame) for i in pre)
    other = None if fresh else _other_backward(program, nest)
    again = not fresh and (nest.repeated or earlier(nest.home.scope, program) is None)
    if (other is None and not again) or _zeroed(program, nest, roles, first=True):
        return
    if other is None and _zeroed(program, nest, roles, first=False):
        return
    raise Refuse(
        "TL304",
        "Gradients that are there before the first batch are part of its step, and a Trainer clears them."
        if other is None
        else f"Gradients that the training or backward() of line {other.lineno} leaves may be part of the first step "
        "here, and a Trainer clears them.",
        nest.outer,
        "Call optimizer.zero_grad() at the start of each batch.",
    )


def _makes(model: Var, program: Program, roles: Roles) -> bool:
    """Is a model made anew, from numbers and options, and not another name for one or a part of one?"""
    values = Values(program, roles)
    for place in roles.definitions.get(model, []):
        if not isinstance(place.value, ast.Call):
            return False
        given = [*place.value.args, *(k.value for k in place.value.keywords)]
        for name in access(ast.Tuple(given, ast.Load())).reads:
            var = place.frame.resolve(name)
            known = var.frame is None or var in roles.namespaces or var in roles.devices or values.portable_scalar(var)
            if not known and var.name not in program.imports and var.name not in program.module.classes:
                return var == model and isinstance(fact_of(place.value, place.frame, program), F.Move)
    return True


def _other_backward(program: Program, nest: Nest) -> ast.stmt | None:
    """A statement outside of the loops that calls backward(), or leaves it to a Trainer."""
    trainers = trainers_of(program)
    own = {id(n) for i in nest_items(nest) for n in walk(i.stmt)}
    small = [s for s in program.script.statements if not isinstance(s, ast.ClassDef) and not list(blocks_of(s))]
    small = [s for s in small if not isinstance(s, ast.FunctionDef)]
    others = (s for s in small if any(is_backward(n) and id(n) not in own for n in nodes_of(s)) or fits(s, trainers))
    return next(others, None)


def _zeroed(program: Program, nest: Nest, roles: Roles, first: bool) -> bool:
    """Does each batch zero all that it steps with, in front of its first backward() or else behind its last?"""
    backwards = [n for n, i in enumerate(nest.body) if any(is_backward(x) for x in nodes_of(i.shape))]
    zeroed = set[Var | None]()
    for n, item in enumerate(nest.body):
        fact = call_fact(item, program)
        in_place = n < backwards[0] if first and backwards else bool(backwards) and n > backwards[-1]
        if isinstance(fact, F.ZeroGrad) and in_place:
            zeroed.add(variable(fact.receiver, item.frame))
    whole = len(roles.models) == 1 and roles.models[0] in zeroed
    return bool(backwards) and (whole or set(roles.optimizers) <= zeroed)
