"""Batches that come from a list of the script: one sample a step, in the list's order, as a loop over it gives them."""

from __future__ import annotations

import ast

from torchlift_convert.definitions import nest_items
from torchlift_convert.effects import Judge
from torchlift_convert.nest import Nest
from torchlift_convert.program import Item, Var, item_flow
from torchlift_convert.regions import Header, loop_variables
from torchlift_convert.roles import Roles, variable


def goes_over_list(nest: Nest, header: Header, roles: Roles, judge: Judge) -> bool:
    """Is the batch loop one over a list that is made once before the loops, and that they leave as it is?

    A Trainer hands out copies of the containers in it, so no statement may change one of them in place either.
    """
    var = variable(header.iterable, header.source)
    if var is None or var in roles.loaders:
        return False
    places = roles.definitions.get(var, [])
    if len(places) != 1 or not (places[0].stmt in nest.pre or places[0].frame.is_module):
        return False
    items = nest_items(nest)
    in_place = frozenset[Var]().union(*(changes_in_place(i, judge) for i in items))
    bound = frozenset[Var]().union(*(item_flow(i).may for i in items))
    return _makes_list(places[0].value) and var not in bound and not in_place & {var, *loop_variables(header)}


def changes_in_place(item: Item, judge: Judge) -> frozenset[Var]:
    """Variables whose objects a statement may change, other than by binding them anew."""
    if isinstance(item.stmt, ast.If) and not item.holes and not item.without:
        inside = [Item(s, item.frame) for s in [ast.Expr(item.stmt.test), *item.stmt.body, *item.stmt.orelse]]
        return frozenset[Var]().union(*(changes_in_place(i, judge) for i in inside))
    rebinds = isinstance(item.stmt, (ast.Assign, ast.AnnAssign))
    return judge.changes(item) - item_flow(item).may if rebinds else judge.changes(item)


def _makes_list(value: ast.expr | None) -> bool:
    match value:
        case ast.List() | ast.ListComp():
            return True
        case ast.Call(func=ast.Name(id="list" | "sorted")):
            return True
    return False
