"""Loaders that a Trainer does not go through as a loop does."""

from __future__ import annotations

import ast

from torchlift_convert.facts import MakesLoader
from torchlift_convert.program import Frame, Program, Var
from torchlift_convert.recognisers import fact_of
from torchlift_convert.roles import Roles, variable


def oddity(var: Var, roles: Roles, program: Program) -> str | None:
    """Why batches would differ, as the end of a sentence about the loader; None when they do not."""
    return next(
        (odd for made, frame in makers(var, roles, program) if (odd := _oddity(made, frame, roles, program))), None
    )


def makers(var: Var, roles: Roles, program: Program) -> list[tuple[MakesLoader, Frame]]:
    """The calls that make a loader, with the frames that they stand in; a parameter has those of each caller."""
    found: list[tuple[MakesLoader, Frame]] = []
    for place in roles.definitions.get(var, []):
        fact = fact_of(place.value, place.frame, program) if isinstance(place.value, ast.Call) else None
        held = variable(place.value, place.frame) if place.value is not None else None
        if isinstance(fact, MakesLoader):
            found.append((fact, place.frame))
        elif held is not None and held != var:
            found += makers(held, roles, program)
    if not found and var in roles.loaders:  # what a function of the script returns
        found.append((roles.loaders[var], var.frame or program.module))
    return found


def _oddity(made: MakesLoader, frame: Frame, roles: Roles, program: Program) -> str | None:
    options = {k.arg: k.value for k in made.node.keywords if k.arg}
    own = options.get("generator")
    if own is not None and ast.unparse(own) != "None" and {"shuffle", "sampler", "batch_sampler"} & set(options):
        # samplers draw once more when they are asked for a batch behind the last, which a Trainer never does
        return "draws from a generator of its own, which a loop leaves in another state than a Trainer"
    cls = _dataset_class(made, frame, roles, program)
    if cls is not None and _streams(cls, program) and not _sized(cls):
        # without a length a Trainer fetches one batch ahead of the step
        return "goes over an IterableDataset without a length, of which a Trainer fetches one batch ahead"
    return None


def data_variables(roles: Roles, program: Program) -> frozenset[Var]:
    """Loaders, the datasets that they are made over, and the datasets that those are a part of."""
    found: set[Var] = set()
    stack = [(v, made.dataset, frame) for v in roles.loaders for made, frame in makers(v, roles, program)]
    while stack:
        var, dataset, frame = stack.pop()
        found.add(var)
        held = variable(dataset, frame)
        if held is not None and held not in found:
            stack += [(held, p.value, p.frame) for p in roles.definitions.get(held, []) if p.value is not None]
            found.add(held)
        if isinstance(dataset, ast.Call) and (program.canonical(dataset.func, frame) or "").startswith(
            "torch.utils.data."
        ):
            held_in = [a for a in dataset.args[:1] if isinstance(a, ast.Name) and variable(a, frame) != var]
            stack += [(var, a, frame) for a in held_in]
    # parameters that the caller's variables are known by
    found |= {v for v, ps in roles.definitions.items() for p in ps if p.value and variable(p.value, p.frame) in found}
    return frozenset(found)


def _dataset_class(made: MakesLoader, frame: Frame, roles: Roles, program: Program) -> ast.ClassDef | None:
    """The class of the script that the dataset is an object of."""
    value: ast.expr | None = made.dataset
    dataset = variable(made.dataset, frame)
    if dataset is not None:
        places = roles.definitions.get(dataset, [])
        value = places[-1].value if places else None
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return program.module.classes.get(value.func.id)
    return None


def _streams(cls: ast.ClassDef, program: Program) -> bool:
    names = [program.canonical(b, program.module) or ast.unparse(b) for b in cls.bases]
    if any(n.rpartition(".")[2] == "IterableDataset" for n in names):
        return True
    own = [program.module.classes[n] for n in names if n in program.module.classes and n != cls.name]
    return any(_streams(base, program) for base in own)


def _sized(cls: ast.ClassDef) -> bool:
    return any(isinstance(m, ast.FunctionDef) and m.name == "__len__" for m in cls.body)
