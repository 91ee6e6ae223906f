"""Batches that come from a list of the script: one sample a step, in the list's order, as a loop over it gives them."""

from __future__ import annotations

import ast

from torchlift_convert.effects import Judge
from torchlift_convert.nest import Nest
from torchlift_convert.program import Item, Var, item_flow
from torchlift_convert.regions import Region, Regions
from torchlift_convert.roles import Roles, variable
from torchlift_convert.storage import loop_variables


def goes_over_list(nest: Nest, regions: Regions, roles: Roles, judge: Judge) -> bool:
    """Is the batch loop one over a list that is made once before the loops, and that they leave as it is?

    A Trainer hands out copies of the containers in it, so no statement may change one of them in place either.
    """
    header = regions.batches
    var = variable(header.iterable, header.source) if header is not None else None
    if header is None or var is None or var in roles.loaders:
        return False
    places = roles.definitions.get(var, [])
    if len(places) != 1 or not (places[0].stmt in nest.pre or places[0].frame.is_module):
        return False
    hooks = [i for r in Region for i in regions.of(r)]
    in_place = frozenset[Var]().union(*(_changes_in_place(i, judge) for i in hooks))
    bound = frozenset[Var]().union(*(item_flow(i).may for i in hooks))
    return _makes_list(places[0].value) and var not in bound and not in_place & {var, *loop_variables(header)}


def _changes_in_place(item: Item, judge: Judge) -> frozenset[Var]:
    rebinds = isinstance(item.stmt, (ast.Assign, ast.AnnAssign))
    return judge.changes(item) - item_flow(item).may if rebinds else judge.changes(item)


def _makes_list(value: ast.expr | None) -> bool:
    match value:
        case ast.List() | ast.ListComp():
            return True
        case ast.Call(func=ast.Name(id="list" | "sorted")):
            return True
    return False
