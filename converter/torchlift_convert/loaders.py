"""Loaders that a Trainer does not go through as a loop does."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.definitions import Definition
from torchlift_convert.effects import Judge
from torchlift_convert.facts import MakesLoader
from torchlift_convert.growing import grows_behind, length_varies
from torchlift_convert.kept import children, walk
from torchlift_convert.program import Frame, Program, Var
from torchlift_convert.recognisers import fact_of
from torchlift_convert.roles import Roles, expression, variable


def oddity(var: Var, roles: Roles, program: Program) -> str | None:
    """Why batches would differ, as the end of a sentence about the loader; None when they do not."""
    return next(
        (odd for made, frame in makers(var, roles, program) if (odd := _oddity(made, frame, roles, program))), None
    )


def oddity_of(expr: ast.expr, frame: Frame, roles: Roles, program: Program) -> str | None:
    """As :func:`oddity`, of what an expression names; a reason as well when that is no loader of the script."""
    made = makers_of(expr, frame, roles, program)
    if not made:
        return "is not made by a DataLoader in this script"
    return next((odd for one, place in made if (odd := _oddity(one, place, roles, program))), None)


def makers_of(expr: ast.expr, frame: Frame, roles: Roles, program: Program) -> list[tuple[MakesLoader, Frame]]:
    """The calls that make the loader which an expression names: a variable, or an entry of a dictionary by its key."""
    var = variable(expr, frame)
    if var is not None:
        return makers(var, roles, program) if var in roles.loaders else []
    if not isinstance(expr, ast.Subscript):
        return []
    key, _ = expression(expr.slice, frame)
    if not isinstance(key, ast.Constant):
        return []
    found: list[tuple[MakesLoader, Frame]] = []
    for value, place in _values(expr.value, frame, roles):
        match value:
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                held = [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == key.value]
            case ast.DictComp(value=one):
                held = [one]
            case _:
                return []
        if len(held) != 1:
            return []
        fact = fact_of(held[0], place, program) if isinstance(held[0], ast.Call) else None
        inside = [(fact, place)] if isinstance(fact, MakesLoader) else makers_of(held[0], place, roles, program)
        if not inside:
            return []
        found += inside
    return found


def origins(var: Var, roles: Roles) -> dict[Var, list[Definition]]:
    """Variables that a value may come from, the given one among them, each with its definitions that are no name."""
    found: dict[Var, list[Definition]] = {}
    stack = [var]
    while stack:
        one = stack.pop()
        if one in found:  # variables may be bound to each other
            continue
        held = [
            (p, variable(p.value, p.frame) if p.value is not None else None) for p in roles.definitions.get(one, [])
        ]
        found[one] = [p for p, v in held if v is None]
        stack += [v for _, v in reversed(held) if v is not None]
    return found


def _values(expr: ast.expr, frame: Frame, roles: Roles) -> list[tuple[ast.expr, Frame]]:
    """What a variable is bound to, through the parameters that it is handed over by."""
    var = variable(expr, frame)
    if var is None:
        return [(expr, frame)]
    return [(p.value, p.frame) for places in origins(var, roles).values() for p in places if p.value is not None]


def makers(var: Var, roles: Roles, program: Program) -> list[tuple[MakesLoader, Frame]]:
    """The calls that make a loader, with the frames that they stand in; a parameter has those of each caller."""
    found: list[tuple[MakesLoader, Frame]] = []
    for one, places in origins(var, roles).items():
        facts = [(fact_of(p.value, p.frame, program), p.frame) for p in places if isinstance(p.value, ast.Call)]
        made = [(fact, frame) for fact, frame in facts if isinstance(fact, MakesLoader)]
        if not made and one in roles.loaders and (places or not roles.definitions.get(one)):
            made = [(roles.loaders[one], one.frame or program.module)]  # what a function of the script returns
        found += made
    return found


def _oddity(made: MakesLoader, frame: Frame, roles: Roles, program: Program) -> str | None:
    options = {k.arg: k.value for k in made.node.keywords if k.arg}
    own = options.get("generator")
    if own is not None and ast.unparse(own) != "None" and {"shuffle", "sampler", "batch_sampler"} & set(options):
        # samplers draw once more when they are asked for a batch behind the last, which a Trainer never does
        return "draws from a generator of its own, which a loop leaves in another state than a Trainer"
    if may_grow(made, frame, roles, program):
        return "goes over a dataset of changing length, where a Trainer counts the batches once"
    cls = dataset_class(made, frame, roles, program)
    if cls is not None and _streams(cls, program) and not _sized(cls):
        # without a length a Trainer fetches one batch ahead of the step
        return "goes over an IterableDataset without a length, of which a Trainer fetches one batch ahead"
    return None


def may_grow(made: MakesLoader, frame: Frame, roles: Roles, program: Program) -> bool:
    """May the dataset of a loader have another length later than when the loader is made?"""
    cls = dataset_class(made, frame, roles, program)
    if cls is not None:
        return length_varies(cls, program)
    var = variable(made.dataset, frame)
    held = origins(var, roles) if var is not None else {}
    return any(grows_behind(one, made.node, program) for one in held)


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
    found |= containers(roles) & _holding(found, roles, program)
    # parameters that the caller's variables are known by
    found |= {v for v, ps in roles.definitions.items() for p in ps if p.value and variable(p.value, p.frame) in found}
    return frozenset(found)


def unknown_iterables(roles: Roles, program: Program, judge: Judge) -> frozenset[Var]:
    """Variables that something is taken from one by one, and that code out of sight has made: loaders, for all we know.

    Making a loader's iterator draws, and so may its first batch.
    """
    found: set[Var] = set()
    for var, places in roles.definitions.items():
        for place in places:
            value = place.value if place.value is not None else getattr(place.stmt, "value", None)
            if isinstance(value, ast.Call) and judge.of(value, place.frame).unknown:
                found.add(var)
    frames = {id(v.frame): v.frame for v in found if v.frame is not None}
    taken = {n for f in [program.module, *frames.values()] for n in _taken_one_by_one(f.scope)}
    return frozenset(v for v in found if v.name in taken)


def _taken_one_by_one(scope: ast.AST) -> set[str]:
    """Names that something goes through, in a scope and those inside it: by a loop, an unpacking, list() or next()."""
    through: list[ast.expr] = []
    for node in walk(scope):
        match node:
            case ast.For(iter=one) | ast.comprehension(iter=one) | ast.Starred(value=one):
                through.append(one)
            case ast.Assign(targets=[ast.Tuple() | ast.List()], value=ast.Name() as one):
                through.append(one)
            case ast.Call(func=ast.Name(id="iter" | "next" | "list" | "tuple" | "sorted" | "dict" | "set"), args=args):
                through += args
    return {n.id for one in through for n in walk(one) if isinstance(n, ast.Name)}


_CONTAINER = (ast.Dict, ast.DictComp, ast.List, ast.ListComp, ast.Tuple)


def containers(roles: Roles) -> frozenset[Var]:
    """Variables that are nothing but dictionaries, lists and tuples written in the code, or parameters for such."""
    return frozenset(
        v
        for v in roles.definitions
        if (vs := [p.value for ps in origins(v, roles).values() for p in ps])
        and all(isinstance(x, _CONTAINER) for x in vs)
    )


def _holding(data: set[Var], roles: Roles, program: Program) -> frozenset[Var]:
    """Variables whose values mention a loader or dataset, or make a loader."""
    found: set[Var] = set()
    for var, places in roles.definitions.items():
        for place in places:
            for node in _kept_in(place.value) if place.value is not None else ():
                made = isinstance(node, ast.Call) and isinstance(fact_of(node, place.frame, program), MakesLoader)
                if made or (isinstance(node, ast.Name) and place.frame.resolve(node.id) in data):
                    found.add(var)
    return frozenset(found)


def _kept_in(value: ast.expr) -> Iterator[ast.AST]:
    """Parts of an expression that its value may hold: not what it only takes the length of."""
    stack: list[ast.AST] = [value]
    while stack:
        node = stack.pop()
        yield node
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len"):
            stack.extend(children(node))


def dataset_class(made: MakesLoader, frame: Frame, roles: Roles, program: Program) -> ast.ClassDef | None:
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
