"""Which numbers are logged: the loss of each step, and the numbers that the script itself prints after an epoch."""

from __future__ import annotations

import ast

from torchlift_convert import facts as F
from torchlift_convert.environment import Environment, epoch_variables, returned_loss
from torchlift_convert.plan import Plan
from torchlift_convert.program import Item, Var
from torchlift_convert.recognisers import fact_of
from torchlift_convert.regions import Region
from torchlift_convert.roles import variable
from torchlift_convert.syntax import exits_of
from torchlift_convert.types import Optimization
from torchlift_convert.values import Values


def step_metrics(plan: Plan, env: Environment) -> dict[str, str]:
    """The loss of a step under automatic optimization; under manual optimization, every loss at the top of the body."""
    if plan.regions.optimization is Optimization.AUTOMATIC:
        var = returned_loss(plan)
        return {"train_loss": env.text(var) or var.name} if var is not None else {}
    found: dict[str, str] = {}
    for item in plan.regions.of(Region.STEP):
        stmt = item.stmt
        if isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Call):
            fact = fact_of(stmt.value, item.frame, plan.program)
            if isinstance(fact, F.Backward) and not fact.node.args:
                var = variable(fact.target, item.frame)
                if var is not None:
                    found[var.name] = env.text(var) or var.name
    leaving = any(exits_of(i.shape) for i in plan.regions.of(Region.STEP))
    return {} if leaving else found


def metrics_of(plan: Plan, region: Region, env: Environment) -> dict[str, str]:
    """Numbers that the epoch's own lines print: variables bound in the nest that are surely numbers."""
    if region not in (Region.VAL_END, Region.EPOCH_END):
        return {}
    values = Values(plan.program, plan.roles, frozenset(plan.regions.gone))
    found: dict[str, str] = {}
    items = plan.regions.of(region)
    for item in items:
        for var in _printed(item):
            if var not in plan.storage.bound or var in epoch_variables(plan) or not values.number_variable(var):
                continue
            if var not in plan.storage.flows[region].must and var not in plan.storage.flows[region].exposed:
                continue
            found.setdefault(var.name, env.text(var) or var.name)
    return found


def _printed(item: Item) -> list[Var]:
    """Variables that stand alone among the arguments of an unconditional print, in f-strings and formats too."""
    match item.stmt:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=args)):
            out: list[Var] = []
            for arg in args:
                for node in _shown(arg):
                    var = variable(node, item.frame)
                    if var is not None:
                        out.append(var)
            return out
    return []


def _shown(expr: ast.expr) -> list[ast.expr]:
    match expr:
        case ast.Name():
            return [expr]
        case ast.JoinedStr(values=parts):
            return [v for p in parts if isinstance(p, ast.FormattedValue) for v in _shown(p.value)]
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="format"), args=args, keywords=keywords):
            return [v for a in [*args, *(k.value for k in keywords)] for v in _shown(a)]
        case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod(), right=right):
            return [v for e in (right.elts if isinstance(right, ast.Tuple) else [right]) for v in _shown(e)]
    return []
