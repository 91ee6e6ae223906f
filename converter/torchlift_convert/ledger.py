"""The ledger: one fate for every statement of the original. It adds up, or the conversion is an internal error."""

from __future__ import annotations

import ast
from dataclasses import replace

from torchlift_convert.check import Broken
from torchlift_convert.kept import walk
from torchlift_convert.plan import Plan
from torchlift_convert.regions import Gone, Region
from torchlift_convert.render import Rendered
from torchlift_convert.rewrite import Origins
from torchlift_convert.syntax import span_of
from torchlift_convert.types import Became, Fate, FateKind, Span


def fates_of(plan: Plan, rendered: Rendered, origins: Origins) -> tuple[Fate, ...]:
    """What became of every statement, in source order."""
    script = plan.program.script
    targets: dict[ast.stmt, list[Span]] = {}
    for key, stmt in origins.stmt_of.items():
        if key in rendered.lines:
            targets.setdefault(stmt, []).append(rendered.lines[key])
    kept = {id(n): s for s, n in script.node.items()} | {id(n): s for s, n in script.line.items()}
    for key, span in rendered.lines.items():
        if key in kept:
            for stmt in _on_node(plan, key, kept):
                targets.setdefault(stmt, []).append(span)
    gone = _gone(plan)
    out: list[Fate] = []
    for stmt in told(plan):
        fate = _fate(stmt, plan, targets, gone, origins)
        if fate is None:
            raise Broken(f"the statement of line {stmt.lineno} has no fate")
        out.append(_on_a_word(fate, plan))
    return tuple(out)


def told(plan: Plan) -> list[ast.stmt]:
    """The statements that have a fate: those of the script, and those of other files that came to it."""
    script = plan.program.script
    scopes = {plan.nest.home.scope, *plan.nest.followed, *(i.frame.scope for r in Region for i in plan.regions.of(r))}
    came = {s for scope in scopes for s in _with_all(scope) if script.is_linked(s)}
    return [s for s in script.statements if s in came or not script.is_linked(s)]


def _with_all(scope: ast.AST) -> list[ast.stmt]:
    return [] if isinstance(scope, ast.Module) else [n for n in walk(scope) if isinstance(n, ast.stmt)]


def _on_a_word(fate: Fate, plan: Plan) -> Fate:
    """The fate of a statement whose conversion rests on the author's word says so."""
    vouch = plan.promise.vouch if plan.promise is not None else None
    if vouch is None or vouch.span != fate.source:
        return fate
    return replace(fate, note=f"on the author's word: {vouch.claim}")


def _on_node(plan: Plan, key: int, kept: dict[int, ast.stmt]) -> list[ast.stmt]:
    """The statements of an untouched node: all of a line's."""
    line_of = plan.program.script.line
    stmt = kept[key]
    line = line_of.get(stmt)
    return [stmt] if line is None else [s for s, held in line_of.items() if held is line]


def _gone(plan: Plan) -> dict[ast.stmt, Gone]:
    """Statements that no line of the output stands for, and who does what they did."""
    gone = {**plan.regions.gone, **plan.dropped}
    nest, module = plan.nest, plan.module.name
    fit = f"{plan.trainer}.fit"
    if nest.written_epochs is not None:
        gone[nest.written_epochs] = Gone(FateKind.TRAINER, f"Trainer(max_epochs={plan.max_epochs})")
    if nest.written_batches is not None:
        gone[nest.written_batches] = Gone(FateKind.TRAINER, f"{fit}: calls {module}.training_step for each batch")
    if plan.regions.validation is not None:
        where = f"{fit}: calls {module}.validation_step for each batch"
        gone[plan.regions.validation.stmt] = Gone(FateKind.TRAINER, where)
    scopes = {id(i.frame.scope): i.frame.scope for r in Region for i in plan.regions.of(r)}
    scopes |= {id(f): f for f in nest.followed}  # of one that the Trainer replaces whole, no statement is left
    for scope in scopes.values():
        if isinstance(scope, ast.FunctionDef) and scope is not nest.home.scope:
            gone.setdefault(scope, Gone(FateKind.MERGED, f"hooks of {module}"))
            for node in walk(scope):
                if isinstance(node, ast.Return):
                    gone.setdefault(node, Gone(FateKind.MERGED, f"hooks of {module}"))
    return gone


def _fate(
    stmt: ast.stmt,
    plan: Plan,
    targets: dict[ast.stmt, list[Span]],
    gone: dict[ast.stmt, Gone],
    origins: Origins,
) -> Fate | None:
    spans = tuple(sorted(set(targets.get(stmt, ()))))
    where = _where(stmt, plan, origins)
    if spans and where and where != "kept":
        return Fate(span_of(stmt), FateKind.MOVED, where, spans)
    if spans:
        return Fate(span_of(stmt), FateKind.KEPT, "kept", spans)
    ancestor: ast.stmt | None = stmt
    while ancestor is not None:
        if ancestor in gone:
            return Fate(span_of(stmt), gone[ancestor].kind, gone[ancestor].where)
        ancestor = plan.program.script.parent[ancestor]
    if _calls_followed(stmt, plan):
        return Fate(span_of(stmt), FateKind.MERGED, f"hooks of {plan.module.name}")
    if isinstance(stmt, (ast.Import, ast.ImportFrom)):
        return Fate(span_of(stmt), FateKind.MERGED, "nothing uses the import any more")
    if where and where != "kept":  # carried, and nothing of it was left: it only moved what the Trainer moves
        return Fate(span_of(stmt), FateKind.TRAINER, "Trainer: batches are moved to the device")
    return None


def _where(stmt: ast.stmt, plan: Plan, origins: Origins) -> str | None:
    ancestor: ast.stmt | None = stmt
    while ancestor is not None:
        if ancestor in origins.places:
            return ", ".join(dict.fromkeys(origins.places[ancestor]))
        ancestor = plan.program.script.parent[ancestor]
    return None


def _calls_followed(stmt: ast.stmt, plan: Plan) -> bool:
    """A call statement of a function whose statements are hooks now."""
    names = {f.name for f in plan.nest.followed}
    names |= {i.frame.name for r in Region for i in plan.regions.of(r) if i.frame.base is not plan.nest.home}
    return any(isinstance(n, ast.Name) and n.id in names for n in walk(stmt))


def became_of(plan: Plan) -> tuple[Became, ...]:
    """The report's lines: this part of the original became that part of the output."""
    nest, module = plan.nest, plan.module.name
    out: list[Became] = []
    if plan.data is not None:
        stmts = [*plan.data.setup, *(one.stmt for one in plan.data.loaders)]
        stmts = stmts or [nest.batches or nest.outer]
        span = Span(min(s.lineno for s in stmts), max(s.end_lineno or s.lineno for s in stmts))
        out.append(Became("datasets and loaders", span, plan.data.name))
    if plan.module.init:
        first = plan.module.init[0]
        out.append(Became("model, losses and state", span_of(first), f"{module}.__init__"))
    if plan.config:
        span = Span(plan.config[0].lineno, plan.config[-1].end_lineno or plan.config[-1].lineno)
        out.append(Became("optimizers and schedulers", span, f"{module}.configure_optimizers"))
    if nest.epochs is not None:
        out.append(
            Became(
                "the epoch loop", Span(nest.epochs.lineno, nest.epochs.lineno), f"Trainer(max_epochs={plan.max_epochs})"
            )
        )
    if nest.batches is not None:
        line = nest.batches.lineno
        out.append(Became("the batch loop", Span(line, line), f"{module}.training_step"))
    if plan.regions.validation is not None:
        line = plan.regions.validation.stmt.lineno
        out.append(Became("the evaluation loop", Span(line, line), f"{module}.validation_step"))
    return tuple(out)
