"""What each variable is for: its role comes from what it is made from and what is done to it, not from its name."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert import facts as F
from torchlift_convert.callers import Callers, callers_of
from torchlift_convert.definitions import Definition as Definition
from torchlift_convert.definitions import add_definitions as add_definitions
from torchlift_convert.definitions import assigned as assigned
from torchlift_convert.definitions import definitions, entering
from torchlift_convert.definitions import expression as expression
from torchlift_convert.definitions import nest_items as nest_items
from torchlift_convert.definitions import variable as variable
from torchlift_convert.kept import walk
from torchlift_convert.making import Made
from torchlift_convert.names import own_nodes
from torchlift_convert.nest import Nest
from torchlift_convert.program import Frame, Program, Var
from torchlift_convert.recognisers import fact_of
from torchlift_convert.scopes import walk_statements_of_scope
from torchlift_convert.syntax import nodes_of
from torchlift_convert.tracing import Tracer
from torchlift_convert.trained import Seed, seeds_of, trained_models, trained_tensors
from torchlift_convert.updating import updaters


@dataclass(frozen=True, eq=False)
class Roles:
    """Variables by role. ``tensors`` are what an optimizer is made from besides models: tensors as in ``SGD([w], lr)``,
    parts of models, lists of parameters. ``handed``: optimizers and schedulers that exist before the module does.
    ``held``: what updates the weights in a way that no Trainer knows; it stays an object of the script, as do all
    optimizers and schedulers then. ``odd``: one of these, and why. ``unsure``: those that may not be bound.
    """

    definitions: dict[Var, list[Definition]]
    optimizers: dict[Var, tuple[Made, ...]]
    schedulers: dict[Var, F.MakesScheduler | None]
    models: tuple[Var, ...]
    losses: frozenset[Var]
    loaders: dict[Var, F.MakesLoader]
    devices: frozenset[Var]
    namespaces: frozenset[Var]
    bars: frozenset[Var]
    handed: frozenset[Var] = field(default=frozenset())
    held: frozenset[Var] = field(default=frozenset())
    unsure: frozenset[Var] = field(default=frozenset())
    odd: str | None = None
    tensors: frozenset[Var] = field(default=frozenset())
    scalers: frozenset[Var] = field(default=frozenset())
    all_models: bool = False  # no model is trained besides ``models``

    @property
    def trained(self) -> frozenset[Var]:
        """Everything that a step of an optimizer or scheduler changes."""
        trained = {*self.models, *self.optimizers, *self.schedulers, *self.held, *self.tensors, *self.scalers}
        return frozenset(trained)

    def is_state_of_training(self, var: Var) -> bool:
        return var in self.trained


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

    returned = _returned_loaders(program, defs)
    tracer = Tracer(program, defs)
    handed = _handed(program, nest.home, callers, defs, returned) | _owned(program, defs, tracer)
    found = updaters(program, nest, callers, defs, tracer)
    met = entering(nest, defs)
    seeds = seeds_of(nest, met, found.optimizers, found.held)
    stand_ins = _stand_ins(nest.home, callers) | found.stand_ins | _attributes_for(nest, defs, seeds, tracer)
    models, every = trained_models(met, seeds, {*found.optimizers, *found.held}, stand_ins, found.inner)
    namespaces = frozenset(made_by(F.MakesNamespace))
    tensors = trained_tensors(program, met, found.optimizers, stand_ins, namespaces) | found.company
    return Roles(
        definitions=defs,
        optimizers=found.optimizers,
        schedulers=found.schedulers,
        models=models,
        losses=frozenset(made_by(F.MakesLoss)),
        loaders={v: f for v, f in (made_by(F.MakesLoader) | handed).items() if isinstance(f, F.MakesLoader)} | returned,
        devices=_devices(program, nest, defs, frozenset(made_by(F.MakesDevice)), tracer),
        namespaces=namespaces,
        bars=frozenset(made_by(F.Bar)),
        handed=found.handed,
        held=found.held - set(models),
        unsure=found.unsure,
        odd=found.odd,
        tensors=tensors - set(models),
        all_models=every and bool(found.optimizers),
        scalers=frozenset(v for v, f in (made_by(F.MakesScaler) | handed).items() if isinstance(f, F.MakesScaler)),
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
    """Parameters of the home function that are a loader or a scaler at each of its calls."""
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
        if len(kinds) == 1 and kinds <= {F.MakesLoader, F.MakesScaler}:
            assert made[0] is not None
            found[var] = made[0]
    return found


def _owned(program: Program, defs: dict[Var, list[Definition]], tracer: Tracer) -> dict[Var, F.Fact]:
    """Attributes of the script's object that hold a loader or a scaler wherever they are set."""
    found: dict[Var, F.Fact] = {}
    for var in [v for v in defs if v.owned]:
        made = tracer.facts(var)
        if len({type(m.fact) for m in made}) == 1 and isinstance(made[0].fact, F.MakesLoader | F.MakesScaler):
            found[var] = made[0].fact
    return found


def _attributes_for(nest: Nest, defs: dict[Var, list[Definition]], seeds: list[Seed], tracer: Tracer) -> dict[Var, Var]:
    """Variables whose object an attribute of the script's object holds, where the loops speak of that alone."""
    spoken = {i.frame.resolve(n.id) for i in nest_items(nest) for n in walk(i.stmt) if isinstance(n, ast.Name)}
    owned = {made: v for v in defs if v.owned and v in spoken and (made := tracer.made(v)) is not None}
    if not owned:
        return {}
    named = [(f.resolve(n.id)) for code, f in seeds for n in walk(code) if isinstance(n, ast.Name)]
    others = [v for v in dict.fromkeys([*defs, *named]) if not v.owned and v not in spoken]
    return {v: owned[made] for v in others if (made := tracer.made(v)) in owned and made is not None}


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


def _devices(
    program: Program, nest: Nest, defs: dict[Var, list[Definition]], made: frozenset[Var], tracer: Tracer
) -> frozenset[Var]:
    """Variables made by torch.device, and those that tensors are moved to."""
    found = set(made)
    places = [(s, nest.home) for s in walk_statements_of_scope(nest.home.scope.body)]
    places += [(i.stmt, i.frame) for i in nest_items(nest)]
    for stmt, frame in places:
        for node in nodes_of(stmt):
            fact = fact_of(node, frame, program) if isinstance(node, ast.Call) else None
            if isinstance(fact, F.Move) and fact.device is not None:
                var = variable(fact.device, frame)
                if var is None or not defs.get(var):
                    continue
                if var.owned:
                    texts = [s is not None and _names_device(*s, defs, program) for s in tracer.sources(var)]
                else:
                    texts = [_names_device(d.value, d.frame, defs, program) for d in defs[var] if not d.unseen]
                if all(texts):
                    found.add(var)
    return frozenset(found)


def _names_device(
    value: ast.expr | None, frame: Frame, defs: dict[Var, list[Definition]], program: Program, depth: int = 0
) -> bool:
    """Is it a device, a text that names one, or a variable that is nothing else wherever it is handed over?"""
    match value:
        case ast.Constant(value=str()) | ast.JoinedStr() | ast.BinOp(left=ast.Constant(value=str())):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str()), attr="format")):
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return all(_names_device(one, frame, defs, program, depth) for one in (body, orelse))
        case ast.Name():
            var = variable(value, frame)
            places = defs.get(var, []) if var is not None and depth < 8 else []
            seen = [p for p in places if not p.unseen]
            return bool(seen) and all(_names_device(p.value, p.frame, defs, program, depth + 1) for p in seen)
        case ast.Call():
            return isinstance(fact_of(value, frame, program), F.MakesDevice)
    return False
