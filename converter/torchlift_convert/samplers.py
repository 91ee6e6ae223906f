"""Samplers that count epochs: a Trainer tells them which one begins, whether the script does or not."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.facts import MakesLoader
from torchlift_convert.kept import walk
from torchlift_convert.loaders import makers, makers_of
from torchlift_convert.program import Frame, Program, Var
from torchlift_convert.roles import Roles, variable

# Samplers of torch without a set_epoch().
_PLAIN = ("RandomSampler", "SequentialSampler", "SubsetRandomSampler", "WeightedRandomSampler")
_PLACES = {"sampler": 3, "batch_sampler": 4}  # in the arguments of DataLoader


def tells_epoch(expr: ast.expr, frame: Frame, roles: Roles, program: Program) -> bool:
    """May the loader that an expression names have a sampler that a Trainer would tell the epoch, to some effect?"""
    return any(
        _counts(sampler, place, roles, program)
        for made, place in makers_of(expr, frame, roles, program)
        for sampler in _samplers(made, program)
    )


def sampler_variables(roles: Roles, program: Program) -> frozenset[Var]:
    """Variables that a loader's sampler is, or is made from."""
    found = (
        place.resolve(node.id)
        for loader in roles.loaders
        for made, place in makers(loader, roles, program)
        for sampler in _samplers(made, program)
        if sampler is not None
        for node in walk(sampler)
        if isinstance(node, ast.Name)
    )
    return frozenset(v for v in found if v.frame is not None)


def _samplers(made: MakesLoader, program: Program) -> Iterator[ast.expr | None]:
    """What a DataLoader is given for samplers; None for what is not written there."""
    call = made.node
    for name, place in _PLACES.items():
        yield from (k.value for k in call.keywords if k.arg == name)
        if len(call.args) > place:
            yield call.args[place]
    unpacked = any(k.arg is None for k in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args)
    if unpacked and _mentioned(program):
        yield None


def _mentioned(program: Program) -> bool:
    """Does the script give something the name of a sampler, so that ``**options`` may hold one?"""
    for node in walk(program.script.tree):
        match node:
            case ast.Constant(value="sampler" | "batch_sampler"):
                return True
            case ast.Call(func=ast.Name(id="dict"), keywords=keywords) if any(k.arg in _PLACES for k in keywords):
                return True
    return False


def _counts(sampler: ast.expr | None, frame: Frame, roles: Roles, program: Program, depth: int = 0) -> bool:
    if sampler is None or depth > 8:
        return True
    match sampler:
        case ast.Constant(value=None):
            return False
        case ast.IfExp(body=body, orelse=orelse):
            return any(_counts(one, frame, roles, program, depth + 1) for one in (body, orelse))
        case ast.Name():
            var = variable(sampler, frame)
            places = roles.definitions.get(var, []) if var is not None else []
            return not places or any(_counts(p.value, p.frame, roles, program, depth + 1) for p in places)
        case ast.Call(func=func, args=args, keywords=keywords):
            name = (program.canonical(func, frame) or "").rpartition(".")[2]
            if name in _PLAIN:
                return False
            if name == "BatchSampler" and args:
                return _counts(args[0], frame, roles, program, depth + 1)
            if name == "DistributedSampler":  # without shuffling, every epoch has the same order
                return not any(k.arg == "shuffle" and ast.unparse(k.value) == "False" for k in keywords)
            return not (isinstance(func, ast.Name) and _deaf(func.id, frame, program))
    return True


def _deaf(name: str, frame: Frame, program: Program) -> bool:
    """Is it a class of the script that is known to have no set_epoch()?"""
    cls = program.module.classes.get(name)
    if cls is None or frame.resolve(name).frame is not program.module:
        return False
    if any(isinstance(n, (ast.FunctionDef, ast.Assign)) and "set_epoch" in ast.unparse(n) for n in cls.body):
        return False
    bases = [program.canonical(b, program.module) or "" for b in cls.bases]
    plain = (*_PLAIN, "Sampler", "object")
    return all(b.rpartition(".")[2] in plain for b in bases) and not cls.keywords and not cls.decorator_list
