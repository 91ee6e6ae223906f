"""What the loops may not do with the variables that a module or a Trainer takes over."""

from __future__ import annotations

import ast

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.kept import walk
from torchlift_convert.names import free_names
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Item, Var
from torchlift_convert.regions import Region
from torchlift_convert.syntax import nodes_of


def refuse_rebindings(ctx: Context) -> None:
    """Stop where the loops bind what a Trainer holds."""
    _deleted(ctx)
    _rebound_roles(ctx)
    _rebound_by_closures(ctx)


def refuse_readers(ctx: Context) -> None:
    """Stop where something that stays behind reads what moves to the module."""
    _counted_by_hand(ctx)
    _closures(ctx)
    _kept_lambdas(ctx)
    _named_expressions(ctx)
    _handlers(ctx)


def _rebound_roles(ctx: Context) -> None:
    """A model, an optimizer or a loader that changes inside the loops cannot be one attribute."""
    through = _rebound_through(ctx)
    inside = {*ctx.roles.models, *ctx.roles.optimizers, *ctx.roles.loaders} & ctx.storage.bound
    of = ctx.roles
    for var in dict.fromkeys([*of.models, *of.optimizers, *of.loaders, *of.schedulers, *of.losses, *of.held]):
        if var in inside or var in through:
            raise Refuse(
                "TL106", f"'{var.name}' is made anew inside the loop.", ctx.nest.outer, "Make it once, before the loop."
            )


def _deleted(ctx: Context) -> None:
    """A module is handed what is trained under the name that it was made by."""
    for stmt in ctx.pre:
        for node in nodes_of(stmt):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del):
                if ctx.home.resolve(node.id) in {*ctx.roles.models, *ctx.roles.optimizers, *ctx.roles.loaders}:
                    raise Refuse(
                        "TL106",
                        f"'{node.id}' is deleted before the loop, which knows its object by another name.",
                        stmt,
                        "Use one name for it from the start.",
                    )


def _rebound_through(ctx: Context) -> frozenset[Var]:
    """Variables that functions which the loops call bind by ``global`` or ``nonlocal``."""
    found: set[Var] = set()
    for item in ctx.hooks:
        for function, inner in ctx.judge.reached(item, ctx.judge.called):
            found |= {inner.resolve(name) for name in free_names(function).binds}
    return frozenset(found)


def _rebound_by_closures(ctx: Context) -> None:
    """A function that binds a variable of the function around it does not bind the module's copy of that."""
    if ctx.home.is_module:
        return
    inner = [n for n in walk(ctx.home.scope) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    followed = {ctx.home.scope, *ctx.nest.followed, *(i.frame.scope for i in ctx.hooks)}  # their bodies are hooks
    bound = {name for one in inner if one not in followed for name in free_names(one).binds}
    read = {v for v, _ in ctx.hook_refs}
    for name in sorted(bound & ctx.home.locals):
        if Var(ctx.home, name) in read:
            raise Refuse(
                "TL106",
                f"A function inside {ctx.home.name}() gives '{name}' another value, which the loops read.",
                ctx.nest.outer,
                "Return the value from that function, and assign it in the loop.",
            )


def _counted_by_hand(ctx: Context) -> None:
    """The Trainer counts the epochs; a loop that gives its counter another value counts otherwise."""
    for var in sorted(ctx.epoch_variable() & ctx.storage.bound, key=lambda v: v.order):
        places = ctx.roles.definitions.get(var, [])
        inside = [d.stmt for d in places if any(d.stmt is i.stmt for i in ctx.hooks)]
        raise Refuse(
            "TL106",
            f"The loop gives its own counter '{var.name}' another value.",
            inside[0] if inside else ctx.nest.outer,
            "Count with a variable of its own, or start the range at another number.",
        )


def _closures(ctx: Context) -> None:
    """What the loops change lives on the module then, where a function that closes over it does not look."""
    for var in sorted(ctx.storage.pinned, key=lambda v: v.order):
        if var.owned:
            raise Refuse(
                "TL106",
                f"The loops change '{var.said(ctx.home.scope)}', which a function or a method that is handed on reads.",
                ctx.nest.outer,
                "Read it in plain methods that are called by their names.",
            )
        if var.frame is not None and not var.frame.is_module:
            raise Refuse(
                "TL106",
                f"A function inside {var.frame.name}() reads '{var.name}', which the loops change.",
                ctx.nest.outer,
                "Hand it to that function as an argument.",
            )


def _kept_lambdas(ctx: Context) -> None:
    """A lambda that is kept looks later: at the last value of the loop's variable, which a hook has no more."""
    changing = ctx.storage.bound | ctx.epoch_variable()
    for item in ctx.hooks:
        for node in nodes_of(item.shape):
            for one in _kept_by(node):
                if {item.frame.resolve(n) for n in free_names(one).reads} & changing:
                    raise Refuse(
                        "TL106",
                        "The loop keeps a lambda that reads variables of the loop when it is called later.",
                        one,
                        "Give the lambda their values as defaults, as in: lambda n=n: n + 1",
                    )


def _kept_by(node: ast.AST) -> list[ast.Lambda]:
    """The lambdas that a node puts into a container or an attribute."""
    match node:
        case ast.Call(func=ast.Attribute(attr="append" | "add" | "insert" | "extend" | "setdefault"), args=args):
            parts = args
        case ast.Assign(targets=targets, value=value) if not all(isinstance(t, ast.Name) for t in targets):
            parts = [value]
        case _:
            return []
    return [n for part in parts for n in walk(part) if isinstance(n, ast.Lambda)]


def _named_expressions(ctx: Context) -> None:
    """``name := value`` binds names only, and never an attribute of the module."""
    for region in Region:
        for item in ctx.regions.of(region):
            for node in nodes_of(item.shape):
                if isinstance(node, ast.NamedExpr):
                    if item.frame.resolve(node.target.id) in ctx.storage.replaced[region]:
                        raise Refuse(
                            "TL106",
                            f"'{node.target.id}' gets a value by ':=' that other hooks read.",
                            ctx.nest.outer if item.synthetic else item.stmt,
                            f"Give it that value in a statement of its own: {node.target.id} = ...",
                        )


def _handlers(ctx: Context) -> None:
    """Handlers around the loop stay around ``fit``; what they read must not live on the module by then."""
    trained = {*ctx.roles.optimizers, *ctx.roles.schedulers} - ctx.roles.handed
    moved = ctx.storage.bound | ctx.epoch_variable() | trained
    for block in ctx.nest.path:
        around = block.body[block.index]
        if not isinstance(around, ast.Try):
            continue
        parts = [s for h in around.handlers for s in h.body] + around.orelse + around.finalbody
        for stmt in parts:
            read = ctx.judge.reads(Item(stmt, ctx.home)) & moved - ctx.storage.pinned
            if read:
                name = min(v.name for v in read)
                raise Refuse(
                    "TL106",
                    f"A handler around the loop reads '{name}', which the loop makes or changes.",
                    stmt,
                    "Move the statement behind the 'try', or the 'try' into the loop.",
                )
