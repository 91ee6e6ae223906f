"""What makes a value: one call or several, through conditions, tables of classes and the script's own functions."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from torchlift_convert import facts as F
from torchlift_convert.folding import decided
from torchlift_convert.holding import Holding, State
from torchlift_convert.kept import walk
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Bound, Frame, FunctionNode, Program
from torchlift_convert.recognisers import fact_named, fact_of
from torchlift_convert.scopes import walk_statements_of_scope

DEEPEST = 6  # functions that call each other on the way to what makes a value


@dataclass(frozen=True, eq=False)
class Made:
    """One call that makes a value, and the frame that it is written in."""

    fact: F.Fact
    frame: Frame


class Unknown(Exception):
    """Something else may make the value."""


@dataclass(eq=False)
class Makers:
    """Looks for what makes values, at places of the script."""

    program: Program
    walks: dict[int, Holding] = field(default_factory=dict)
    calls: dict[int, State] = field(default_factory=dict)  # what the caller's names held when a frame was entered
    entered: dict[int, ast.Call] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    depth: int = 0
    never_none: bool = False

    def of(self, expr: ast.expr | None, frame: Frame, stmt: ast.stmt, never_none: bool = False) -> tuple[Made, ...]:
        """The calls that may make a value in front of a statement: all of them.

        Empty when something else may make it, or nobody knows. ``never_none``: what follows fails with None.
        """
        self.never_none = never_none
        state = self._walk(frame).before.get(stmt)
        if state is None:
            return ()
        try:
            found = list(self._of(expr, None, frame, state))
        except Unknown:
            return ()
        return tuple({id(one.fact.node): one for one in found}.values())

    def returns(self, frame: Frame) -> list[tuple[ast.expr | None, State]]:
        """What a function that was looked into may return."""
        return self._walk(frame).returns

    def _walk(self, frame: Frame) -> Holding:
        if id(frame) not in self.walks:
            self.walks[id(frame)] = Holding(frame)
        return self.walks[id(frame)]

    def _of(self, expr: ast.expr | None, part: int | None, frame: Frame, state: State) -> Iterable[Made]:
        match expr:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                taken = decided(test, frame)
                for one, when in ((body, True), (orelse, False)):
                    if taken is None or taken is when:
                        yield from self._of(one, part, frame, state)
            case ast.Tuple(elts=elts) | ast.List(elts=elts) if part is not None and part < len(elts):
                if any(isinstance(e, ast.Starred) for e in elts):
                    raise Unknown
                yield from self._of(elts[part], None, frame, state)
            case ast.Constant(value=None) if self.never_none and part is None:
                pass
            case ast.Name(id=name):
                yield from self._held(name, part, frame, state)
            case ast.Call():
                yield from self._called(expr, part, frame, state)
            case _:
                raise Unknown

    def _held(self, name: str, part: int | None, frame: Frame, state: State) -> Iterable[Made]:
        """What may make the value that a name holds."""
        if name in state:
            if self._rebound_elsewhere(name, frame):
                raise Unknown
            for value in state[name]:
                if value.part is not None and part is not None:
                    raise Unknown
                inner = part if value.part is None else value.part
                yield from self._of(value.expr, inner, frame, value.state)
            return
        for expr, where, then in self._outside(name, frame):
            yield from self._of(expr, part, where, then)

    def _outside(self, name: str, frame: Frame) -> Iterable[tuple[ast.expr, Frame, State]]:
        """What a name means that is bound outside a frame: what a caller gave, or the one thing that it ever is."""
        bound = frame.bound.get(name)
        if bound is not None:
            if id(frame) not in self.calls:
                raise Unknown
            yield bound.expr, bound.frame, self.calls[id(frame)]
            return
        if name in frame.locals or frame.outer is None:
            raise Unknown
        outer = frame.outer
        stores = [n for n in own_nodes(outer.scope) if name in _bound_by(n)]
        if len(stores) > 1 or self._rebound_elsewhere(name, outer):
            raise Unknown
        for stmt in walk_statements_of_scope(outer.scope.body):
            match stmt:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    yield value, outer, self._walk(outer).before.get(stmt, {})
                    return
        yield ast.Name(name, ast.Load()), outer, {}

    @staticmethod
    def _rebound_elsewhere(name: str, frame: Frame) -> bool:
        """Does a function inside the scope bind the name for it?"""
        inside = (n for n in walk(frame.scope) if isinstance(n, (ast.Global, ast.Nonlocal)))
        return any(name in n.names for n in inside)

    def _called(self, call: ast.Call, part: int | None, frame: Frame, state: State) -> Iterable[Made]:
        """What a call gives: it is what makes the value, or a function of the script returns that."""
        fact = fact_of(call, frame, self.program) or self._by_class(call, frame, state)
        if isinstance(fact, (F.MakesOptimizer, F.MakesScheduler, F.MakesLoader)):
            if part is not None:
                raise Unknown
            yield Made(fact, frame)
            return
        target = frame.function(call.func.id) if isinstance(call.func, ast.Name) else None
        if fact is not None or target is None:
            raise Unknown
        yield from self._returned(call, part, frame, state, *target)

    def _returned(
        self, call: ast.Call, part: int | None, frame: Frame, state: State, func: FunctionNode, outer: Frame
    ) -> Iterable[Made]:
        odd = isinstance(func, ast.AsyncFunctionDef) or func.decorator_list or self.depth >= DEEPEST
        if odd or any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in own_nodes(func)):
            raise Unknown
        inner = Frame(func, outer, _arguments(call, frame, func, outer))
        held = self._walk(inner)
        if held.ends:
            raise Unknown  # it may return nothing
        self.calls[id(inner)] = state
        self.entered[id(inner)] = call
        self.frames.append(inner)  # so that no other frame gets its id
        self.depth += 1
        try:
            for value, there in held.returns:
                yield from self._of(value, part, inner, there)
        finally:
            self.depth -= 1

    # -- classes ----------

    def _by_class(self, call: ast.Call, frame: Frame, state: State) -> F.Fact | None:
        """The fact about a call of a chosen class: ``getattr(torch.optim, name)(...)``, ``table[name](...)``."""
        try:
            names = list(self._classes(call.func, frame, state))
        except Unknown:
            return None
        facts = [fact_named(call, name) for name in names]
        first = facts[0] if facts else None
        if first is None or any(type(one) is not type(first) for one in facts):
            return None
        return next((f for f in facts if isinstance(f, F.MakesScheduler) and f.plateau), first)

    def _classes(self, expr: ast.expr, frame: Frame, state: State) -> Iterable[str]:
        """Dotted names of the classes that an expression may stand for."""
        name = self.program.canonical(expr, frame)
        if name is not None and not isinstance(expr, ast.Call):
            yield name
            return
        match expr:
            case ast.IfExp(body=body, orelse=orelse):
                yield from self._classes(body, frame, state)
                yield from self._classes(orelse, frame, state)
            case ast.Call(func=ast.Name(id="getattr"), args=[module, _], keywords=[]) if "getattr" not in state:
                owner = self.program.canonical(module, frame)
                if owner not in ("torch.optim", "torch.optim.lr_scheduler"):
                    raise Unknown
                yield f"{owner}.Any"
            case ast.Subscript(value=table):
                yield from self._table(table, frame, state)
            case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_]):
                yield from self._table(table, frame, state)
            case ast.Name(id=held):
                yield from self._each(held, frame, state, self._classes)
            case _:
                raise Unknown

    def _table(self, expr: ast.expr, frame: Frame, state: State) -> Iterable[str]:
        """The classes that a dictionary written in the code holds."""
        match expr:
            case ast.Dict(keys=keys, values=values) if values and None not in keys:
                for value in values:
                    yield from self._classes(value, frame, state)
            case ast.Name(id=held):
                if any(_changes(n, held) for n in walk(self.program.script.tree)):
                    raise Unknown
                yield from self._each(held, frame, state, self._table)
            case _:
                raise Unknown

    def _each(self, name: str, frame: Frame, state: State, look) -> Iterable[str]:  # type: ignore[no-untyped-def]
        """What ``look`` finds in each value that a name may hold."""
        if name in state:
            if self._rebound_elsewhere(name, frame):
                raise Unknown
            for value in state[name]:
                if value.expr is None or value.part is not None:
                    raise Unknown
                yield from look(value.expr, frame, value.state)
            return
        for expr, where, then in self._outside(name, frame):
            yield from look(expr, where, then)


def _arguments(call: ast.Call, frame: Frame, func: FunctionNode, outer: Frame) -> dict[str, Bound]:
    """What stands for the parameters of a called function; not for those that it binds anew."""
    spec = func.args
    if any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return {}
    names = [a.arg for a in [*spec.posonlyargs, *spec.args]]
    defaults = [*zip(reversed(names), reversed(spec.defaults), strict=False)]
    defaults += [(a.arg, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d is not None]
    found = {n: Bound(d, outer) for n, d in defaults if isinstance(d, ast.Constant)}
    found |= {n: Bound(a, frame) for n, a in zip(names, call.args, strict=False)}
    taken = {*names, *(a.arg for a in spec.kwonlyargs)}
    found |= {k.arg: Bound(k.value, frame) for k in call.keywords if k.arg in taken and k.arg}
    stored = {n.id for n in own_nodes(func) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    return {n: b for n, b in found.items() if n not in stored}


def _bound_by(node: ast.AST) -> set[str]:
    """Names that one node binds, not what stands inside it."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return {name}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {a.asname or a.name.split(".")[0] for a in names}
        case ast.ExceptHandler(name=str(name)):
            return {name}
    return set()


def _changes(node: ast.AST, name: str) -> bool:
    """Is this ``name[...] = ...``, ``name.update(...)`` and the like?"""
    match node:
        case ast.Subscript(value=ast.Name(id=owner), ctx=ast.Store() | ast.Del()):
            return owner == name
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attr)):
            return owner == name and attr not in ("get", "keys", "values", "items")
    return False
