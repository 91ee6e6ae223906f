"""What a stream of batches is made from, and whether that is all the data's own."""

from __future__ import annotations

from dataclasses import replace

from torchlift_convert.data import without_moves
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Item, Var, flow_over
from torchlift_convert.references import Reference, item_references
from torchlift_convert.regions import Region, loop_variables
from torchlift_convert.storage import Storage


def own_state(ctx: Context) -> frozenset[Var]:
    """Variables that nothing but the fetching of batches uses in the loops and after them, as an iterator made anew."""
    others = [i for r in Region if r is not Region.FETCH for i in ctx.regions.of(r)]
    others += [*(Item(s, ctx.home) for s in ctx.nest.post), *ctx.around.items]
    used = frozenset[Var]().union(*(ctx.judge.reads(i) | ctx.judge.changes(i) for i in others))
    bound = ctx.storage.flows[Region.FETCH].may & frozenset(ctx.storage.attributes)
    return frozenset(v for v in bound - used - ctx.storage.pinned if v.frame is ctx.home)


def sources(ctx: Context) -> dict[Reference, None] | None:
    """What the fetching of batches reads from before the loops; None when it reads what the other hooks make."""
    fetch, own = ctx.regions.of(Region.FETCH), own_state(ctx)
    if ctx.regions.stream is not None and ctx.regions.stream.generated and not loop_variables(ctx.regions.batches):
        return None  # it gives no data at all
    bare = [
        replace(i, stmt=without_moves(i.stmt, i.frame, ctx.roles, ctx.program)) if not i.holes else i for i in fetch
    ]
    given = loop_variables(ctx.regions.batches) | flow_over(list(fetch)).may
    trained = {*ctx.roles.trained, *ctx.roles.optimizers, *ctx.roles.schedulers, *ctx.roles.losses}
    foreign = (ctx.storage.bound | ctx.storage.pinned | ctx.epoch_variable()) - own - given
    found: dict[Reference, None] = {}
    for reference in item_references(bare, ctx.roles):
        var = reference[0]
        if var in given - own:
            continue
        if var in foreign or var in trained or (var in ctx.pinned and not ctx.outside(var) and not ctx.home.is_module):
            return None
        if not ctx.outside(var):
            found[reference] = None
    local = flow_over(list(fetch)).may - loop_variables(ctx.regions.batches) - own
    return None if local & (frozenset(ctx.storage.attributes) | ctx.storage.pinned) else found


def without(storage: Storage, own: frozenset[Var]) -> Storage:
    """The storage of the module, without what the data keeps."""
    return replace(
        storage,
        attributes=tuple(v for v in storage.attributes if v not in own),
        replaced={r: vs - own for r, vs in storage.replaced.items()},
        saved={r: tuple(v for v in vs if v not in own) for r, vs in storage.saved.items()},
        bound=storage.bound - own,
        read_after=storage.read_after - own,
        entering=storage.entering - own,
    )
