"""The stages of a conversion, one after the other."""

from __future__ import annotations

import ast
from dataclasses import replace

import libcst as cst

from torchlift_convert.cutting import Cutter, read_bars
from torchlift_convert.diagnostics import Refuse, note
from torchlift_convert.effects import Judge
from torchlift_convert.emit_script import ScriptWriter
from torchlift_convert.facts import Bar
from torchlift_convert.findings import clipped_while_scaled, never_trained_again
from torchlift_convert.linked import refuse_rebinding, restored, with_links
from torchlift_convert.listing import goes_over_list
from torchlift_convert.loaders import containers, data_variables, makers_of, oddity_of, unknown_iterables
from torchlift_convert.loops import is_range
from torchlift_convert.nest import Finder, Nest
from torchlift_convert.plan import Plan
from torchlift_convert.planning.assemble import assemble
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Program, build
from torchlift_convert.promises import PLAIN_LOADER, Promise, promise_of, with_head_note
from torchlift_convert.recognisers import fact_of
from torchlift_convert.references import references
from torchlift_convert.regions import Region, Regions
from torchlift_convert.render import Rendered, render, with_import, without_unused_imports
from torchlift_convert.reserved import unique
from torchlift_convert.rewrite import Origins
from torchlift_convert.roles import Roles, assign_roles, variable
from torchlift_convert.storage import store
from torchlift_convert.syntax import Script
from torchlift_convert.types import Diagnostic, Target


def find(script: Script) -> tuple[Program, Nest] | None:
    """The training loop of a script."""
    program = build(script)
    nest = Finder(program).find()
    if nest is not None:
        refuse_rebinding(script, nest)
    return None if nest is None else (program, nest)


def make_plan(program: Program, nest: Nest) -> Plan:
    """Every decision. A loop over steps whose data cannot be told apart goes over the numbers of its range."""
    plan = _plan(program, nest)
    if nest.batches is None and plan.data is None and nest.epochs is not None:
        plan = _plan(program, replace(nest, epochs=None, batches=nest.epochs))
    return plan


def _plan(program: Program, nest: Nest) -> Plan:
    judge = Judge(program)
    roles = assign_roles(program, nest)
    judge.containers = containers(roles)
    judge.data = data_variables(roles, program) | unknown_iterables(roles, program, judge)
    regions = Cutter(program, nest, roles, judge).cut()
    bars = read_bars(regions, roles, judge)
    if bars:  # they stay what they were
        roles = replace(roles, bars=roles.bars - bars)
        regions = Cutter(program, nest, roles, judge).cut()
    lazy = _needs_lazy(regions, judge)
    storage = store(program, nest, roles, regions, judge)
    plan = assemble(Context(program, nest, roles, regions, storage, judge))
    header = regions.batches
    indexed = header is not None and is_range(header.iterable)
    listed = goes_over_list(nest, regions, roles, judge)
    promise = None
    if nest.batches is not None and header is not None and not listed:
        promise = _check_iterable(program, nest, roles, plan, judge)
    return replace(plan, promise=promise, index_loader=indexed, list_loader=listed, lazy=lazy)


def _needs_lazy(regions: Regions, judge: Judge) -> bool:
    """Does anything draw at the start of an epoch, where Lightning has made the first iterator already?"""
    return any(judge.of_item(i).draws for i in regions.of(Region.EPOCH_START))


def _check_iterable(program: Program, nest: Nest, roles: Roles, plan: Plan, judge: Judge) -> Promise | None:
    """What the batch loop goes over must be something that a Trainer iterates in the same way, or promised to be."""
    header = plan.regions.batches
    assert header is not None
    if is_range(header.iterable):
        changed = {v for v, _ in references(header.iterable, header.source, roles)} & plan.storage.bound
        if not changed:
            return None
        raise Refuse(
            "TL702",
            "The range of the batch loop changes inside the loops.",
            header.stmt,
            "Compute it once, before the loops.",
        )
    var = variable(header.iterable, header.source)
    bound = roles.definitions.get(var, []) if var is not None else []
    if makers_of(header.iterable, header.source, roles, program):
        why = oddity_of(header.iterable, header.source, roles, program)
        if why is None:
            return None
        remedy = "Give the dataset a __len__." if "length" in why else "Leave generator= out and seed torch instead."
        raise Refuse("TL702", f"The loader '{ast.unparse(header.iterable)}' {why}.", header.stmt, remedy)
    if any(isinstance(d.value, ast.Call) and isinstance(fact_of(d.value, d.frame, program), Bar) for d in bound):
        raise Refuse(
            "TL702",
            f"Which bar '{ast.unparse(header.iterable)}' is, or what it stands at, decides more than what is shown.",
            header.stmt,
            "Loop over the DataLoader under one bar, count with enumerate(), and compute its text in front of that.",
        )
    unseen = var is not None and var not in plan.storage.bound and var in unknown_iterables(roles, program, judge)
    refusal = Refuse(
        "TL702",
        f"The batches come from '{ast.unparse(header.iterable)}', which is not made by a DataLoader in this script.",
        header.stmt,
        "Make a torch.utils.data.DataLoader before the loop and iterate that.",
        claim=f"'{ast.unparse(header.iterable)}' is {PLAIN_LOADER}" if unseen else "",
    )
    return promise_of(refusal, program.script)


def emit(plan: Plan, target: Target) -> tuple[Rendered, Origins]:
    """The new text, and which original statement each of its lines comes from."""
    script = plan.program.script
    names = {n.id for n in ast.walk(script.tree) if isinstance(n, ast.Name)} | set(plan.program.imports)
    lightning = unique("L", names)
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
        module, final = with_links(module, links, writer.used)
    module = with_import(module, lightning, target)
    before, spared = (script.tree, frozenset[str]()) if links is None else (links.script, links.loud)
    module = without_unused_imports(module, before, writer.used, spared)
    if plan.promise is not None:
        module = with_head_note(module, plan.promise, script)
    rendered = render(module, writer.own)
    return (rendered if links is None else restored(rendered, links, final)), origins


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
