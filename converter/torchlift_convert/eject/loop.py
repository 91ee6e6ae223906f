"""What the loops of all entry calls have in common: their data, the header over the batches, an evaluation pass."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert.check import Broken
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject import hooks as H
from torchlift_convert.eject.layer import Layer, arguments_of
from torchlift_convert.eject.loaders import check_loaders
from torchlift_convert.eject.logs import logged_in
from torchlift_convert.eject.metrics import Metrics, size_of_batch
from torchlift_convert.eject.options import Settings
from torchlift_convert.eject.records import Entry, Function
from torchlift_convert.eject.rewriting import Statements
from torchlift_convert.eject.text import Text
from torchlift_convert.eject.words import STAGE_OF
from torchlift_convert.names import parameters
from torchlift_convert.program import Program, dotted
from torchlift_convert.rewrite import Origins


@dataclass(eq=False)
class Loop:
    """The loop of one entry call.

    ``device``: the code of the device, None on the CPU. ``modes_known``: every module of the model is in training mode
    whenever it is not evaluated. ``set_up``: the script has set up its data by hand.
    """

    entry: Entry
    program: Program
    settings: Settings
    origins: Origins
    device: str | None
    modes_known: bool
    set_up: bool
    validates: bool
    hparams: dict[str, str]
    imports: set[str] = field(default_factory=set)
    targets: dict[str, tuple[ast.expr | None, Function]] = field(default_factory=dict)

    def write(self) -> tuple[Statements, Layer]:
        entry, program = self.entry, self.program
        tree = program.script.tree
        laid = H.hooks_of(entry, self.validates)
        layer = Layer(entry, program, self.settings, laid, self.origins, H.names_of_place(entry.scope, tree))
        layer.paths |= {f"hparams.{n}": f"{entry.model}.{a}" for n, a in self.hparams.items()}
        layer.taken |= H.globals_read(laid) | {n for n, _ in entry.made}
        self.layer = layer
        self.text = Text()
        self._lines()
        for hook in laid:
            if hook.name not in layer.written:
                raise Broken(f"the hook {hook.name} has no place in the loop")
        return self.text.statements(), layer

    def _lines(self) -> None:
        raise NotImplementedError

    def _needs_index(self, stage: str) -> bool:
        """Does the loop itself count the batches of a stage?"""
        return False

    def _common(self, stages: list[str]) -> None:
        layer, entry = self.layer, self.entry
        check_loaders(entry, stages, self.program)
        self.loaders: dict[str, str] = {}
        self.loader_code: dict[str, str] = {}
        for stage in stages:
            code, variable = self._loader(stage)
            self.loaders[stage], self.loader_code[stage] = variable, code
        layer.paths |= {"trainer.datamodule": entry.data} if entry.data else {}
        layer.paths["device"] = self._device_word()
        if "train" in stages:
            layer.paths["trainer.train_dataloader"] = self.loaders["train"]
            if "train" not in self.settings.limits:
                layer.paths["trainer.num_training_batches"] = f"len({self.loaders['train']})"
        if "validation" in stages:
            layer.paths["trainer.val_dataloaders"] = self.loaders["validation"]
        if "test" in stages:
            layer.paths["trainer.test_dataloaders"] = self.loaders["test"]
        layer.paths["trainer.sanity_checking"] = "False"

    def _device_word(self) -> str:
        if self.device is not None:
            return self.device
        self.imports.add("torch")
        return 'torch.device("cpu")'

    def _loader(self, stage: str) -> tuple[str, str]:
        """The code that gives a stage's loader, and the variable that holds it."""
        entry = self.entry
        short = {"validation": "val"}.get(stage, stage)
        given = entry.loaders.get(stage)
        if isinstance(given, ast.Name):
            return "", given.id
        if given is not None:
            code = ast.get_source_segment(self.program.script.text, given) or ast.unparse(given)
        else:
            owner = entry.data if entry.datamodule else entry.model
            code = f"{owner}.{short}_dataloader()"
        return code, self.layer.name(f"{stage} loader", f"{short}_loader")

    def _setup(self, *stages: str) -> None:
        """As the Trainer begins: data, device, optimizers, loaders."""
        entry, text = self.entry, self.text
        for name, expr in entry.made:
            text.add(f"{name} = {ast.get_source_segment(self.program.script.text, expr)}")
        fn = entry.kind
        for cls, name in ((entry.datamodule, entry.data), (entry.module, entry.model)):
            if cls is not None and "prepare_data" in cls.methods:
                text.add(f"{name}.prepare_data()")
        for cls, name in ((entry.datamodule, entry.data), (entry.module, entry.model)):
            if cls is not None and "setup" in cls.methods and not (cls is entry.datamodule and self.set_up):
                text.add(f'{name}.setup("{fn}")')
        if self.device is not None:
            text.add(f"{entry.model}.to({self.device})")

    def _header(self, stage: str) -> str:
        """``for batch_idx, (x, y) in enumerate(train_loader):`` with what the step uses."""
        layer, entry = self.layer, self.entry
        step = entry.module.methods[f"{'training' if stage == 'train' else stage}_step"]
        given = parameters(step.args)[1:]
        self._check_arguments(step, given)
        batch = given[0] if given else "batch"
        hooks = [h for h in layer.laid if stage_prefix(h.name) == stage and "_batch_" in h.name]
        target, stmt = self._unpacking(step, batch, hooks)
        used_index = any(self._uses(h, "batch_idx") for h in [step, *hooks]) or self._needs_index(stage)
        loader = self.loaders[stage]
        if stage in self.settings.limits:
            self.imports.add("itertools")
            loader = f"itertools.islice({loader}, {ast.unparse(self.settings.limits[stage])})"
        layer.own[f"size {stage}"] = size_of_batch(layer, stage, step, target, layer.own["batch"])
        if target is not None:
            assert stmt is not None
            layer.unpacked.add(stmt)
            what = layer.code(target, step)
        else:
            what = layer.own["batch"]
        self.targets[stage] = (target, step)
        if used_index:
            parts = (
                what if what.startswith(("(", "[")) or target is None or isinstance(target, ast.Name) else f"({what})"
            )
            return f"for {layer.own['batch_idx']}, {parts} in enumerate({loader}):"
        return f"for {what} in {loader}:"

    def _check_arguments(self, step: Function, given: list[str]) -> None:
        if step.args.vararg or step.args.kwarg or len(given) > 2 or "dataloader_iter" in given:
            raise Refuse(
                "TL805",
                f"{step.name} takes arguments that a plain loop does not give.",
                step,
                "Let it take the batch and its index: one loader for each stage.",
            )

    def _uses(self, hook: Function, what: str) -> bool:
        given = dict(zip(arguments_of(hook.name), parameters(hook.args)[1:]))
        name = given.get(what)
        return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(hook))

    def _unpacking(
        self, step: Function, batch: str, hooks: list[Function]
    ) -> tuple[ast.expr | None, ast.Assign | None]:
        """``x, y = batch`` in front of a step whose batch is not used otherwise."""
        first = next(
            (s for s in step.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))), None
        )
        if not (isinstance(first, ast.Assign) and len(first.targets) == 1 and isinstance(first.value, ast.Name)):
            return None, None
        uses = [n for n in ast.walk(step) if isinstance(n, ast.Name) and n.id == batch]
        target = first.targets[0]
        names = [n.id for n in ast.walk(target) if isinstance(n, ast.Name)]
        rest = [s for s in step.body if s is not first]
        firsts = {n.id for s in rest for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        plain = isinstance(target, ast.Tuple) and all(
            isinstance(n, (ast.Name, ast.Tuple, ast.Store)) for n in ast.walk(target)
        )
        if first.value.id != batch or len(uses) != 1 or not plain or any(self._uses(h, "batch") for h in hooks):
            return None, None
        if names and names[0] in firsts and self._logs_mean(step):
            return None, None
        return target, first

    def _logs_mean(self, step: Function) -> bool:
        return any(one.mean and one.size is None for one in logged_in(step, self.entry.module, self.program))

    def _move(self, stage: str) -> None:
        """The batch goes to the device, as the Trainer moves it."""
        if self.device is None:
            return
        layer = self.layer
        target, step = self.targets[stage]
        if target is None:
            batch = layer.own["batch"]
            size = layer.own[f"size {stage}"]
            if "values()" in size:
                self.text.add(f"{batch} = {{key: value.to({self.device}) for key, value in {batch}.items()}}")
            elif "[0]" in size:
                self.text.add(f"{batch} = [part.to({self.device}) for part in {batch}]")
            elif self._uses(step, "batch"):
                self.text.add(f"{batch} = {batch}.to({self.device})")
            return
        names = [n.id for n in ast.walk(target) if isinstance(n, ast.Name)]
        loads = {n.id for n in ast.walk(step) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        here = [layer.locals[step].get(n, n) for n in names if n in loads]
        if here:
            self.text.add(f"{', '.join(here)} = {', '.join(f'{n}.to({self.device})' for n in here)}")

    def _evaluation(self, stage: str, header: str, metrics: Metrics, alone: bool) -> None:
        """A pass without gradients and in evaluation mode, and back."""
        text, layer, model = self.text, self.layer, self.entry.model
        self.imports.add("torch")
        if not self.modes_known:
            modes = layer.name("modes", "modes")
            text.add(f"{modes} = [(module, module.training) for module in {model}.modules()]")
        text.add(f"{model}.eval()")
        methods = self.entry.module.methods
        before = [f"on_{stage}_start", f"on_{stage}_epoch_start"]
        after = [f"on_{stage}_epoch_end", f"on_{stage}_end"]
        inside = [n in methods and H.needs_no_grad(methods[n]) for n in before]
        for n, name in enumerate(before):
            if not any(inside[: n + 1]):
                text.fill(layer.body(name))
        text.add(*metrics.before(stage), "with torch.no_grad():")
        text.depth += 1
        for n, name in enumerate(before):
            if any(inside[: n + 1]):
                text.fill(layer.body(name))
        text.add(header)
        text.depth += 1
        first = len(text.lines)
        self._move(stage)
        text.fill(layer.body(f"on_{stage}_batch_start"))
        text.fill(layer.body(f"{stage}_step"))
        self._dropped_answer(stage)
        text.fill(layer.body(f"on_{stage}_batch_end"))
        if len(text.lines) == first:
            text.add("pass")
        text.depth -= 1
        outside = [n not in methods or not H.needs_no_grad(methods[n]) for n in after]
        text.depth -= all(outside)
        text.add(*metrics.after(stage))
        for n, name in enumerate(after):
            if all(outside[n:]) and not all(outside) and n:
                text.depth -= 1
            text.fill(layer.body(name))
            if all(outside[n:]) and not all(outside) and n:
                text.depth += 1
        text.depth -= not all(outside)
        text.add(*metrics.resets(stage))
        if not self.modes_known:
            text.add(f"for module, training in {layer.own['modes']}:", "    module.training = training")
        elif alone:
            text.add(f"{model}.train()")

    def _dropped_answer(self, stage: str) -> None:
        """What an evaluation step returns goes nowhere; a call in it still happens."""
        step = self.entry.module.methods[f"{stage}_step"]
        answer = step.body[-1]
        if isinstance(answer, ast.Return) and answer.value is not None:
            if any(isinstance(n, ast.Call) for n in ast.walk(answer.value)):
                self.layer.check(answer.value, step)
                self.text.add(self.layer.code(answer.value, step))

    def _leave(self) -> None:
        """The Trainer leaves the model on the CPU, unless the script moves it right away."""
        follows = following(self.entry)
        moved = isinstance(follows, ast.Expr) and isinstance(follows.value, ast.Call)
        if moved and dotted(follows.value.func) == f"{self.entry.model}.to":  # type: ignore[union-attr]
            return
        if self.device is not None:
            self.text.add(f"{self.entry.model}.cpu()")

    def _teardown(self) -> None:
        for cls, name in ((self.entry.datamodule, self.entry.data), (self.entry.module, self.entry.model)):
            if cls is not None and "teardown" in cls.methods:
                self.text.add(f'{name}.teardown("{self.entry.kind}")')

    def _free_attributes(self) -> None:
        layer = self.layer
        bound = {n for h in layer.laid for n in H.locals_of(h)} | {a for h in layer.laid for a in parameters(h.args)}
        for name in sorted(H.demoted(self.entry.module, layer.laid, self.program.script.tree, self.program)):
            if name not in layer.taken and name not in bound:
                layer.free.add(name)
                layer.taken.add(name)

    def _metrics(self, monitored: frozenset[str]) -> Metrics:
        metrics = Metrics(self.layer, monitored)
        self.layer.log_lines = metrics.lines
        if monitored:
            self.imports.add("torch")
            if self.settings.every_n_epochs is not None:
                raise Refuse(
                    "TL802",
                    "A scheduler monitors a value that not every epoch gives.",
                    self.settings.every_n_epochs,
                    "Validate in every epoch.",
                )
        return metrics


def stage_prefix(hook: str) -> str:
    return next((s for s in ("validation", "test", "predict") if s in hook), "train")


def following(entry: Entry) -> ast.stmt | None:
    """The statement behind the call in its block."""
    for node in ast.walk(entry.scope):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and entry.stmt in block:
                at = block.index(entry.stmt)
                return block[at + 1] if at + 1 < len(block) else None
    return None


@dataclass(eq=False)
class Evaluation(Loop):
    """``trainer.validate`` or ``trainer.test``."""

    def _lines(self) -> None:
        layer, entry = self.layer, self.entry
        stage = STAGE_OF[entry.kind]
        if f"{stage}_step" not in entry.module.methods or stage == "predict":
            raise Refuse(
                "TL803",
                f"Trainer.{entry.kind} needs a {stage}_step whose results are used here.",
                entry.call,
                "Write it.",
            )
        self._common([stage])
        layer.name("batch", "batch")
        layer.name("batch_idx", "batch_idx")
        self._free_attributes()
        layer.settle()
        metrics = self._metrics(frozenset())
        header = self._header(stage)
        metrics.settle()
        self._setup(entry.kind)
        if self.loader_code[stage]:
            self.text.add(f"{self.loaders[stage]} = {self.loader_code[stage]}")
        for name in sorted(metrics.uncertain):
            self.text.add(f'{metrics.variables[name]} = float("nan")')
        self._evaluation(stage, header, metrics, alone=True)
        shown = metrics.shown(list(metrics.variables), "")
        if shown:
            self.imports.add("sys")
        self.text.add(*shown)
        self._leave()
        self._teardown()
