"""Where a value comes from: through names bound once, parameters, what functions return, and moves to a device."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert import facts as F
from torchlift_convert.definitions import Definition, add_definitions
from torchlift_convert.making import Made
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, Program, Var
from torchlift_convert.recognisers import fact_of
from torchlift_convert.scopes import globals_bound_in

Source = tuple[ast.expr, Frame]


@dataclass(eq=False)
class Tracer:
    """Follows values back as far as one way leads there."""

    program: Program
    definitions: dict[Var, list[Definition]]
    _own: dict[Var, list[Definition]] = field(default_factory=dict)  # of functions that the loops do not run in
    _read: set[int] = field(default_factory=set)

    def source(self, value: ast.expr, frame: Frame) -> Source:
        """The expression that makes a value, as far back as it can be followed."""
        for _ in range(24):
            further = self._back(value, frame)
            if further is None:
                break
            value, frame = further
        return value, frame

    def sources(self, var: Var) -> list[Source | None]:
        """What each definition of a variable makes it from; None for one that is no plain value. ``None`` is none."""
        places = [p for p in self.places(var) if not (isinstance(p.value, ast.Constant) and p.value.value is None)]
        return [self._source_of(p, var) for p in places]

    def made(self, var: Var) -> ast.expr | None:
        """The one call that makes what a variable holds."""
        found = self.sources(var)
        one = found[0] if len(found) == 1 else None
        return one[0] if one is not None and isinstance(one[0], ast.Call) else None

    def facts(self, var: Var) -> tuple[Made, ...]:
        """The calls that make what a variable holds, each of a kind that is known; empty when one is not."""
        found: list[Made] = []
        for source in self.sources(var):
            value, frame = source or (None, self.program.module)
            fact = fact_of(value, frame, self.program) if isinstance(value, ast.Call) else None
            if fact is None:
                return ()
            found.append(Made(fact, frame))
        return tuple(found)

    def places(self, var: Var) -> list[Definition]:
        """Where a variable is bound."""
        if var in self.definitions:
            return self.definitions[var]
        if var.frame is not None and not var.owned and id(var.frame) not in self._read:
            self._read.add(id(var.frame))
            add_definitions(self._own, var.frame)
        return self._own.get(var, [])

    def _source_of(self, place: Definition, var: Var) -> Source | None:
        if place.value is not None:
            return self.source(place.value, place.frame)
        returned = self._returned_to(place, var)
        return self.source(*returned) if returned is not None else None

    def _back(self, value: ast.expr, frame: Frame) -> Source | None:
        match value:
            case ast.Name(id=name):
                bound = frame.alias(name)
                if bound is not None:
                    return bound.expr, bound.frame
                var = frame.resolve(name)
                places = self.places(var)
                scope = self.program.module.scope
                assert isinstance(scope, ast.Module)
                if len(places) != 1 or (var.frame is self.program.module and var.name in globals_bound_in(scope)):
                    return None
                place = places[0]
                return (place.value, place.frame) if place.value is not None else self._returned_to(place, var)
            case ast.Call(func=ast.Name(id=name)):
                returned = self._returned(name, frame)
                return None if returned is None or isinstance(returned[0], ast.Tuple) else returned
            case ast.Call():
                fact = fact_of(value, frame, self.program)
                return (fact.value, frame) if isinstance(fact, F.Move) else None
        return None

    def _returned(self, name: str, frame: Frame) -> Source | None:
        """What a function of the script returns, at its one return."""
        target = frame.function(name)
        if target is None:
            return None
        returns = [n for n in own_nodes(target[0]) if isinstance(n, ast.Return)]
        if len(returns) != 1 or returns[0].value is None:
            return None
        return returns[0].value, self.program.frames[target[0]]

    def _returned_to(self, place: Definition, var: Var) -> Source | None:
        """The part of a returned tuple that ``a, b = f()`` binds to a variable."""
        match place.stmt:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Call(func=ast.Name(id=name))):
                returned = self._returned(name, place.frame)
                if returned is None or not isinstance(returned[0], ast.Tuple):
                    return None
                if len(returned[0].elts) != len(targets):
                    return None
                for target, part in zip(targets, returned[0].elts, strict=True):
                    if isinstance(target, ast.Name) and place.frame.resolve(target.id) == var:
                        return part, returned[1]
        return None
