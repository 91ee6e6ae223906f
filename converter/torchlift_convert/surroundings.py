"""What of the home scope runs neither right before nor right behind the loops: around a loop over folds, for instance.

Such statements stay as they are and go on by the script's own names, in the next round or behind all of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchlift_convert.effects import Judge
from torchlift_convert.locating import Block
from torchlift_convert.names import parameters
from torchlift_convert.nest import Nest
from torchlift_convert.program import Frame, Item, Var, flow_over, item_flow
from torchlift_convert.syntax import blocks_of, walk_statements


@dataclass(frozen=True, eq=False)
class Surroundings:
    """``items``: the statements. ``live``: variables whose value at the end of the segment one of them may read.

    ``beside``: what the other branches of a condition around the segment read. ``given``: what is bound for certain
    when the segment starts; ``maybe``: what may be.
    """

    items: tuple[Item, ...]
    live: frozenset[Var]
    beside: frozenset[Var]
    given: frozenset[Var]
    maybe: frozenset[Var]


def surroundings(nest: Nest, judge: Judge) -> Surroundings:
    """Read what is around the segment of a nest, from the outside in."""
    home, outer = nest.home, nest.path[: len(nest.path) - len(nest.segment)]
    given = set[Var]()
    if not isinstance(home.scope, ast.Module):
        given |= {home.resolve(n) for n in parameters(home.scope.args)}
    live, beside, maybe = frozenset[Var](), frozenset[Var](), set(given)
    for block in outer:
        stmt = block.body[block.index]
        before, behind = _items(block.body[: block.index], home), _items(block.body[block.index + 1 :], home)
        head, others = _head(stmt, home), _items(_beside(stmt, nest.path), home)
        beside |= live_in(others, frozenset(), judge)
        flow = flow_over([*before, head])
        given |= flow.must
        maybe |= flow_over([*before, head, *others, *behind]).may
        live = live_in(behind, live, judge)
        if isinstance(stmt, (ast.For, ast.While)):
            body = _items(stmt.body, home)
            maybe |= flow_over(body).may
            live |= live_in([head, *body], frozenset(), judge) | live_in([*others], frozenset(), judge)
        elif isinstance(stmt, ast.Try):
            live |= live_in(others, frozenset(), judge)
    flow = flow_over(_items(nest.behind, home))
    given, maybe = given | flow.must, maybe | flow.may
    return Surroundings(tuple(elsewhere(nest)), live, beside, frozenset(given), frozenset(maybe))


def elsewhere(nest: Nest) -> list[Item]:
    """The statements of the home scope that are not in the segment."""
    out: list[Item] = []
    for block in nest.path[: len(nest.path) - len(nest.segment)]:
        stmt = block.body[block.index]
        rest = _items([*block.body[: block.index], *block.body[block.index + 1 :]], nest.home)
        out += [*rest, _head(stmt, nest.home), *_items(_beside(stmt, nest.path), nest.home)]
    return [*out, *_items(nest.behind, nest.home)]


def made_elsewhere(nest: Nest, var: Var, places: Iterable[ast.stmt]) -> bool:
    """Does one round of a loop around the loops find the variable made already? ``places``: what binds it."""
    own = set(walk_statements(nest.pre))
    away = nest.segment != nest.path or nest.behind
    return bool(away) and var.frame is nest.home and not any(stmt in own for stmt in places)


def live_in(items: Sequence[Item], live: frozenset[Var], judge: Judge) -> frozenset[Var]:
    """Variables that are read from a point on: by these statements, or by what follows them."""
    for item in reversed(items):
        flow = item_flow(item)
        live = flow.exposed | frozenset(judge.read_through(item)) | (live - flow.must)
    return live


def _items(statements: Sequence[ast.stmt], frame: Frame) -> list[Item]:
    return [Item(s, frame) for s in statements]


def _head(stmt: ast.stmt, frame: Frame) -> Item:
    """What a compound statement does besides running its blocks."""
    made: ast.stmt
    match stmt:
        case ast.For(target=target, iter=iterable):
            made = ast.Assign([target], iterable)
        case ast.While(test=test) | ast.If(test=test):
            made = ast.Expr(test)
        case ast.With(items=items):
            made = ast.With(items, [ast.Pass()])
        case ast.Match(subject=subject):
            made = ast.Expr(subject)
        case _:
            made = ast.Pass()
    return Item(ast.fix_missing_locations(ast.copy_location(made, stmt)), frame, synthetic=True)


def _beside(stmt: ast.stmt, path: Sequence[Block]) -> list[ast.stmt]:
    """The statements of the blocks of a statement that the way to the loops does not lead through."""
    through = {id(block.body) for block in path}
    return [s for block in blocks_of(stmt) if id(block) not in through for s in block]
