"""``convert``: the pure core, source text in, a Result out."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace

from torchlift_convert import directives
from torchlift_convert.check import Broken, check
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.hidden import Hidden, acts
from torchlift_convert.ledger import became_of, fates_of
from torchlift_convert.links import Links
from torchlift_convert.lowering.lower import Lowered, lower
from torchlift_convert.old import is_old, refuse_old_torch
from torchlift_convert.pipeline import Training, emit, find, findings_of, make_plan
from torchlift_convert.plan import Plan
from torchlift_convert.several import HIDDEN, Go, carried, convert_all, stays, to_original
from torchlift_convert.syntax import Unreadable, decode, parse, python_tree
from torchlift_convert.types import Diagnostic, Fate, Options, Proof, Result, Severity, Span, Status, Target

_FRAMEWORK = re.compile(r"\b(?:torchlift|lightning|pytorch_lightning)\b")


def convert(source: str | bytes, options: Options | None = None) -> Result:
    """Convert one script.

    Args:
        source: the text of the script, or its bytes (then the encoding declaration and BOM are honoured).
        options: target framework and the name used in messages.

    Returns:
        A Result; this function raises only on bugs of its own.
    """
    options = options or Options()
    try:
        text = decode(source)
        tree = python_tree(text)
    except Unreadable as error:
        return _unreadable(error, source)
    already = is_lightning(tree)
    if already and not _may_train(text, tree):
        return Result(Status.ALREADY)
    if directives.read(text).skip and "backward" in text:
        return Result(Status.SKIPPED)
    result = _lowest(text, tree, options)
    if result.status in (Status.CONVERTED, Status.REFUSED) and ("volatile" in text or ".data[0]" in text):
        try:
            refuse_old_torch(tree)
        except Refuse as refusal:
            return _refused(text, refusal)
    return result


def _refused(text: str, refusal: Refuse) -> Result:
    refused = Result(Status.REFUSED, diagnostics=(refusal.diagnostic,))
    return directives.apply(directives.read(text), refused)


def _lowest(text: str, tree: ast.Module, options: Options) -> Result:
    """The conversion of the plain loop that the script is, or that it has in an object of another framework."""
    lowered = _lowered(text, tree)
    if isinstance(lowered, Result):
        return directives.apply(directives.read(text), lowered)
    if lowered is not None:
        vouched = lowered.vouched(options.vouched)
        return lowered.told(_in_project(lowered.text, python_tree(lowered.text), replace(options, vouched=vouched)))
    return _in_project(text, tree, options)


def _in_project(text: str, tree: ast.Module, options: Options) -> Result:
    """The conversion of a plain script, with what it uses of its project."""
    links = None if is_lightning(tree) else _links(text, tree, options)
    if links is None:
        return _told(text, tree, None, options.target, options.vouched)
    vouched = frozenset((code, links.line_of(line)) for code, line in options.vouched)
    return links.in_files(_told(links.text, python_tree(links.text), links, options.target, vouched))


def _lowered(text: str, tree: ast.Module) -> Lowered | Result | None:
    """The plain loop of a script that trains through an object of another framework; None where it does not."""
    if "backward" not in text:
        return None
    try:
        return lower(text, tree) if "Accelerator(" in text else None
    except Refuse as refusal:
        return Result(Status.REFUSED, diagnostics=(refusal.diagnostic,))


def _told(
    text: str, tree: ast.Module, links: Links | None, target: Target, vouched: frozenset[tuple[str, int]]
) -> Result:
    """The conversion of a text, as far as its comments want to hear of it."""
    if not _may_train(text, tree):
        return Result(Status.NO_LOOP)
    said = directives.read(text)
    return directives.apply(said, _convert(text, tree, links, target, said.vouched() | vouched))


def _may_train(text: str, tree: ast.Module) -> bool:
    """Is there a ``backward`` of something at all? Most files that have the word in them speak of other things."""
    return "backward" in text and any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(tree))


def _convert(
    text: str, tree: ast.Module, links: Links | None, target: Target, vouched: frozenset[tuple[str, int]]
) -> Result:
    def go(current: str, refused: frozenset[Span], fates: Sequence[Fate]) -> Go | None:
        now = tree if current is text else python_tree(current)
        script = replace(parse(current, now, links), vouched=carried(vouched, fates))
        if HIDDEN in refused:
            return None
        try:
            training = find(script, refused, to_original(fates))
        except Refuse as refusal:
            hidden = isinstance(refusal, Hidden)
            refused_all = Result(Status.REFUSED, diagnostics=(refusal.diagnostic,), hidden=hidden)
            return None if is_lightning(now) else Go(refused_all, HIDDEN)
        return None if training is None else _one(training, target)

    try:
        found = convert_all(text, go, once=links is not None)
    except Unreadable as error:
        return _unreadable(error)
    if is_lightning(tree) and (found is None or found.status is not Status.CONVERTED):
        return Result(Status.ALREADY, diagnostics=stays(found.diagnostics) if found is not None else ())
    return found or Result(Status.NO_LOOP)


def _one(training: Training, target: Target) -> Go:
    """The conversion of one training, or its refusal."""
    try:
        plan = make_plan(training)
        rendered, origins = emit(plan, target)
        check(training.program.script, rendered)
    except (Refuse, Broken) as refusal:
        hidden = isinstance(refusal, Hidden)
        return Go(
            Result(Status.REFUSED, diagnostics=(refusal.diagnostic,), hidden=hidden), training.place, last=training.last
        )
    return Go(
        Result(
            Status.CONVERTED,
            Proof.BY_CONSTRUCTION if plan.promise is None else Proof.VOUCHED,
            code=rendered.text,
            optimization=plan.regions.optimization,
            datamodule=plan.data.name if plan.data else None,
            module=plan.module.name,
            became=became_of(plan),
            fates=fates_of(plan, rendered, origins),
            diagnostics=findings_of(plan),
            vouched=(plan.promise.vouch,) if plan.promise is not None else (),
        ),
        place=training.place,
        ranked=_ranked(plan),
        last=training.last,
    )


def _ranked(plan: Plan) -> tuple[str, ...]:
    """The names in the output that bear the number of the training, and nothing of the script's own."""
    made = [plan.module.name, plan.module.instance, plan.trainer, plan.wrapper]
    made += [plan.data.name, plan.data.instance] if plan.data is not None else []
    number = str(plan.nest.rank + 1)
    return tuple(n for n in made if plan.nest.rank and n.endswith(number) and n not in plan.program.script.text)


def _links(text: str, tree: ast.Module, options: Options) -> Links | None:
    """The script with what it uses of its project; None when that is nothing, or when it does nothing itself."""
    if options.project is None or not ("backward" in text or acts(tree)):
        return None
    from torchlift_convert.linking import library, linker

    project = options.project
    modules = library.Library(project.read, project.roots, project.path)
    return linker.link(text, tree, modules, project.package)


def _unreadable(error: Unreadable, source: str | bytes = "") -> Result:
    """``source``: where the line stands that may be old Python."""
    span = Span(error.line or 1, error.line or 1)
    lines = source.splitlines() if isinstance(source, str) else source.decode("utf-8", "replace").splitlines()
    old = is_old(lines[error.line - 1]) if 0 < error.line <= len(lines) else ""
    remedy = f"{old[0].upper()}{old[1:]}." if old else ""
    return Result(Status.UNREADABLE, diagnostics=(Diagnostic("TL902", Severity.REFUSAL, str(error), span, remedy),))


def is_lightning(tree: ast.Module) -> bool:
    """Does the file define a LightningModule, or hand one to a Trainer, already?"""
    imports = [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
    names = [a.name for n in imports if isinstance(n, ast.Import) for a in n.names]
    names += [n.module or "" for n in imports if isinstance(n, ast.ImportFrom)]
    if not any(_FRAMEWORK.match(name) for name in names):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            if any(ast.unparse(base).endswith(("LightningModule", "LightningDataModule")) for base in node.bases):
                return True
    return False
