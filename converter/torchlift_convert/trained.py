"""What is trained: the models and tensors that the optimizers update."""

from __future__ import annotations

import ast

from torchlift_convert.carriers import carriers
from torchlift_convert.definitions import Definition, nest_items, variable
from torchlift_convert.kept import walk
from torchlift_convert.making import Made
from torchlift_convert.nest import Nest
from torchlift_convert.program import Frame, Program, Var
from torchlift_convert.syntax import nodes_of

Seed = tuple[ast.AST, Frame]  # code that says what is trained


def seeds_of(
    nest: Nest,
    defs: dict[Var, list[Definition]],
    optimizers: dict[Var, tuple[Made, ...]],
    held: frozenset[Var],
) -> list[Seed]:
    """Where it stands what an optimizer updates; without any, what the loops ask for its parameters."""
    places = [d for v in (*optimizers, *held) for d in defs.get(v, [])]
    seeds: list[Seed] = [(d.value, d.frame) for d in places if d.value is not None]
    seeds += [(m.fact.node, m.frame) for made in optimizers.values() for m in made]
    if not seeds:
        seeds = [(n, i.frame) for i in nest_items(nest) for n in nodes_of(i.stmt) if is_parameters(n)]
    return seeds


def is_parameters(node: ast.AST) -> bool:
    """``model.parameters()``"""
    match node:
        case ast.Call(func=ast.Attribute(attr="parameters" | "named_parameters")):
            return True
    return False


def trained_models(
    defs: dict[Var, list[Definition]],
    seeds: list[Seed],
    updating: set[Var],
    stand_ins: dict[Var, Var],
    inner: list[Frame],
) -> tuple[tuple[Var, ...], bool]:
    """Variables whose ``parameters()`` reach an optimizer, in the order of their definitions, and whether that is all.

    ``updating``: the optimizers themselves. ``stand_ins``: what the loops know another function's variable by.
    ``inner``: activations of functions that make optimizers; their own variables are nothing that the loops know.
    """
    found: dict[Var, None] = {}
    every = True
    seen: set[Var] = set()
    stack = list(seeds)
    while stack:
        value, frame = stack.pop()
        for node in walk(value):
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr="parameters" | "named_parameters")):
                    var = _whole(owner, frame, defs)
                    var = stand_ins.get(var, var) if var is not None else None
                    if var is not None and var in defs and var.frame not in inner:
                        found[var] = None
                    else:
                        every = False
                case ast.Name(id=name, ctx=ast.Load()) if (bound := frame.alias(name)) is not None:
                    stack.append((bound.expr, bound.frame))
                case ast.Name(id=name, ctx=ast.Load()):
                    var = frame.resolve(name)
                    if var in defs and var not in seen and var not in updating:
                        seen.add(var)
                        stack += [(d.value, d.frame) for d in defs[var] if d.value and not isinstance(d.stmt, ast.For)]
    order = {v: min(d.stmt.lineno for d in defs[v]) for v in found}
    return tuple(sorted(found, key=order.__getitem__)), every


def _whole(part: ast.expr, frame: Frame, defs: dict[Var, list[Definition]]) -> Var | None:
    """The variable of the module that ``model.head`` or ``layers[0]`` is a part of, through a name for the part."""
    while isinstance(part, (ast.Attribute, ast.Subscript)):
        part = part.value
    bound = frame.alias(part.id) if isinstance(part, ast.Name) else None
    if bound is not None:
        return _whole(bound.expr, bound.frame, defs)
    var = variable(part, frame)
    places = defs.get(var, []) if var is not None else []
    if len(places) == 1 and isinstance(places[0].value, (ast.Attribute, ast.Subscript)):
        return _whole(places[0].value, places[0].frame, defs)
    return var


def trained_tensors(
    program: Program,
    defs: dict[Var, list[Definition]],
    optimizers: dict[Var, tuple[Made, ...]],
    stand_ins: dict[Var, Var],
    options: frozenset[Var],
) -> frozenset[Var]:
    """Variables through which what an optimizer updates may be reached; the script's options are no way to it."""
    found: set[Var] = set()
    stack = [(one, made.frame) for several in optimizers.values() for made in several for one in given_to(made)]
    while stack:
        expr, frame = stack.pop()
        for name in carriers(expr, frame, program):
            bound = frame.alias(name.id)
            if bound is not None:
                stack.append((bound.expr, bound.frame))
                continue
            reached = variable(name, frame)
            places = defs.get(reached, []) if reached is not None else []
            if reached is None or reached in found | options or all(isinstance(p.value, ast.Constant) for p in places):
                continue
            found.add(reached)
            stack += [(p.value, p.frame) for p in places if p.value is not None]
    return frozenset(stand_ins.get(v, v) for v in found)


def given_to(made: Made) -> list[ast.expr]:
    """The expression that an optimizer is given its parameters by."""
    return [k.value for k in made.fact.node.keywords if k.arg == "params"] + made.fact.node.args[:1]
