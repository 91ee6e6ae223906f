"""``eject``: the pure core, source text in, a Result out."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

import libcst as cst

from torchlift_convert.check import Broken, check
from torchlift_convert.diagnostics import Refuse, note
from torchlift_convert.eject.classes import ClassWriter, hparams_read, is_guard
from torchlift_convert.eject.find import Found, find
from torchlift_convert.eject.fitting import Fitting, is_automatic
from torchlift_convert.eject.ledger import fates_of
from torchlift_convert.eject.loop import Evaluation
from torchlift_convert.eject.options import Settings, constant, read
from torchlift_convert.eject.records import Class, Entry
from torchlift_convert.eject.rewriting import Rewriter, Statements, Wording, comment_lines, with_comments
from torchlift_convert.eject.sanity import check_sanity, modes_known
from torchlift_convert.eject.surroundings import (
    calls_of_nothing,
    check_outside,
    device_of,
    leftovers,
    place_imports,
    seeds,
    set_up_by_hand,
)
from torchlift_convert.eject.words import FRAMEWORKS, LOOP_HOOKS
from torchlift_convert.program import Program, build
from torchlift_convert.render import render, statements_of, used_names, without_unused_imports
from torchlift_convert.rewrite import Origins
from torchlift_convert.syntax import Unreadable, decode, parse, python_tree, walk_statements
from torchlift_convert.types import (
    Became,
    Diagnostic,
    Optimization,
    Options,
    Proof,
    Result,
    Severity,
    Span,
    Status,
)


def eject(source: str | bytes, options: Options | None = None) -> Result:
    """Turn a script with a LightningModule and Trainer calls into a plain PyTorch loop.

    Args:
        source: the text of the script, or its bytes (then the encoding declaration and BOM are honoured).
        options: the name used in messages; the target has no meaning here.

    Returns:
        A Result; ``NO_LOOP`` when no Trainer of Lightning's is called. Raises only on bugs of its own.
    """
    try:
        text = decode(source)
        tree = python_tree(text)
        if not any(name in text for name in FRAMEWORKS):
            return Result(Status.NO_LOOP)
        script = parse(text, tree)
        _ = script.module  # libcst can read it as well
        program = build(script)
    except Unreadable as error:
        span = Span(error.line or 1, error.line or 1)
        return Result(Status.UNREADABLE, diagnostics=(Diagnostic("TL902", Severity.REFUSAL, str(error), span),))
    try:
        found = find(program)
        if not found.entries:
            return Result(Status.NO_LOOP)
        return Ejection(program, found).result()
    except Refuse as refusal:
        return Result(Status.REFUSED, diagnostics=(refusal.diagnostic,))
    except Broken as broken:
        return Result(Status.REFUSED, diagnostics=(broken.diagnostic,))


@dataclass(eq=False)
class Ejection:
    """One script on its way."""

    program: Program
    found: Found
    origins: Origins = field(default_factory=Origins)
    imports: set[str] = field(default_factory=set)
    notes: list[Diagnostic] = field(default_factory=list)
    hparams: dict[str, str] = field(default_factory=dict)  # hyperparameters that are read -> their attributes
    became: list[Became] = field(default_factory=list)
    gone: dict[ast.stmt, str] = field(default_factory=dict)  # statements of which nothing is left, and who does it

    def result(self) -> Result:
        program, found = self.program, self.found
        script = program.script
        for stmt in script.statements:
            self.origins.record(script.node[stmt], stmt)
            if stmt in script.line and len(script.line[stmt].body) == 1:
                self.origins.record(script.line[stmt], stmt)
        replaced: dict[int, Statements] = {}
        self.hparams = hparams_read(script.tree, found.classes.values())
        check_outside(found, program)
        for trainer in found.trainers:
            if trainer.stmt is not None:
                self._put(replaced, trainer.stmt, [])
                self.gone[trainer.stmt] = "the loop does what the Trainer did"
        self._check_classes()
        for entry in found.entries:
            self._loop(entry, replaced)
        for cls in found.classes.values():
            replaced[id(script.node[cls.node])] = [self._class(cls)]
        for stmt in calls_of_nothing(found, program):
            self._put(replaced, stmt, [])
            self.gone[stmt] = "the class has no such method"
        for stmt, lines in seeds(program):
            self._put(replaced, stmt, [cst.parse_statement(line) for line in lines])
            self.imports |= {"random", "numpy", "torch"}
        module = script.module.visit(Rewriter(self._wording(), self.origins, replaced))
        assert isinstance(module, cst.Module)
        module = place_imports(module, program, self.imports)
        module = without_unused_imports(module, script.tree, used_names(ast.parse(module.code)))
        rendered = render(module, self._own(module))
        check(script, rendered)
        left = leftovers(rendered.tree)
        if left is not None:
            raise Broken(f"the output still uses {left}")
        manual = any(e.kind == "fit" and not is_automatic(e) for e in found.entries)
        first = next((e for e in found.entries if e.kind == "fit"), found.entries[0])
        return Result(
            Status.CONVERTED,
            Proof.BY_CONSTRUCTION,
            code=rendered.text,
            optimization=Optimization.MANUAL if manual else Optimization.AUTOMATIC,
            module=first.module.node.name,
            datamodule=first.datamodule.node.name if first.datamodule else None,
            became=tuple(self.became),
            fates=fates_of(program, rendered, self.origins, self.gone),
            diagnostics=tuple(self.notes),
        )

    def _check_classes(self) -> None:
        """Two calls with one class in different places would share what only one loop may hold."""
        names = {id(e.trainer.call) for e in self.found.entries if e.kind == "fit"}
        fits = [e for e in self.found.entries if e.kind == "fit"]
        if len(names) < len(fits):
            raise Refuse(
                "TL803", "One Trainer fits twice: it goes on counting.", fits[-1].call, "Make a Trainer for each fit."
            )

    def _loop(self, entry: Entry, replaced: dict[int, Statements]) -> None:
        program = self.program
        settings = read(entry.trainer, program)
        validates = entry.kind == "fit" and self._validates(entry)
        guarded = entry.datamodule is not None and self._guarded(entry.datamodule)
        device, line = device_of(entry, settings, program)
        kind = Fitting if entry.kind == "fit" else Evaluation
        loop = kind(
            entry,
            program,
            settings,
            self.origins,
            device,
            modes_known(entry, program),
            guarded and set_up_by_hand(entry, program),
            validates,
            self.hparams,
        )
        if validates and constant(settings.sanity) != 0:
            check_sanity(entry, program)
        nodes, layer = loop.write()
        if line is not None:
            nodes = [cst.parse_statement(line), *nodes]
            self.imports.add("torch")
        self.imports |= loop.imports
        script = program.script
        node = script.line[entry.stmt]
        nodes = with_comments(nodes, [*_comments_of(entry, program), *node.leading_lines])
        self._put(replaced, entry.stmt, nodes)
        for one in nodes[:1]:
            self.origins.record(one, entry.stmt)
        self.origins.place(entry.stmt, "the loop")
        span = Span(entry.stmt.lineno, entry.stmt.end_lineno or entry.stmt.lineno)
        self.became.append(Became(f"Trainer.{entry.kind}", span, "a loop"))
        for hook in layer.laid:
            self.became.append(
                Became(
                    hook.name, Span(hook.lineno, hook.end_lineno or hook.lineno), f"the loop at Trainer.{entry.kind}"
                )
            )
        self._note(entry, settings)

    def _note(self, entry: Entry, settings: Settings) -> None:
        if settings.loses_files and entry.kind == "fit" and not any(n.code == "TL810" for n in self.notes):
            self.notes.append(
                note(
                    "TL810",
                    "The Trainer also wrote checkpoints or logs of its own accord; the loop writes none.",
                    entry.trainer.call,
                    "Save what is needed: torch.save(model.state_dict(), path).",
                )
            )

    def _validates(self, entry: Entry) -> bool:
        methods = entry.module.methods
        limit = entry.trainer.option("limit_val_batches")
        if "validation_step" not in methods or (constant(limit) in (0, 0.0) and limit is not None):
            return False
        if entry.datamodule is not None:
            return "val_dataloader" in entry.datamodule.methods
        return "validation" in entry.loaders or "val_dataloader" in methods

    def _guarded(self, cls: Class) -> bool:
        setup = cls.methods.get("setup")
        return setup is not None and is_guard(setup.body[0])

    def _class(self, cls: Class) -> cst.ClassDef:
        entries = [e for e in self.found.entries if cls in (e.module, e.datamodule)]
        gone: set[str] = set()
        if not cls.is_data:
            gone = {n for n in cls.methods if n in LOOP_HOOKS}
            self._check_calls(cls, gone)
            gone |= self._unread_properties(cls, gone)
        base = "" if cls.is_data else self._nn_module()
        once = cls.is_data and bool(entries) and all(set_up_by_hand(e, self.program) for e in entries)
        once = once and self._guarded(cls) and len(entries) == 1
        for name in gone:
            for stmt in walk_statements([cls.methods[name]]):
                self.gone.setdefault(stmt, "the loop")
        return ClassWriter(cls, self.program, self.origins, gone, base, self.hparams, once).write()

    def _check_calls(self, cls: Class, gone: set[str]) -> None:
        """A hook that the script calls itself has to stay a method."""
        for node in ast.walk(self.program.script.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in gone:
                if isinstance(node.func.value, ast.Call):
                    continue  # super().on_…()
                raise Refuse(
                    "TL805",
                    f"The hook {node.func.attr} is called by the script, too.",
                    node,
                    "Move what both need into a method with a name of its own.",
                )

    def _unread_properties(self, cls: Class, gone: set[str]) -> set[str]:
        """Properties that only the hooks have read."""
        inside = {n for h in gone for n in ast.walk(cls.methods[h])}
        read = {n.attr for n in ast.walk(self.program.script.tree) if isinstance(n, ast.Attribute) and n not in inside}
        return {p for p in cls.properties() if p not in read}

    def _nn_module(self) -> str:
        imports = self.program.imports
        for local, full in imports.items():
            if full == "torch.nn":
                return "torch.nn.Module" if local == "torch" else f"{local}.Module"
        if imports.get("torch") == "torch":
            return "torch.nn.Module"
        self.imports.add("nn")
        return "nn.Module"

    def _wording(self) -> Wording:
        """What code outside of the classes says of Lightning: a model's hyperparameters."""
        owners = {e.model for e in self.found.entries} | {e.data for e in self.found.entries if e.data}
        devices = {f"{e.model}.device": f"next({e.model}.parameters()).device" for e in self.found.entries}
        hparams = {f"{o}.hparams.{n}": f"{o}.{a}" for o in owners for n, a in self.hparams.items()}
        return Wording(paths=devices | hparams)

    def _put(self, replaced: dict[int, Statements], stmt: ast.stmt, nodes: Statements) -> None:
        script = self.program.script
        line = script.line.get(stmt)
        where = line if line is not None and len(line.body) == 1 else script.node[stmt]
        replaced[id(where)] = nodes

    def _own(self, module: cst.Module) -> set[int]:
        """Ids of the user's statements that stand as they stood; of compound ones, the head."""
        script = self.program.script
        there = {id(n) for n in script.node.values()} | {id(n) for n in script.line.values()}
        heads = (cst.FunctionDef, cst.ClassDef, cst.If, cst.For, cst.While, cst.With, cst.Try)
        nodes = statements_of(module.body)
        return {id(n) for n in nodes if id(n) in there or (isinstance(n, heads) and id(n) in self.origins.stmt_of)}


def _comments_of(entry: Entry, program: Program) -> list[cst.EmptyLine]:
    """Comments of the Trainer's own statement, which goes."""
    stmt = entry.trainer.stmt
    if stmt is None:
        return []
    return comment_lines([program.script.line[stmt]])
