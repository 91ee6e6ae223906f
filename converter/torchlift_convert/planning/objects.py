"""What the script's object must hold again after the Trainer, and which of its methods are still needed."""

from __future__ import annotations

import ast

from torchlift_convert.callers import earlier, tries_around
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.following import is_lasting
from torchlift_convert.kept import walk
from torchlift_convert.names import own_nodes
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Var
from torchlift_convert.removal import unneeded_methods
from torchlift_convert.tracing import Tracer

_PROCESSES = (
    "torch.nn.parallel.DistributedDataParallel",
    "torch.nn.parallel.distributed.DistributedDataParallel",
    "torch.distributed.init_process_group",
    "torch.multiprocessing.spawn",
)


def refuse_attributes(ctx: Context) -> None:
    """Attributes of the script's object that hooks cannot hold."""
    _refuse_processes(ctx)
    _refuse_methods(ctx)
    _refuse_names_of_class(ctx)
    tracer = Tracer(ctx.program, ctx.roles.definitions)
    settled = {m for v in (*ctx.roles.models, *ctx.roles.optimizers) if (m := tracer.made(v)) is not None}
    for var in sorted((v for v in ctx.storage.bound if v.owned), key=lambda v: v.order):
        if any(s is not None and s[0] in settled for s in tracer.sources(var)):
            raise Refuse(
                "TL106",
                f"'{var.said(ctx.home.scope)}' is given another value inside the loop.",
                ctx.nest.outer,
                "Make the model and the optimizer once, before the loop.",
            )
    for loop in (ctx.nest.epochs, ctx.nest.batches):
        heads = [loop.target] if isinstance(loop, ast.For) else []
        counted = any(v.owned for v in ctx.epoch_variable()) and loop is ctx.nest.epochs
        if counted or any(isinstance(n, ast.Name) and "." in n.id for h in heads for n in walk(h)):
            raise Refuse("TL102", "The loop counts with an attribute.", loop, "Count with a variable of its own.")
    for var in ctx.roles.models:
        if var.frame is not ctx.home and not var.owned and var.frame is not ctx.program.module:
            raise Refuse(
                "TL106",
                f"The optimizer holds parameters of '{var.name}', which the function with the loop does not know.",
                ctx.nest.outer,
                "Hand the model over that the optimizer was made for.",
            )


def _refuse_methods(ctx: Context) -> None:
    """A method's class settles what ``super()`` means and defaults hold, and hooks stand in another one."""
    for item in ctx.methods:
        spec = item.stmt.args  # type: ignore[attr-defined]
        for default in [*spec.defaults, *(d for d in spec.kw_defaults if d)]:
            if not is_lasting(default, ctx.program.module):
                raise Refuse(
                    "TL104",
                    "The loops lead to a method with a default value that is made once, where the class is defined.",
                    default,
                    "Use None as the default, and make the value in the method.",
                )
    for item in [*ctx.hooks, *ctx.methods] if ctx.program.owner is not None else ():
        for node in walk(item.stmt):
            if isinstance(node, ast.Name) and node.id in ("super", "__class__"):
                raise Refuse(
                    "TL104",
                    "The loops lead to a method that calls the one of its base class.",
                    node,
                    "Give the method of the base class a name of its own, and call that.",
                )


def _refuse_names_of_class(ctx: Context) -> None:
    """``super()`` and ``self.__name`` mean something in the class that they stand in, and hooks stand in another."""
    methods = [m for m in (ctx.home.scope, *ctx.nest.followed) if m in ctx.program.bound_names]
    for node in (n for m in methods for n in ast.walk(m)):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if name == "super" or (name.startswith("__") and (not name.endswith("__") or name == "__class__")):
            assert isinstance(node, ast.expr)
            raise Refuse(
                "TL104",
                f"The loops stand in a method of a model where '{name}' means what only its class knows.",
                node,
                "Call the method on 'self', and give the attribute a name with at most one underscore in front.",
            )


def _refuse_processes(ctx: Context) -> None:
    """What an object holds of a model that several processes train is more than a Trainer of one process knows."""
    if ctx.program.owner is None:
        return
    for frame in ctx.program.frames.values():
        for node in own_nodes(frame.scope):
            name = ctx.program.canonical(node.func, frame) if isinstance(node, ast.Call) else None
            if name is not None and name.startswith(_PROCESSES):
                assert isinstance(node, ast.Call)
                raise Refuse(
                    "TL501",
                    f"The script trains in several processes: {ast.unparse(node.func)}().",
                    node,
                    "Convert the script as it trains in one process; then ask the Trainer for more devices.",
                )


def written_back(ctx: Context) -> tuple[Var, ...]:
    """Attributes that the loops give a value and that code outside of them reads."""
    owner = ctx.program.owner
    if owner is None:
        return ()
    bound = [v for v in ctx.storage.attributes if v.owned]
    unneeded = unneeded_methods(ctx.program, ctx.nest, ctx.hooks, [i.stmt for i in ctx.methods])
    gone = {id(n) for s in [ctx.nest.outer, *unneeded] for n in walk(s)}
    gone |= {id(n) for m in owner.instance.scopes if m.name == "__init__" for n in walk(m)}
    read = {
        n.id.partition(".")[2]
        for n in walk(ctx.program.script.tree)
        if isinstance(n, ast.Name) and "." in n.id and id(n) not in gone and not isinstance(n.ctx, ast.Store)
    }
    read |= {
        n.target.id.partition(".")[2]
        for n in walk(ctx.program.script.tree)
        if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name) and id(n) not in gone
    }
    found = tuple(v for v in bound if v.name in read or (_runs_again(ctx) and _carries_over(ctx, v)))
    for var in found:
        if not ctx.set_before(var):
            raise Refuse(
                "TL106",
                f"'{var.said(ctx.home.scope)}' is first set in the loop and read outside of it, or in a second run.",
                ctx.nest.outer,
                "Give it a first value in __init__().",
            )
    around = tries_around(ctx.home.scope, ctx.program) if found else []
    if around:
        raise Refuse(
            "TL106",
            f"A 'try' around the training would find '{found[0].said(ctx.home.scope)}' as it was before the loop.",
            around[0],
            "Put the 'try' into the method that trains, around what may fail.",
        )
    return found


def _runs_again(ctx: Context) -> bool:
    """May the function with the loops be called more than once?"""
    return earlier(ctx.home.scope, ctx.program) is None


def _carries_over(ctx: Context, var: Var) -> bool:
    """Would a second run of the loops find the value that the first one left?"""
    seen = ctx.storage.early | frozenset[Var]().union(*(ctx.judge.reads(i) for i in ctx.methods))
    return ctx.set_before(var) or var in seen
