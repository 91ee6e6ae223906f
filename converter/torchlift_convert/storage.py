"""Where each variable of the nest lives once the nest is cut: liveness over the regions decides.

A variable bound in one region and read in another (or in the next round of the same one) becomes an attribute of the
module; all else stays a local of its hook.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.deferred import deferred_attributes, reached_functions
from torchlift_convert.effects import Judge
from torchlift_convert.kept import walk
from torchlift_convert.names import free_names
from torchlift_convert.nest import Nest
from torchlift_convert.program import Frame, Item, Program, Var, VarFlow, flow_over
from torchlift_convert.regions import Header, Region, Regions, loop_variables
from torchlift_convert.roles import Roles
from torchlift_convert.surroundings import Surroundings, live_in, surroundings
from torchlift_convert.syntax import exits_of, nodes_of

# In the order in which an epoch runs them; each list of successors closes the loops.
SUCCESSORS: dict[Region, tuple[Region | None, ...]] = {
    Region.EPOCH_START: (Region.FETCH,),
    Region.FETCH: (Region.BATCH_START,),
    Region.BATCH_START: (Region.STEP,),
    Region.STEP: (Region.BEFORE_STEP,),
    Region.BEFORE_STEP: (Region.BATCH_END,),
    Region.BATCH_END: (Region.FETCH, Region.VAL_START),
    Region.VAL_START: (Region.VAL_STEP, Region.VAL_END),
    Region.VAL_STEP: (Region.VAL_STEP, Region.VAL_END),
    Region.VAL_END: (Region.EPOCH_END,),
    Region.EPOCH_END: (Region.EPOCH_START, None),  # None: what follows the loops
}


@dataclass(frozen=True, eq=False)
class Storage:
    """``attributes``: variables that cross regions. ``replaced``: in this region every use of it is the attribute.
    ``saved``: it stays a local of this region and is stored at the region's end. ``pinned``: module-level variables
    that functions of the script read or bind by name, and that must therefore stay where they are.
    """

    flows: dict[Region, VarFlow]
    attributes: tuple[Var, ...]
    replaced: dict[Region, frozenset[Var]]
    saved: dict[Region, tuple[Var, ...]]
    pinned: frozenset[Var]
    bound: frozenset[Var]  # every variable that some region binds
    needed_after: frozenset[Var]  # read after the nest before anything there binds it
    read_after: frozenset[Var]  # bound in a region, read after the nest
    early: frozenset[Var]  # bound in the nest, and perhaps read in it before that
    entering: frozenset[Var]  # bound in the nest, but read in it before that: the value from before the loops is needed
    read_first: frozenset[Var]  # of these, what the nest itself reads before it binds it
    around: Surroundings
    by_name: frozenset[Var]  # known by its own name behind the loops: it is read elsewhere, or bound anew


def _counter(header: Header | None) -> frozenset[Var]:
    """What ``enumerate`` counts the batches with."""
    return frozenset({header.frame.resolve(header.index)}) if header is not None and header.index else frozenset()


def store(program: Program, nest: Nest, roles: Roles, regions: Regions, judge: Judge) -> Storage:
    """Decide the storage of every variable of the nest."""
    flows = {r: _flow(regions, r) for r in Region}
    rebound = {r: f.may for r, f in flows.items()}
    heads = {Region.STEP: loop_variables(regions.batches), Region.VAL_STEP: loop_variables(regions.validation)}
    flows[Region.FETCH] = _fetched(flows[Region.FETCH], heads[Region.STEP])
    for region, names in heads.items():
        flows[region] = VarFlow(frozenset(), names, names).then(flows[region])
    counter = _counter(regions.batches) - frozenset[Var]().union(*rebound.values())
    for region in (Region.BATCH_START, Region.BATCH_END):  # these hooks are given the batch's number
        flow = flows[region]
        flows[region] = VarFlow(flow.exposed - counter, flow.must, flow.may)
    post = [Item(s, nest.home) for s in nest.post]
    around = surroundings(nest, judge)
    after = live_in(post, around.live, judge)
    live = _liveness(flows, after)
    items = [i for r in Region for i in regions.of(r)]
    bound = frozenset[Var]().union(*(f.may for f in flows.values()), *(judge.bound_through(i) for i in items))
    crossing = frozenset(v for v in bound if v.owned)  # methods that go along with the hooks see them
    special = special_variables(roles, nest)
    counters = nest.counters
    pinned = pinned_variables(program, nest, regions, around) | _held_by_lambdas(nest, around) & (bound | counters)
    pinned |= {v for v in bound if v.frame is program.module and not nest.home.is_module}  # globals that functions bind
    replaced: dict[Region, frozenset[Var]] = {}
    saved: dict[Region, tuple[Var, ...]] = {}
    attributes: dict[Var, None] = {}
    early = {r: any(exits_of(i.stmt) for i in regions.of(r)) for r in Region}
    for region in Region:
        out = _live_out(region, live)
        flow = flows[region]
        loop_bound = heads.get(region, frozenset())
        whole: set[Var] = set()
        keep: list[Var] = []
        for var in sorted((flow.may | flow.exposed) & bound, key=lambda v: v.order):
            if var in special or var in pinned or var in crossing:
                continue
            if var in flow.exposed:
                whole.add(var)
            elif var in flow.may & out:
                batch = region in (Region.STEP, Region.VAL_STEP)
                kept = not early[region] or var in loop_bound - rebound[region]  # known before the hook is left
                if var in flow.must and batch and kept:
                    keep.append(var)
                else:
                    whole.add(var)
            else:
                continue
            attributes[var] = None
        replaced[region] = frozenset(whole | (crossing - pinned - special))
        saved[region] = tuple(keep)
    attributes |= dict.fromkeys(sorted(crossing - pinned - special, key=lambda v: v.order))
    return Storage(
        flows=flows,
        attributes=tuple(attributes),
        replaced=replaced,
        saved=saved,
        pinned=pinned & (bound | counters),
        bound=bound,
        needed_after=after,
        read_after=bound & after,
        early=bound & live[Region.EPOCH_START],
        entering=bound & (live[Region.EPOCH_START] | _seen_when_empty(nest, regions, flows, live, after))
        | crossing - pinned - special,
        read_first=bound & _liveness(flows, frozenset())[Region.EPOCH_START],
        around=around,
        by_name=around.live | flow_over(post).may,
    )


def _fetched(flow: VarFlow, given: frozenset[Var]) -> VarFlow:
    """What fetching a batch does to variables: what it gives is bound where the step takes it; the loop may end."""
    return VarFlow(flow.exposed, frozenset(), flow.may - given)


def _flow(regions: Regions, region: Region) -> VarFlow:
    return flow_over(list(regions.of(region)))


def _liveness(flows: dict[Region, VarFlow], after: frozenset[Var]) -> dict[Region | None, frozenset[Var]]:
    """What is read from the start of each region on, before it is bound: the least fixpoint."""
    live: dict[Region | None, frozenset[Var]] = {r: frozenset() for r in Region}
    live[None] = after
    changed = True
    while changed:
        changed = False
        for region in reversed(Region):
            out = _live_out(region, live)
            new = flows[region].exposed | (out - flows[region].must)
            if new != live[region]:
                live[region], changed = new, True
    return live


def _seen_when_empty(
    nest: Nest,
    regions: Regions,
    flows: dict[Region, VarFlow],
    live: dict[Region | None, frozenset[Var]],
    after: frozenset[Var],
) -> frozenset[Var]:
    """What keeps its value from before the loops when a while loop makes no round, or a stream gives no batch."""
    if regions.stream is None and not isinstance(nest.epochs, ast.While):
        return frozenset()
    behind = live[Region.VAL_START] if regions.stream is not None else frozenset()
    return after | (behind - flows[Region.EPOCH_START].must)


def _live_out(region: Region, live: dict[Region | None, frozenset[Var]]) -> frozenset[Var]:
    return frozenset[Var]().union(*(live[s] for s in SUCCESSORS[region]))


def special_variables(roles: Roles, nest: Nest) -> frozenset[Var]:
    """Variables whose place is settled by their role."""
    settled = {*roles.optimizers, *roles.schedulers, *roles.models, *roles.loaders, *roles.bars}
    return frozenset(settled | nest.counters)


def _held_by_lambdas(nest: Nest, around: Surroundings) -> frozenset[Var]:
    """Variables that a lambda made before the loops reads whenever it is called."""
    made = [*nest.pre, *(i.stmt for i in around.items)]
    held = [n for s in made for n in nodes_of(s) if isinstance(n, ast.Lambda)]
    return frozenset(nest.home.resolve(name) for one in held for name in free_names(one).reads)


def pinned_variables(program: Program, nest: Nest, regions: Regions, around: Surroundings) -> frozenset[Var]:
    """Variables that functions left as they are read or bind as globals (or through a closure).

    Functions that nothing calls are left as well. What the home function declares ``global`` stays a global.
    """
    items = [i for r in Region for i in regions.of(r)]
    roots: list[tuple[Frame, ast.AST]] = [(i.frame, n) for i in items for n in nodes_of(i.shape)]
    kept = [*nest.pre, *nest.post, *(i.stmt for i in around.items)]
    roots += [(nest.home, n) for s in kept for n in nodes_of(s)]
    carried = {n for i in items for n in walk(i.stmt) if isinstance(n, ast.FunctionDef)}  # they go with the hook
    found = {v for v in flow_over(items).may if v.frame is program.module and not nest.home.is_module}
    followed = {*(i.frame.scope for i in items), *nest.followed, nest.home.scope}
    left = [name for name, function in program.module.functions.items() if function not in followed]
    roots += [(program.module, ast.Name(name, ast.Load())) for name in left]
    by_frame: dict[int, tuple[Frame, list[ast.AST]]] = {}
    for frame, node in roots:
        by_frame.setdefault(id(frame), (frame, []))[1].append(node)
    for frame, nodes in by_frame.values():
        for func, inner in reached_functions(program, frame, nodes).items():
            if func in carried:
                continue
            if isinstance(func, (ast.FunctionDef, ast.AsyncFunctionDef)):
                free = free_names(func)
                found |= {inner.resolve(name) for name in free.reads | free.binds}
    found = {v for v in found if v.frame is not None and not v.owned}
    return frozenset(found | (deferred_attributes(program, items) if program.owner is not None else set()))
