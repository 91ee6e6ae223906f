"""The stages of a conversion, one after the other."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace

import libcst as cst

from torchlift_convert.cutting import Cutter, read_bars
from torchlift_convert.diagnostics import note
from torchlift_convert.effects import Judge
from torchlift_convert.emit_script import ScriptWriter
from torchlift_convert.findings import clipped_while_scaled, never_trained_again
from torchlift_convert.hidden import refuse_hidden
from torchlift_convert.kept import walk
from torchlift_convert.linked import refuse_rebinding, restored, with_links
from torchlift_convert.listing import goes_over_list
from torchlift_convert.loaders import containers, data_variables, unknown_iterables
from torchlift_convert.locating import Site, is_branch
from torchlift_convert.loops import is_range
from torchlift_convert.names import free_names, own_nodes
from torchlift_convert.nest import Finder, Nest
from torchlift_convert.plan import Plan
from torchlift_convert.planning.assemble import assemble
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Program, Var, build
from torchlift_convert.promises import with_head_note
from torchlift_convert.regions import Region, Regions
from torchlift_convert.render import Rendered, render, with_import, without_unused_imports
from torchlift_convert.reserved import ranked, script_names, unique
from torchlift_convert.rewrite import Origins
from torchlift_convert.roles import Roles, assign_roles, nest_items
from torchlift_convert.samplers import sampler_variables, tells_epoch
from torchlift_convert.sharding import refuse_sharding
from torchlift_convert.storage import store
from torchlift_convert.streams import word_for
from torchlift_convert.surroundings import surroundings
from torchlift_convert.syntax import Script, span_of
from torchlift_convert.trainer_args import may_have_none
from torchlift_convert.types import Diagnostic, Optimization, Span, Target


@dataclass(frozen=True, eq=False)
class Training:
    """One of the trainings of a script. ``place``: where its loop stands in the script as it was written."""

    program: Program
    finder: Finder
    site: Site
    place: Span
    rank: int = 0
    last: bool = False  # no other is left


def find(script: Script, refused: frozenset[Span], original: Callable[[Span], Span]) -> Training | None:
    """The training to convert next: the last one that is left, and none inside a function that another one follows.

    ``original``: lines of the text as those of the script that it came from, where ``refused`` trainings stand.

    Raises:
        Refuse: the way to what trains is not known.
    """
    program = build(script)
    finder = Finder(program)
    sites = finder.sites()
    if not sites:
        refuse_hidden(program)
    if script.links is not None and len(sites) > 1:
        finder.find()  # they are refused, unless one alone matters
        sites = sites[:1]
    trainings = [Training(program, finder, s, original(span_of(s.outer)), n) for n, s in enumerate(sites)]
    left = [one for one in trainings if one.place not in refused]
    free = [one for one in left if not one.site.within] or left
    return replace(free[-1], last=len(left) == 1) if free else None


def make_plan(training: Training) -> Plan:
    """Every decision.

    Raises:
        Refuse: the training cannot be carried over.
    """
    program, site = training.program, training.site
    refuse_sharding(program)
    nest = replace(training.finder.lay_out(site), rank=training.rank)
    refuse_rebinding(program.script, nest)
    plan = plan_of(program, nest)
    if any(_is_branch_of(nest, n) for n in range(len(nest.path))) and not any(block.branch for block in nest.path):
        apart = replace(nest, path=tuple(replace(b, branch=_is_branch_of(nest, n)) for n, b in enumerate(nest.path)))
        around = surroundings(apart, Judge(program))
        if (around.live | around.beside) & _moved(plan):
            return plan_of(program, apart)
    return plan


def _is_branch_of(nest: Nest, number: int) -> bool:
    """Is a block on the way to the loops run on a condition only?"""
    above = nest.path[number - 1] if number else None
    return above is not None and is_branch(nest.path[number].body, above.body[above.index])


def _moved(plan: Plan) -> frozenset[Var]:
    """What a module, a DataModule or the Trainer holds after the conversion."""
    roles, data = plan.roles, plan.data
    held = {*plan.names, *roles.optimizers, *roles.schedulers, *plan.storage.bound}
    return frozenset(held | ({*data.attributes, *(one.var for one in data.loaders)} if data is not None else set()))


def plan_of(program: Program, nest: Nest) -> Plan:
    """A loop over steps whose data cannot be told apart goes over the numbers of its range."""
    plan = _plan(program, nest)
    if nest.batches is None and nest.epochs is not None and (plan.data is None or not _is_automatic(plan)):
        by_steps = _plan(program, nest.by_steps)
        if plan.data is None or _is_automatic(by_steps):
            return by_steps
    return plan


def _is_automatic(plan: Plan) -> bool:
    return plan.regions.optimization is Optimization.AUTOMATIC


def _plan(program: Program, nest: Nest) -> Plan:
    judge = Judge(program)
    roles = assign_roles(program, nest)
    judge.containers = containers(roles)
    judge.data = data_variables(roles, program) | (unknown_iterables(roles, program, judge) - set(roles.models))
    regions = Cutter(program, nest, roles, judge).cut()
    bars = read_bars(regions, roles, judge)
    if bars:  # they stay what they were
        roles = replace(roles, bars=roles.bars - bars)
        regions = Cutter(program, nest, roles, judge).cut()
    lazy = _needs_lazy(regions, roles, judge) or may_have_none(nest, program)
    storage = store(program, nest, roles, regions, judge)
    plan = assemble(Context(program, nest, roles, regions, storage, judge))
    header = regions.batches
    loaded = header is not None and regions.stream is None
    return replace(
        plan,
        index_loader=loaded and header is not None and is_range(header.iterable),
        list_loader=loaded and header is not None and goes_over_list(nest, header, roles, judge),
        lazy=lazy,
        promise=word_for(header, nest, roles, program, judge) if loaded and header is not None else None,
        generator=unique("batches", _taken(plan)),
        wrapper=unique(ranked("Batches", nest.rank), script_names(program)),
    )


def _taken(plan: Plan) -> set[str]:
    """Names that the generated classes give to other things."""
    names = {*plan.names.values(), *plan.module.late.values()}
    if plan.data is not None:
        names |= {plan.data.attribute(v) for v in plan.data.attributes} | {p.name for p in plan.data.params}
    return names


def _needs_lazy(regions: Regions, roles: Roles, judge: Judge) -> bool:
    """Would a Trainer go through the batches in another way than one that makes the iterator at the first batch?

    It does where the start of an epoch draws, or changes the data or its sampler: a Trainer has made the first iterator
    by then. And where it finds a sampler that counts epochs, which the script may not tell of them.

    Or is the loop left there: then the iterator, which draws too, is not made at all.
    """
    header, data = regions.batches, judge.data | sampler_variables(roles, judge.program)
    if header is not None and tells_epoch(header.iterable, header.source, roles, judge.program):
        return True
    starting = regions.of(Region.EPOCH_START)
    return regions.leaves_at_start or any(judge.of_item(i).draws or judge.changes(i) & data for i in starting)


def emit(plan: Plan, target: Target) -> tuple[Rendered, Origins]:
    """The new text, and which original statement each of its lines comes from."""
    script = plan.program.script
    known = _framework(plan.program)
    lightning = known or unique("L", _names_in_the_way(plan))
    dataloader = _dataloader(plan.program)
    origins = Origins()
    writer = ScriptWriter(plan, origins, lightning, dataloader)
    module = writer.write()
    if dataloader == "DataLoader" and "DataLoader" not in plan.program.imports:
        module = _import_in_head(module, "from torch.utils.data import DataLoader")
    if plan.regions.scaler is not None and plan.program.imports.get("nullcontext") != "contextlib.nullcontext":
        module = _import_in_head(module, "from contextlib import nullcontext")
    if "torch" in writer.used and "torch" not in plan.program.imports:
        module = _import_in_head(module, "import torch")
    links = script.links
    final: dict[str, str] = {}
    if links is not None:
        module, final = with_links(module, links, writer.used, writer.came)
    module = module if known else with_import(module, lightning, target)
    before, spared = (script.tree, frozenset[str]()) if links is None else (links.script, links.loud)
    module = without_unused_imports(module, before, writer.used, spared)
    if plan.promise is not None:
        module = with_head_note(module, plan.promise, script)
    rendered = render(module, writer.own)
    return (rendered if links is None else restored(rendered, links, final)), origins


def _names_in_the_way(plan: Plan) -> set[str]:
    """Names that the framework's must not be: all but those that functions which stay keep to themselves."""
    tree, items = plan.program.script.tree, nest_items(plan.nest)
    found = set(plan.program.imports)
    for scope in {tree, plan.nest.home.scope, *plan.nest.followed, *(i.frame.scope for i in items)}:
        found |= {n.id for n in own_nodes(scope) if isinstance(n, ast.Name)}
    for node in walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            free = free_names(node)
            found |= free.reads | free.binds
        elif isinstance(node, ast.ClassDef):
            found |= {n.id for n in own_nodes(node) if isinstance(n, ast.Name)}
    return found


def _framework(program: Program) -> str | None:
    """The name by which a script that is Lightning in part knows the framework."""
    frameworks = ("torchlift", "lightning", "lightning.pytorch", "pytorch_lightning")
    return next((local for local, full in program.imports.items() if full in frameworks and "." not in local), None)


def _dataloader(program: Program) -> str:
    for local, full in program.imports.items():
        if full in ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader"):
            return local
        if full == "torch.utils.data":
            return f"{local}.DataLoader" if local != "torch" else "torch.utils.data.DataLoader"
    return "torch.utils.data.DataLoader" if program.imports.get("torch") == "torch" else "DataLoader"


def _import_in_head(module: cst.Module, line: str) -> cst.Module:
    body = list(module.body)
    code = cst.Module([]).code_for_node
    at = next((n for n, s in enumerate(body) if code(s).lstrip().startswith(("import torch", "from torch"))), 0)
    body.insert(at + 1, cst.parse_statement(line))
    return module.with_changes(body=body)


def findings_of(plan: Plan) -> tuple[Diagnostic, ...]:
    """What the user should know about a conversion that was made."""
    out: list[Diagnostic] = never_trained_again(plan) + clipped_while_scaled(plan)
    if plan.regions.why_manual is not None:
        why, stmt = plan.regions.why_manual
        out.append(note("TL302", f"Manual optimization: {why}.", stmt))
    if plan.data is None:
        out.append(
            note("TL701", "The data stays where it was: it cannot be told apart from the rest.", plan.nest.outer)
        )
    return tuple(out)
