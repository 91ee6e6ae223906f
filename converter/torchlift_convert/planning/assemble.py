"""Put the parts of the planning together, in order."""

from __future__ import annotations

import ast
from dataclasses import replace

from torchlift_convert import facts as F
from torchlift_convert.data import without_moves
from torchlift_convert.devices import placement_of
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.plan import DataPlan, Kind, ModulePlan, Param, Plan
from torchlift_convert.planning.bars import drop_bars
from torchlift_convert.planning.context import Context
from torchlift_convert.planning.counter import drop_counter
from torchlift_convert.planning.data import DataPlanner
from torchlift_convert.planning.draft import Draft
from torchlift_convert.planning.fetching import own_state, without
from torchlift_convert.planning.modules import ModulePlanner
from torchlift_convert.planning.naming import (
    attribute_names,
    class_name,
    data_name,
    epoch_name,
    instance_name,
    late_names,
    names_seen,
)
from torchlift_convert.planning.objects import refuse_attributes, written_back
from torchlift_convert.planning.optimizers import OptimizerPlanner
from torchlift_convert.planning.parameters import ParameterPlanner, parameters_of
from torchlift_convert.planning.refusals import refuse_readers, refuse_rebindings
from torchlift_convert.program import Item, Var, item_flow
from torchlift_convert.recognisers import facts_of
from torchlift_convert.reserved import attribute_name, ranked, script_names, unique
from torchlift_convert.roles import variable
from torchlift_convert.syntax import nodes_of
from torchlift_convert.trainer_args import epochs_of


def assemble(ctx: Context) -> Plan:
    """Decide everything: data, modules, optimizers, parameters, places, names."""
    refuse_rebindings(ctx)
    refuse_attributes(ctx)
    refuse_readers(ctx)
    drop_bars(ctx)
    drop_counter(ctx)
    data = DataPlanner(ctx).plan()
    if data is not None and data.streams:
        ctx.storage = without(ctx.storage, own_state(ctx))
    optimizers = OptimizerPlanner(ctx)
    config = optimizers.config()
    early = optimizers.used_early(config)
    draft = None if optimizers.made_outside() else _draft(ctx, data, config, early, whole=True)
    draft = draft or _draft(ctx, data, config, early, whole=False)
    if draft is None and config:
        optimizers.hand_over()
        draft = _draft(ctx, data, [], False, whole=False)
    if draft is None:
        raise Refuse(
            "TL106",
            "There is no place before the loop where the module could be made without changing the order of things.",
            ctx.nest.outer,
            "Make the model and the optimizer in one place, after the options and the data.",
        )
    return _finish(ctx, draft)


def _draft(ctx: Context, data: DataPlan | None, config: list[ast.stmt], early: bool, whole: bool) -> Draft | None:
    """What the module holds, and where it can be made; without ``whole``, its models are handed to it."""
    modules, parameters = ModulePlanner(ctx), ParameterPlanner(ctx)
    moved_data = set(data.setup) | {one.stmt for one in data.loaders} if data else set()
    models, passed = modules.models(data)
    losses, _ = modules.losses(data)
    state = modules.state(moved_data)
    if not whole:
        models, losses, state, passed = [], [], [], [*models, *passed]
    init = [modules.construct(v) for v in (*models, *losses)]
    init += dict.fromkeys(modules.construct_state(v) for v in state)
    inside = [*init, *config] if early else init
    if not OptimizerPlanner(ctx).made_outside():  # else what was made from the model there may need it on its device
        for var in (*models, *passed):
            modules.drop_moves(var)
    params, initial = parameters.choose(inside, config, data, passed, state)
    later = moved_data if data is not None and not data.by_hand else set()  # made by hand, data stays in its order
    position, params = parameters.position(inside, init, config, early, params, passed, later)
    if position is None:
        return None
    return Draft(
        data=data,
        models=tuple(models),
        passed=tuple(passed),
        losses=tuple(losses),
        state=tuple(state),
        initial=initial,
        params=params,
        config=tuple(config),
        init=tuple(init),
        early=early,
        position=position,
    )


def _finish(ctx: Context, draft: Draft) -> Plan:
    """Settle names, aliases and the Trainer's arguments."""
    names = attribute_names(ctx, draft)
    late = late_names(draft, names)
    moved_data = {*draft.data.setup, *(one.stmt for one in draft.data.loaders)} if draft.data else set()
    gone = {*draft.init, *draft.config, *moved_data, *ctx.dropped}
    before = [Item(s, ctx.home) for s in ctx.pre if s not in gone]
    before += [ctx.first_look] if ctx.first_look is not None else []
    after = [Item(s, ctx.home) for s in ctx.nest.post]
    around, live = list(ctx.around.items), ctx.around.live
    made_here = [v for v in (*ctx.roles.optimizers, *ctx.roles.schedulers) if v not in ctx.roles.handed]
    movable = [*draft.models, *draft.losses, *(made_here if draft.early else ())]
    alias_before = tuple(v for v in movable if v in ctx.pinned or any(v in ctx.judge.reads(i) for i in before))
    held = [*movable, *draft.passed, *made_here]
    candidates = [v for v in dict.fromkeys(held) if v not in alias_before]
    alias_after = tuple(v for v in candidates if v in live or _read_again(v, after, ctx.judge))
    alias_after += tuple(v for v in ctx.epoch_variable() if v in ctx.storage.needed_after - ctx.storage.pinned)
    alias_after += tuple(v for v in _known_by_name(ctx, draft) if v not in (*alias_after, *alias_before))
    own = [Item(without_moves(s, ctx.home, ctx.roles, ctx.program), ctx.home) for s in [*draft.init, *draft.config]]
    kept = [*before, *after, *own, *ctx.hooks]
    placement = placement_of(ctx.program, ctx.nest, ctx.roles, kept, ctx.judge, ctx.pinned)
    ctx.dropped |= placement.gone
    epochs = epochs_of(ctx.nest, ctx.program)
    read = {v for v, _ in ctx.hook_refs} - ctx.storage.pinned
    counters = [v for v in ctx.epoch_variable() if v in read]
    scripts, seen, rank = script_names(ctx.program), names_seen(ctx), ctx.nest.rank
    return Plan(
        program=ctx.program,
        nest=ctx.nest,
        roles=ctx.roles,
        regions=ctx.regions,
        storage=ctx.storage,
        module=ModulePlan(
            name=unique(ranked(class_name(ctx, draft), rank), scripts),
            instance=instance_name(ctx, draft, {*alias_before, *alias_after}, seen),
            params=tuple(p for p in draft.params if p.kind is not Kind.LATE),
            init=draft.init,
            modules=(*draft.models, *draft.passed, *draft.losses),
            passed=draft.passed,
            state=draft.state,
            initial=tuple(v for v in draft.initial if not any(p.var == v and p.attr is None for p in late)),
            position=draft.position,
            late=late,
            early_optimizers=draft.early,
        ),
        data=draft.data and replace(draft.data, instance=data_name(ctx, [*before, *after, *around])),
        config=draft.config,
        trainer=unique(ranked("trainer", rank), seen),
        accelerator=placement.accelerator,
        devices=placement.devices,
        max_epochs=epochs.count,
        epoch_name=epoch_name(counters, epochs.start, names, late),
        epoch_start=epochs.start,
        names=names,
        alias_before=alias_before,
        alias_after=alias_after,
        perhaps=ctx.storage.entering - {*draft.initial, *draft.state},
        eval_after=tuple(v for v in ctx.roles.models if _left_in_eval(ctx, v, [*after, *around])),
        dropped=ctx.dropped,
        first_look=ctx.first_look,
        methods=_methods(ctx, names, late),
        written_back=written_back(ctx),
    )


def _read_again(var: Var, after: list[Item], judge: Judge) -> bool:
    """Is the variable read behind the loops, before it is bound anew?"""
    for item in after:
        if var in judge.reads(item):
            return True
        if var in item_flow(item).must:
            return False
    return False


def _known_by_name(ctx: Context, draft: Draft) -> list[Var]:
    """What the loops and the DataModule hold that the script goes on with by its own name."""
    held = [v for v in (*ctx.storage.attributes, *draft.state) if v in ctx.storage.bound or v in draft.state]
    if draft.data is not None:
        held += sorted(draft.data.attributes, key=lambda v: v.order) + [one.var for one in draft.data.loaders]
    named = ctx.storage.by_name & ctx.storage.needed_after - ctx.storage.pinned
    return [v for v in dict.fromkeys(held) if v in named]


def _methods(ctx: Context, names: dict[Var, str], late: dict[Param, str]) -> dict[Var, str]:
    """What the methods that go along with the hooks are called on the module."""
    found: dict[Var, str] = {}
    taken = {*names.values(), *late.values()}
    for item in ctx.methods:
        assert isinstance(item.stmt, ast.FunctionDef) and ctx.program.owner is not None
        var = Var(ctx.program.owner, item.stmt.name)
        found[var] = unique(attribute_name(var.name), {*taken, *found.values()})
    return found


def _left_in_eval(ctx: Context, var: Var, after: list[Item]) -> bool:
    """Did the script's own loop leave the model in evaluation mode, where code after it can tell?"""
    if ctx.regions.validation is None:
        return False
    trained_last = any(
        isinstance(f, F.Mode) and f.training and variable(f.receiver, i.frame) == var
        for i in ctx.nest.after
        for f in facts_of(i.stmt, i.frame, ctx.program)
    )
    if trained_last:
        return False
    # a model that is not this function's own is seen by its callers
    made_here = any(d.stmt in ctx.pre for d in ctx.roles.definitions.get(var, []))
    shared = var.frame is not ctx.home or var.name in parameters_of(ctx.home.scope) or not made_here
    return shared or any(_computes(i, var, ctx.judge) for i in after)


def _computes(item: Item, var: Var, judge: Judge) -> bool:
    """Does a statement use a model for more than its parameters?"""
    if var not in judge.reads(item) or isinstance(item.stmt, ast.Delete):
        return False
    plain = 0
    for node in nodes_of(item.shape):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if item.frame.resolve(node.value.id) == var and node.attr in (
                "state_dict",
                "parameters",
                "named_parameters",
            ):
                plain += 1
    names = sum(
        isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and item.frame.resolve(n.id) == var
        for n in nodes_of(item.shape)
    )
    return names > plain or names == 0
