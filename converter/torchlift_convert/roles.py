"""What each variable is for: its role comes from what it is made from and what is done to it, not from its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from torchlift_convert import facts as F
from torchlift_convert.callers import Callers, callers_of, defaults_of
from torchlift_convert.carriers import carriers
from torchlift_convert.names import own_nodes
from torchlift_convert.nest import Nest
from torchlift_convert.program import Bound, Frame, Item, Program, Var, flow_over, walk_statements_of_scope
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.surroundings import elsewhere, made_elsewhere
from torchlift_convert.syntax import nodes_of, walk_statements


@dataclass(frozen=True, eq=False)
class Definition:
    """One place where a variable is bound. ``value`` is None when it is not a plain assignment to that name alone."""

    stmt: ast.stmt
    value: ast.expr | None
    frame: Frame


@dataclass(frozen=True, eq=False)
class Roles:
    """Variables by role. An optimizer that the script's own class makes is in ``foreign`` too; ``tensors`` are what an
    optimizer is made from besides models: tensors as in ``SGD([w], lr)``, parts of models, lists of parameters.
    ``handed``: optimizers and schedulers that are parameters of the function with the loops.
    """

    definitions: dict[Var, list[Definition]]
    optimizers: dict[Var, F.MakesOptimizer | None]
    schedulers: dict[Var, F.MakesScheduler | None]
    models: tuple[Var, ...]
    losses: frozenset[Var]
    loaders: dict[Var, F.MakesLoader]
    devices: frozenset[Var]
    namespaces: frozenset[Var]
    bars: frozenset[Var]
    foreign: frozenset[Var] = field(default=frozenset())
    handed: frozenset[Var] = field(default=frozenset())
    tensors: frozenset[Var] = field(default=frozenset())
    scalers: frozenset[Var] = field(default=frozenset())

    @property
    def trained(self) -> frozenset[Var]:
        """Everything that a step of an optimizer or scheduler changes."""
        return frozenset({*self.models, *self.optimizers, *self.schedulers, *self.tensors, *self.scalers})

    def is_state_of_training(self, var: Var) -> bool:
        return var in self.trained


def variable(expr: ast.expr, frame: Frame) -> Var | None:
    """The variable that an expression names, through parameters that stand for it."""
    if not isinstance(expr, ast.Name):
        return None
    bound = frame.alias(expr.id)
    return variable(bound.expr, bound.frame) if bound else frame.resolve(expr.id)


def expression(expr: ast.expr, frame: Frame) -> tuple[ast.expr, Frame]:
    """The caller's expression behind a parameter, or the expression itself."""
    if isinstance(expr, ast.Name):
        bound: Bound | None = frame.alias(expr.id)
        if bound is not None:
            return expression(bound.expr, bound.frame)
    return expr, frame


def nest_items(nest: Nest) -> list[Item]:
    return [*nest.before, *nest.body, *nest.after]


def assigned(stmt: ast.stmt, frame: Frame) -> Iterator[tuple[Var, ast.expr | None]]:
    """Variables that one statement (not those inside it) binds, with the value when it is bound to that alone."""
    match stmt:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield frame.resolve(target.id), value
                elif (
                    isinstance(target, ast.Tuple)
                    and isinstance(value, ast.Tuple)
                    and len(target.elts) == len(value.elts)
                ):
                    for one, part in zip(target.elts, value.elts, strict=True):
                        if isinstance(one, ast.Name):
                            yield frame.resolve(one.id), part
                else:
                    for node in ast.walk(target):
                        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                            yield frame.resolve(node.id), None
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            yield frame.resolve(name), value
        case ast.AugAssign(target=ast.Name(id=name)):
            yield frame.resolve(name), None
        case ast.For(target=target):
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    yield frame.resolve(node.id), None
        case ast.With(items=items):
            for item in items:
                if isinstance(item.optional_vars, ast.Name):
                    yield frame.resolve(item.optional_vars.id), item.context_expr


def definitions(program: Program, nest: Nest, callers: Callers) -> dict[Var, list[Definition]]:
    """Where variables of the module, the home scope, its callers and the followed functions are bound."""
    found: dict[Var, list[Definition]] = {}
    frames = {id(f): f for f in [program.module, nest.home, *(i.frame.base for i in nest_items(nest))]}
    for frame in frames.values():
        add_definitions(found, frame)
    around = {s for i in elsewhere(nest) for s in walk_statements([i.stmt])}
    for var in flow_over([Item(s, nest.home) for s in nest.pre]).must if around else ():  # they are bound anew
        found[var] = [d for d in found.get(var, []) if d.stmt not in around]
    scope = nest.home.scope
    if not isinstance(scope, ast.Module):
        given = [defaults_of(scope, program), *(site.arguments for site in callers.sites)]
        for frame in {id(f): f for one in given for _, f in one.values()}.values():
            if id(frame) not in frames:
                add_definitions(found, frame)
        for name, (value, frame) in (pair for one in given for pair in one.items()):
            found.setdefault(nest.home.resolve(name), []).append(Definition(scope, value, frame))
    return found


def add_definitions(found: dict[Var, list[Definition]], frame: Frame) -> None:
    """Add the places where a frame's statements bind variables."""
    for stmt in walk_statements_of_scope(frame.scope.body):
        for var, value in assigned(stmt, frame):
            found.setdefault(var, []).append(Definition(stmt, value, frame))


def assign_roles(program: Program, nest: Nest) -> Roles:
    """Read the roles of the script's variables."""
    scope = nest.home.scope
    callers = Callers((), False) if isinstance(scope, ast.Module) else callers_of(scope, program)
    defs = definitions(program, nest, callers)

    def made_by(kind: type[F.Fact]) -> dict[Var, F.Fact]:
        out: dict[Var, F.Fact] = {}
        for var, places in defs.items():
            for place in places:
                fact = fact_of(place.value, place.frame, program) if isinstance(place.value, ast.Call) else None
                if isinstance(fact, kind):
                    out[var] = fact
        return out

    stepped: set[Var] = set()
    zeroed: set[Var] = set()
    told: set[Var] = set()  # what a step is given
    for item in nest_items(nest):
        for fact in facts_of(item.stmt, item.frame, program):
            if isinstance(fact, (F.Step, F.ZeroGrad)):
                var = variable(fact.receiver, item.frame)
                if var is not None:
                    (stepped if isinstance(fact, F.Step) else zeroed).add(var)
                if isinstance(fact, F.Step):  # ``scaler.step(optimizer)``
                    given = (variable(a, item.frame) for a in fact.node.args)
                    told |= {v for v in given if v is not None}
    returned = _returned_loaders(program, defs)
    handed = _handed(program, nest.home, callers, defs, returned)
    optimizers: dict[Var, F.MakesOptimizer | None] = {}
    for var, fact in (made_by(F.MakesOptimizer) | handed).items():
        if isinstance(fact, F.MakesOptimizer) and (var.frame is nest.home or var in stepped | zeroed | told):
            optimizers[var] = fact
    foreign = {v for v in stepped & zeroed if v not in optimizers}
    schedulers: dict[Var, F.MakesScheduler | None] = {}
    for var, fact in (made_by(F.MakesScheduler) | handed).items():
        if isinstance(fact, F.MakesScheduler) and (var.frame is nest.home or var in stepped):
            schedulers[var] = fact
    for var in stepped - zeroed - set(optimizers) - set(schedulers):
        if _takes_optimizer(defs.get(var, []), set(optimizers) | foreign):
            schedulers[var] = None
    optimizers |= dict.fromkeys(foreign, None)
    made = {v: f for v, f in {**optimizers, **schedulers}.items() if f is not None}
    handed |= {v: f for v, f in made.items() if made_elsewhere(nest, v, (d.stmt for d in defs.get(v, [])))}
    models = _models(defs, optimizers, _stand_ins(nest.home, callers))
    return Roles(
        definitions=defs,
        optimizers=optimizers,
        schedulers=schedulers,
        models=models,
        losses=frozenset(made_by(F.MakesLoss)),
        loaders={v: f for v, f in (made_by(F.MakesLoader) | handed).items() if isinstance(f, F.MakesLoader)} | returned,
        devices=_devices(program, nest, defs, frozenset(made_by(F.MakesDevice))),
        namespaces=frozenset(made_by(F.MakesNamespace)),
        bars=frozenset(made_by(F.Bar)),
        foreign=frozenset(foreign),
        handed=frozenset(v for v, f in handed.items() if isinstance(f, F.MakesOptimizer | F.MakesScheduler)),
        scalers=frozenset(v for v, f in (made_by(F.MakesScaler) | handed).items() if isinstance(f, F.MakesScaler)),
        tensors=_tensors(program, defs, optimizers, frozenset(made_by(F.MakesNamespace))) - set(models),
    )


def _returned_loaders(program: Program, defs: dict[Var, list[Definition]]) -> dict[Var, F.MakesLoader]:
    """``train, test = make_loaders()``: the DataLoaders that a function of the script returns, one by one."""
    found: dict[Var, F.MakesLoader] = {}
    for places in list(defs.values()):
        for place in places:
            match place.stmt:
                case ast.Assign(targets=[target], value=ast.Call(func=ast.Name(id=name))):
                    function = place.frame.function(name)
                    if function is None:
                        continue
                    inner = Frame(*function)
                    returns = [n for n in own_nodes(function[0]) if isinstance(n, ast.Return) and n.value is not None]
                    targets = target.elts if isinstance(target, ast.Tuple) else [target]
                    if len(returns) != 1:
                        continue
                    value = returns[0].value
                    values = value.elts if isinstance(value, ast.Tuple) and isinstance(target, ast.Tuple) else [value]
                    for one, made in zip(targets, values, strict=False):
                        fact = _loader_made(made, inner, program)
                        if isinstance(one, ast.Name) and fact is not None:
                            found[place.frame.resolve(one.id)] = fact
    return found


def _loader_made(value: ast.expr | None, frame: Frame, program: Program) -> F.MakesLoader | None:
    if isinstance(value, ast.Name):
        local: dict[Var, list[Definition]] = {}
        add_definitions(local, frame)
        made = [d.value for d in local.get(frame.resolve(value.id), [])]
        value = made[0] if len(made) == 1 else None
    fact = fact_of(value, frame, program) if isinstance(value, ast.Call) else None
    return fact if isinstance(fact, F.MakesLoader) else None


def _handed(
    program: Program,
    home: Frame,
    callers: Callers,
    defs: dict[Var, list[Definition]],
    returned: dict[Var, F.MakesLoader],
) -> dict[Var, F.Fact]:
    """Parameters of the home function that are an optimizer, a scheduler or a loader at each of its calls."""
    found: dict[Var, F.Fact] = {}
    if not callers.complete:
        return found
    for name in set[str]().union(*(site.arguments for site in callers.sites)):
        var = home.resolve(name)
        if any(d.stmt is not home.scope for d in defs.get(var, [])) or any(
            name not in s.arguments for s in callers.sites
        ):
            continue
        given = [site.arguments[name] for site in callers.sites]
        made = [_made(*one, program, defs) or returned.get(variable(*one) or var) for one in given]
        kinds = {type(one) for one in made}
        if len(kinds) == 1 and kinds <= {F.MakesOptimizer, F.MakesScheduler, F.MakesLoader, F.MakesScaler}:
            assert made[0] is not None
            found[var] = made[0]
    return found


def _made(value: ast.expr, frame: Frame, program: Program, defs: dict[Var, list[Definition]]) -> F.Fact | None:
    """What makes a value: the call itself, or the one that the variable is bound to."""
    var = variable(value, frame)
    if var is not None:
        places = defs.get(var, [])
        if len(places) != 1 or places[0].value is None:
            return None
        value, frame = places[0].value, places[0].frame
    return fact_of(value, frame, program) if isinstance(value, ast.Call) else None


def _stand_ins(home: Frame, callers: Callers) -> dict[Var, Var]:
    """Variables of the callers, and the parameters of the home function that they are handed to."""
    found: dict[Var, Var] = {}
    for site in callers.sites:
        for name, (value, frame) in site.arguments.items():
            var = variable(value, frame)
            if var is not None:
                found[var] = home.resolve(name)
    return found


def _takes_optimizer(places: list[Definition], optimizers: set[Var]) -> bool:
    for place in places:
        if isinstance(place.value, ast.Call):
            arguments = [*place.value.args, *(k.value for k in place.value.keywords)]
            if any(variable(a, place.frame) in optimizers for a in arguments):
                return True
    return False


def _models(
    defs: dict[Var, list[Definition]], optimizers: dict[Var, F.MakesOptimizer | None], stand_ins: dict[Var, Var]
) -> tuple[Var, ...]:
    """Variables whose ``parameters()`` reach an optimizer, in the order of their definitions.

    ``stand_ins``: what the loops know a caller's variable by.
    """
    found: dict[Var, None] = {}
    seen: set[Var] = set()
    stack = [d for v in optimizers for d in defs.get(v, [])]
    while stack:
        place = stack.pop()
        if place.value is None:
            continue
        for node in ast.walk(place.value):
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr="parameters" | "named_parameters")):
                    var = _whole(owner, place.frame, defs)
                    var = stand_ins.get(var, var) if var is not None else None
                    if var is not None and var in defs:
                        found[var] = None
                case ast.Name(id=name, ctx=ast.Load()):
                    var = place.frame.resolve(name)
                    if var in defs and var not in seen and var not in optimizers:
                        seen.add(var)
                        stack += [d for d in defs[var] if not isinstance(d.stmt, ast.For)]
    order = {v: min(d.stmt.lineno for d in defs[v]) for v in found}
    return tuple(sorted(found, key=order.__getitem__))


def _whole(part: ast.expr, frame: Frame, defs: dict[Var, list[Definition]]) -> Var | None:
    """The variable of the module that ``model.head`` or ``layers[0]`` is a part of, through a name for the part."""
    while isinstance(part, (ast.Attribute, ast.Subscript)):
        part = part.value
    var = variable(part, frame)
    places = defs.get(var, []) if var is not None else []
    if len(places) == 1 and isinstance(places[0].value, (ast.Attribute, ast.Subscript)):
        return _whole(places[0].value, places[0].frame, defs)
    return var


def _tensors(
    program: Program,
    defs: dict[Var, list[Definition]],
    optimizers: dict[Var, F.MakesOptimizer | None],
    options: frozenset[Var],
) -> frozenset[Var]:
    """Variables through which what an optimizer updates may be reached; the script's options are no way to it."""
    found: set[Var] = set()
    stack: list[tuple[ast.expr, Frame]] = []
    for var, made in optimizers.items():
        given = [k.value for k in made.node.keywords if k.arg == "params"] + made.node.args[:1] if made else []
        stack += [(one, place.frame) for place in defs.get(var, []) for one in given]
    while stack:
        expr, frame = stack.pop()
        for name in carriers(expr, frame, program):
            reached = variable(name, frame)
            places = defs.get(reached, []) if reached is not None else []
            if reached is None or reached in found | options or all(isinstance(p.value, ast.Constant) for p in places):
                continue
            found.add(reached)
            stack += [(p.value, p.frame) for p in places if p.value is not None]
    return frozenset(found)


def _devices(program: Program, nest: Nest, defs: dict[Var, list[Definition]], made: frozenset[Var]) -> frozenset[Var]:
    """Variables made by torch.device, and those that tensors are moved to."""
    found = set(made)
    places = [(s, nest.home) for s in walk_statements_of_scope(nest.home.scope.body)]
    places += [(i.stmt, i.frame) for i in nest_items(nest)]
    for stmt, frame in places:
        for node in nodes_of(stmt):
            fact = fact_of(node, frame, program) if isinstance(node, ast.Call) else None
            if isinstance(fact, F.Move) and fact.device is not None:
                var = variable(fact.device, frame)
                if var is not None and all(_is_text_or_device(d.value, d.frame, program) for d in defs.get(var, [])):
                    if defs.get(var):
                        found.add(var)
    return frozenset(found)


def _is_text_or_device(value: ast.expr | None, frame: Frame, program: Program) -> bool:
    match value:
        case ast.Constant(value=str()):
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return _is_text_or_device(body, frame, program) and _is_text_or_device(orelse, frame, program)
        case ast.Call():
            return isinstance(fact_of(value, frame, program), F.MakesDevice)
    return False
