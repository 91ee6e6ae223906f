"""What updates the weights: the optimizers and schedulers that a Trainer can take over, and those that it cannot.

An optimizer is known when everything that may have made it by the time the loops start is a class of ``torch.optim``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from torchlift_convert import facts as F
from torchlift_convert.callers import Callers
from torchlift_convert.definitions import Definition, add_definitions, nest_items, variable
from torchlift_convert.kept import walk
from torchlift_convert.making import Made, Makers
from torchlift_convert.names import own_nodes, parameters
from torchlift_convert.nest import Nest
from torchlift_convert.program import Frame, Item, Program, Var, flow_over
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.reserved import plain_name
from torchlift_convert.surroundings import elsewhere, made_elsewhere
from torchlift_convert.syntax import walk_statements
from torchlift_convert.tracing import Tracer
from torchlift_convert.trained import is_parameters


@dataclass(frozen=True, eq=False)
class Updaters:
    """``handed``: optimizers and schedulers that exist before the module is made, and are given to it. ``held``: what
    updates the weights in a way that no Trainer knows; ``odd``: one of these, and why. ``unsure``: those of them that
    may not even be bound.
    """

    optimizers: dict[Var, tuple[Made, ...]]
    schedulers: dict[Var, F.MakesScheduler | None]
    handed: frozenset[Var]
    held: frozenset[Var]
    unsure: frozenset[Var]
    odd: str | None
    company: frozenset[Var]  # what a statement that makes one of these binds besides: parameters may be in there
    inner: list[Frame]  # activations of functions that make optimizers
    stand_ins: dict[Var, Var]  # variables of these, and what the loops know them by


@dataclass(eq=False)
class _Search:
    program: Program
    nest: Nest
    callers: Callers
    defs: dict[Var, list[Definition]]
    tracer: Tracer

    def __post_init__(self) -> None:
        self.makers = Makers(self.program)
        self.home = self.nest.home
        self.rebound = flow_over(nest_items(self.nest)).may
        self.needed = self._needed()

    def made(self, var: Var) -> tuple[Made, ...]:
        """All calls that may have made what a variable holds when the loops start; empty when that is not known."""
        if var.owned and var not in self.rebound:
            return self.tracer.facts(var) if var in self.needed or not _maybe_none(self.tracer.places(var)) else ()
        if var.frame not in (self.home, self.program.module) or var in self.rebound:
            return ()
        name = ast.Name(var.name, ast.Load())
        found = self.makers.of(name, self.home, self.nest.outer, never_none=var in self.needed)
        return found or (self._given(var) if self.is_parameter(var) else ())

    def _needed(self) -> set[Var | None]:
        """Variables whose step runs in every batch: the script itself stops where they hold nothing."""
        needed: set[Var | None] = set()
        for item in nest_items(self.nest):
            if isinstance(item.stmt, ast.Expr) and isinstance(item.stmt.value, ast.Call):
                fact = fact_of(item.stmt.value, item.frame, self.program)
                if isinstance(fact, F.Step):
                    needed |= {variable(e, item.frame) for e in (fact.receiver, *fact.node.args)}
        return needed

    def is_parameter(self, var: Var) -> bool:
        scope = self.home.scope
        return var.frame is self.home and not isinstance(scope, ast.Module) and var.name in parameters(scope.args)

    def _given(self, var: Var) -> tuple[Made, ...]:
        """What makes a parameter of the home function, at each of its calls."""
        sites = self.callers.sites if self.callers.complete else ()
        bound = any(d.stmt is not self.home.scope for d in self.defs.get(var, []))
        if bound or any(var.name not in site.arguments for site in sites):
            return ()
        given = [self.makers.of(*site.arguments[var.name], site.stmt) for site in sites]
        return tuple(made for one in given for made in one) if all(given) else ()

    def of_kind(self, kind: type[F.Fact], among: set[Var]) -> dict[Var, tuple[Made, ...]]:
        """Variables of the home function, and others of ``among``, that are surely made by calls of a kind."""
        names = {*self.defs, *among}
        found = {v: self.made(v) for v in names if v.frame is self.home or v in among}
        known = {v: made for v, made in found.items() if made and all(isinstance(m.fact, kind) for m in made)}
        order = list(self.defs)
        return dict(sorted(known.items(), key=lambda pair: order.index(pair[0]) if pair[0] in order else -1))

    def maybe(self, kind: type[F.Fact], among: set[Var]) -> set[Var]:
        """Variables that some statement binds to what such a call makes."""
        return {
            v
            for v, places in self.defs.items()
            if (v.frame is self.home or v in among)
            and any(isinstance(d.value, ast.Call) and isinstance(self._fact(d), kind) for d in places)
        }

    def unsure(self, optimizers: set[Var]) -> set[Var]:
        """Optimizers that may not be bound, where the loops can do without: no step of theirs runs in any case."""
        sure = flow_over([Item(s, self.home) for s in self.nest.pre]).must
        around = {s for i in elsewhere(self.nest) for s in walk_statements([i.stmt])}
        own = {v for v in optimizers if v.frame is self.home and not self.is_parameter(v)}
        away = {v for v in own if any(d.stmt in around for d in self.defs.get(v, []))}
        return own - sure - self.needed - away

    def _fact(self, place: Definition) -> F.Fact | None:
        return fact_of(place.value, place.frame, self.program) if isinstance(place.value, ast.Call) else None


def updaters(
    program: Program, nest: Nest, callers: Callers, defs: dict[Var, list[Definition]], tracer: Tracer
) -> Updaters:
    """Read which variables update the weights."""
    search = _Search(program, nest, callers, defs, tracer)
    stepped, zeroed, through = _used(program, nest)
    parts = _stepped_parts(program, nest, defs)
    optimizers = search.of_kind(F.MakesOptimizer, stepped | zeroed | through)
    unsure = search.unsure(set(optimizers))
    optimizers = {v: made for v, made in optimizers.items() if v not in unsure}
    odd = (search.maybe(F.MakesOptimizer, stepped | zeroed) | (stepped | through) & zeroed) - set(optimizers)
    made = search.of_kind(F.MakesScheduler, stepped)
    schedulers: dict[Var, F.MakesScheduler | None] = {v: _one_fact(m) for v, m in made.items()}
    maybe = search.maybe(F.MakesScheduler, stepped)
    for var in stepped - zeroed - set(optimizers) - set(schedulers):
        if var in maybe or _takes(defs.get(var, []), {*optimizers, *odd}):
            schedulers[var] = None
    if odd or not (stepped | through) & set(optimizers):
        others = _made_with_parameters(defs, {*optimizers, *odd})
        held = frozenset({*optimizers, *schedulers, *odd, *others, *parts})
        why = _why(odd, unsure, defs) or _why_parts(parts)
        return Updaters({}, {}, frozenset(), held, frozenset(unsure), why, frozenset(), [], {})
    for frame in search.makers.frames:
        add_definitions(defs, frame)
    taken = {*optimizers, *schedulers}
    handed = {v for v in taken if v.frame is not nest.home or search.is_parameter(v)}
    handed |= {v for v in taken if made_elsewhere(nest, v, (d.stmt for d in defs.get(v, [])))}
    return Updaters(
        optimizers,
        schedulers,
        frozenset(handed),
        frozenset(),
        frozenset(),
        None,
        _company(taken, defs),
        search.makers.frames,
        _stand_ins(search.makers, defs),
    )


def _used(program: Program, nest: Nest) -> tuple[set[Var], set[Var], set[Var]]:
    """Variables whose ``step`` or ``zero_grad`` is called in the loops, and those that such a step is given."""
    stepped: set[Var] = set()
    zeroed: set[Var] = set()
    through: set[Var] = set()
    for item in nest_items(nest):
        for fact in facts_of(item.stmt, item.frame, program):
            if isinstance(fact, (F.Step, F.ZeroGrad)):
                var = variable(fact.receiver, item.frame)
                if var is not None:
                    (stepped if isinstance(fact, F.Step) else zeroed).add(var)
            if isinstance(fact, F.Step):
                through |= {v for a in fact.node.args if (v := variable(a, item.frame)) is not None}
    return stepped, zeroed, through


def _stepped_parts(program: Program, nest: Nest, defs: dict[Var, list[Definition]]) -> set[Var]:
    """Variables for what holds an optimizer that the loops step: ``opts[0].step()``, ``net.optimizer.step()``."""
    found: set[Var] = set()
    for item in nest_items(nest):
        for fact in facts_of(item.stmt, item.frame, program):
            part = fact.receiver if isinstance(fact, F.Step) else None
            if not isinstance(part, (ast.Attribute, ast.Subscript)):
                continue
            attributes = {n.attr for n in ast.walk(part) if isinstance(n, ast.Attribute)}
            while isinstance(part, (ast.Attribute, ast.Subscript)):
                part = part.value
            var = variable(part, item.frame)
            values = [(d.value, d.frame) for d in defs.get(var, []) if d.value is not None] if var is not None else []
            values += _given_to_attributes(program, attributes)
            values += _put_into(program, var) if var is not None else []
            if var is not None and any(_makes_inside(v, f, program) for v, f in values):
                found.add(var)
    return found


def _given_to_attributes(program: Program, attributes: set[str]) -> Iterator[tuple[ast.expr, Frame]]:
    """What the script gives to attributes of these names."""
    for frame in program.frames.values():
        for node in own_nodes(frame.scope):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Attribute) and t.attr in attributes for t in targets
            ):
                yield node.value, frame


def _put_into(program: Program, var: Var) -> Iterator[tuple[ast.expr, Frame]]:
    """What the script puts into a container: ``opts.append(...)``, ``opts["g"] = ...``."""
    for frame in program.frames.values():
        for node in own_nodes(frame.scope):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name() as owner), args=[*_, value]):
                    if variable(owner, frame) == var:
                        yield value, frame
                case ast.Assign(targets=[ast.Subscript(value=ast.Name() as owner)], value=value):
                    if variable(owner, frame) == var:
                        yield value, frame


def _makes_inside(value: ast.expr, frame: Frame, program: Program) -> bool:
    calls = [n for n in ast.walk(value) if isinstance(n, ast.Call)]
    return any(isinstance(fact_of(c, frame, program), F.MakesOptimizer) for c in calls)


def _why_parts(parts: set[Var]) -> str | None:
    """Why the Trainer cannot step what something else holds."""
    name = min((v.name for v in parts), default=None)
    return None if name is None else f"what steps is a part of '{plain_name(name)}'"


def _one_fact(made: tuple[Made, ...]) -> F.MakesScheduler:
    """One fact for all: a plateau's, when one of them is."""
    facts = [m.fact for m in made if isinstance(m.fact, F.MakesScheduler)]
    return next((f for f in facts if f.plateau), facts[0])


def _takes(places: list[Definition], optimizers: set[Var]) -> bool:
    """Is a variable bound to a call that is given an optimizer?"""
    for place in places:
        if isinstance(place.value, ast.Call):
            arguments = [*place.value.args, *(k.value for k in place.value.keywords)]
            if any(variable(a, place.frame) in optimizers for a in arguments):
                return True
    return False


def _made_with_parameters(defs: dict[Var, list[Definition]], known: set[Var]) -> set[Var]:
    """Variables bound to calls that take ``parameters()``, or something that was made so."""
    found = set(known)
    grown = True
    while grown:
        grown = False
        for var, places in defs.items():
            if var not in found and any(_given_parameters(d, found) for d in places):
                found.add(var)
                grown = True
    return found


def _given_parameters(place: Definition, known: set[Var]) -> bool:
    if not isinstance(place.value, ast.Call):
        return False
    for one in [*place.value.args, *(k.value for k in place.value.keywords)]:
        if variable(one, place.frame) in known or any(is_parameters(n) for n in walk(one)):
            return True
    return False


def _company(taken: set[Var], defs: dict[Var, list[Definition]]) -> frozenset[Var]:
    """Variables that the same assignment binds as one of these."""
    stmts = {d.stmt for v in taken for d in defs.get(v, []) if isinstance(d.stmt, ast.Assign)}
    return frozenset(v for v, places in defs.items() if any(d.stmt in stmts for d in places)) - taken


def _stand_ins(makers: Makers, defs: dict[Var, list[Definition]]) -> dict[Var, Var]:
    """Of functions that make optimizers, the variables whose objects are returned, and what the caller calls them."""
    found: dict[Var, Var] = {}
    assigns = {id(d.stmt.value): d for places in defs.values() for d in places if isinstance(d.stmt, ast.Assign)}
    for frame in makers.frames:
        place = assigns.get(id(makers.entered[id(frame)]))
        match place:
            case Definition(stmt=ast.Assign(targets=[ast.Tuple(elts=targets) | ast.List(elts=targets)])):
                for returned, _ in makers.returns(frame):
                    parts = returned.elts if isinstance(returned, (ast.Tuple, ast.List)) else []
                    for one, part in zip(targets, parts, strict=False):
                        if isinstance(one, ast.Name) and isinstance(part, ast.Name):
                            found[frame.resolve(part.id)] = place.frame.resolve(one.id)
    return found


def _maybe_none(places: list[Definition]) -> bool:
    return any(isinstance(d.value, ast.Constant) and d.value.value is None for d in places)


def _why(odd: set[Var], unsure: set[Var], defs: dict[Var, list[Definition]]) -> str | None:
    """Why the Trainer cannot step one of these."""
    if not odd:
        return None
    var = min(odd, key=lambda v: v.order)
    if var in unsure:
        return f"'{var.name}' may not be made"
    if _maybe_none(defs.get(var, [])):
        return f"'{var.name}' may be None"
    return f"'{var.name}' is not surely an optimizer of torch.optim"
