"""Which values a name may hold at a place: reaching definitions over the statements of one scope."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from torchlift_convert.folding import decided
from torchlift_convert.names import access
from torchlift_convert.program import Frame


@dataclass(frozen=True, eq=False)
class Value:
    """Something that a name may hold. ``expr`` is None where that is not in sight; ``part``: which element of what the
    expression gives. ``state``: what names held where it was computed.
    """

    expr: ast.expr | None
    part: int | None
    state: State


State = dict[str, frozenset[Value]]  # what is not in it is a parameter, bound outside, or not bound yet
UNSEEN = Value(None, None, {})


@dataclass(eq=False)
class Holding:
    """Walks the statements of one scope once, in order.

    ``before``: the state in front of each statement. ``returns``: what the scope may return, with the state there;
    ``ends``: it may come to its end without.
    """

    frame: Frame
    before: dict[ast.stmt, State] = field(default_factory=dict)
    returns: list[tuple[ast.expr | None, State]] = field(default_factory=list)
    ends: bool = True

    def __post_init__(self) -> None:
        self.ends = self._through(self.frame.scope.body, {}) is not None

    def _through(self, body: list[ast.stmt], state: State) -> State | None:
        """The state behind a block; None when nothing goes on behind it."""
        now: State | None = state
        for stmt in body:
            if now is None:
                return None
            self.before[stmt] = now
            now = self._after(stmt, now)
        return now

    def _after(self, stmt: ast.stmt, state: State) -> State | None:
        match stmt:
            case ast.Return(value=value):
                self.returns.append((value, state))
                return None
            case ast.Raise() | ast.Break() | ast.Continue():
                return None
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    state = self._bound(target, value, state)
                return state
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                return self._bound(target, value, state)
            case ast.If(test=test, body=body, orelse=orelse):
                taken = decided(test, self.frame)
                if taken is not None:
                    return self._through(body if taken else orelse, state)
                return _either(self._through(body, state), self._through(orelse, state))
            case ast.With(items=items, body=body):
                return self._through(body, _widened(state, items, early=False))
            case ast.For(body=body, orelse=orelse) | ast.While(body=body, orelse=orelse):
                wide = _widened(state, [stmt])
                for block in (body, orelse):
                    self._through(block, wide)
                return wide
            case ast.Try():
                wide = _widened(state, [stmt])
                for block in (stmt.body, *(h.body for h in stmt.handlers), stmt.orelse, stmt.finalbody):
                    self._through(block, wide)
                return wide
        return _widened(state, [stmt], early=False)

    def _bound(self, target: ast.expr, value: ast.expr, state: State) -> State:
        """The state behind ``target = value``."""
        now = _widened(state, [value], early=False)
        match target:
            case ast.Name(id=name):
                return now | {name: frozenset({Value(value, None, state)})}
            case ast.Tuple(elts=elts) | ast.List(elts=elts) if not any(isinstance(e, ast.Starred) for e in elts):
                for n, one in enumerate(elts):
                    if isinstance(one, ast.Name):
                        now = now | {one.id: frozenset({Value(value, n, state)})}
                    else:
                        now = _widened(now, [one], early=False)
                return now
        return _widened(now, [target], early=False)


def _widened(state: State, nodes: Sequence[ast.AST], early: bool = True) -> State:
    """What these parts of the code bind may hold anything from now on; with ``early``, or still what it held."""
    bound = {n for node in nodes for n in access(node).binds}
    return state | {n: (state.get(n, frozenset()) if early else frozenset()) | {UNSEEN} for n in bound}


def _either(one: State | None, other: State | None) -> State | None:
    if one is None or other is None:
        return other if one is None else one
    return {n: one.get(n, frozenset()) | other.get(n, frozenset()) for n in {*one, *other}}
