"""What the generated classes, their attributes and the objects made of them are called."""

from __future__ import annotations

import ast

from torchlift_convert.kept import walk
from torchlift_convert.names import access
from torchlift_convert.plan import Kind, Param
from torchlift_convert.planning.context import Context
from torchlift_convert.planning.draft import Draft
from torchlift_convert.program import Item, Var
from torchlift_convert.reserved import attribute_name, plain_name, ranked, script_names, unique
from torchlift_convert.tracing import Tracer


def names_seen(ctx: Context) -> set[str]:
    """Every name that the scope of the loops uses: all of the script's, of a function those in it."""
    if ctx.home.is_module:
        return script_names(ctx.program)
    used = {n.id for n in walk(ctx.home.scope) if isinstance(n, ast.Name)}
    return used | {a.arg for a in walk(ctx.home.scope) if isinstance(a, ast.arg)}


def data_name(ctx: Context, kept: list[Item]) -> str:
    """``data`` when no statement that stays uses that name."""
    names = [access(i.stmt) for i in kept]
    used = frozenset[str]().union(*(n.reads | n.binds for n in names))
    name = ranked("data", ctx.nest.rank)
    return name if name not in used else unique(ranked("datamodule", ctx.nest.rank), used)


def attribute_names(ctx: Context, draft: Draft) -> dict[Var, str]:
    """What each variable that lives on the module is called there."""
    names: dict[Var, str] = {}
    objects = [p.var for p in draft.params if p.kind is Kind.OBJECT]
    early = ctx.roles.optimizers if draft.early else ()
    held = [*draft.models, *draft.passed, *draft.losses, *ctx.roles.schedulers, *draft.state, *ctx.storage.attributes]
    for var in [*held, *objects, *early]:
        if var not in names:
            prefer = var.frame.name if var.frame else ""
            names[var] = unique(attribute_name(var.name), set(names.values()), prefer=prefer)
    return names


def late_names(draft: Draft, names: dict[Var, str]) -> dict[Param, str]:
    late: dict[Param, str] = {}
    for param in (p for p in draft.params if p.kind is Kind.LATE):
        held = names.get(param.var) if param.attr is None else None
        late[param] = held or unique(attribute_name(param.name), {*names.values(), *late.values()})
    return late


def epoch_name(counters: list[Var], start: str, names: dict[Var, str], late: dict[Param, str]) -> str | None:
    """The property that counts epochs as the script does; None when ``current_epoch`` does."""
    if not counters or start == "0":
        return None
    return unique(attribute_name(counters[0].name), {*names.values(), *late.values()})


def instance_name(ctx: Context, draft: Draft, aliased: set[Var], scripts: set[str]) -> str:
    """``model`` when that name is free after the conversion, else ``lit_model``."""
    taken = {plain_name(v.name) for v in {*aliased, *draft.passed} if v in ctx.roles.models and not v.owned}
    free = "model" not in taken and ("model" not in scripts or any(v.name == "model" for v in draft.models))
    if free:
        return "model"
    name = f"lit_{plain_name(ctx.roles.models[0].name)}" if ctx.roles.models else "lit_model"
    return unique(ranked(name, ctx.nest.rank), scripts)


def class_name(ctx: Context, draft: Draft) -> str:
    """Named after the model's class; plain containers and several models give LitModel."""
    models = [*draft.models, *draft.passed]
    if len(models) != 1:
        return "LitModel"
    owner = ctx.program.model_class(models[0])
    if owner is not None:
        return "Lit" + ctx.program.script.plain(owner)
    values = [place.value for place in ctx.roles.definitions.get(models[0], [])]
    if models[0].owned:
        values = [Tracer(ctx.program, ctx.roles.definitions).made(models[0])]
    for value in values:
        for node in walk(value) if value is not None else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                imported = node.func.id in ctx.program.imports and node.func.id[:1].isupper()
                if node.func.id in ctx.program.module.classes or imported:
                    return "Lit" + ctx.program.script.plain(node.func.id)
    return "LitModel"
