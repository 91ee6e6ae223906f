"""``trainer.fit`` as a loop."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject import optimizers as O
from torchlift_convert.eject.loaders import check_draws
from torchlift_convert.eject.loop import Loop
from torchlift_convert.eject.metrics import Metrics
from torchlift_convert.eject.options import constant
from torchlift_convert.eject.records import Entry, receiver
from torchlift_convert.program import dotted
from torchlift_convert.reserved import unique

_STEPS = "estimated_stepping_batches"


@dataclass(eq=False)
class Fitting(Loop):
    """The training loop, its validation inside it."""

    def _lines(self) -> None:
        layer, text, entry, settings = self.layer, self.text, self.entry, self.settings
        module = entry.module
        opts = O.read(module, self.program)
        self.opts = opts
        automatic = is_automatic(entry)
        if automatic and len(opts.optimizers) != 1:
            raise Refuse("TL806", "Automatic optimization takes one optimizer.", opts.answer, "Return one.")
        stages = ["train"] + (["validation"] if self.validates else [])
        check_draws(entry, self.program)
        self._common(stages)
        layer.name("epoch", "epoch")
        layer.name("batch", "batch")
        layer.name("batch_idx", "batch_idx")
        layer.paths |= {"current_epoch": layer.own["epoch"], "trainer.current_epoch": layer.own["epoch"]}
        self._name_optimizers()
        self._free_attributes()
        if settings.max_epochs is not None:
            layer.paths["trainer.max_epochs"] = f"({ast.unparse(settings.max_epochs)})"
        self.early = self._knows_steps()
        counts = self._counts_steps()
        if counts:
            step = layer.name("global_step", "global_step")
            layer.paths |= {"global_step": step, "trainer.global_step": step}
        layer.settle()
        self.optimizer_lines = [f"{name} = {layer.code(expr, opts.method)}" for name, expr in self.pending]
        metrics = self._metrics(frozenset(s.monitor for s in opts.schedulers if s.monitor))
        headers = {s: self._header(s) for s in stages}
        metrics.settle()
        loss = self._loss() if automatic else ""

        within = {p: layer.paths[p] for p in ("current_epoch", "trainer.current_epoch")}
        layer.paths |= dict.fromkeys(within, "0")
        self._setup("fit")
        if counts:
            text.add(f"{layer.own['global_step']} = 0")
        if self.early and self.loader_code["train"]:
            text.add(f"{self.loaders['train']} = {self.loader_code['train']}")
        text.fill(layer.body("configure_optimizers"))
        for line in self.optimizer_lines:
            text.add(line)
        text.fill(layer.body("on_fit_start"))
        for stage in stages:
            if self.loader_code[stage] and not (self.early and stage == "train"):
                text.add(f"{self.loaders[stage]} = {self.loader_code[stage]}")
        text.fill(layer.body("on_train_start"))
        layer.paths |= within
        for name in sorted(metrics.uncertain):
            text.add(f'{metrics.variables[name]} = float("nan")')
        at_start = len(text.lines)
        self._epochs()
        text.depth += 1
        if self.validates and self.modes_known:
            text.add(f"{entry.model}.train()")
        text.fill(layer.body("on_train_epoch_start"))
        text.add(*metrics.before("train"))
        text.add(headers["train"])
        text.depth += 1
        self._move("train")
        first = len(text.lines)
        text.fill(layer.body("on_train_batch_start"))
        if automatic:
            self._automatic_step(loss)
        else:
            text.fill(layer.body("training_step"))
        self._per_step()
        text.fill(layer.body("on_train_batch_end"))
        self._last_of_steps()
        if len(text.lines) == first:
            text.add("pass")
        text.depth -= 1
        self._epoch_schedulers()
        if self.validates:
            self._validation(headers["validation"], metrics)
        text.add(*metrics.after("train"))
        text.fill(layer.body("on_train_epoch_end"))
        for scheduler, code in zip(opts.schedulers, self.scheduler_code):
            if O.is_plateau(scheduler, module, opts.method, self.program.script.tree):
                assert scheduler.monitor is not None
                if scheduler.monitor not in metrics.variables:
                    raise Refuse(
                        "TL807", f"'{scheduler.monitor}' is monitored and never logged.", opts.answer, "Log it."
                    )
                text.add(f"{code}.step({metrics.variables[scheduler.monitor]})")
        shown = metrics.shown(
            [n for n in metrics.variables if self._is_seen(metrics, n)], f"epoch {{{layer.own['epoch']}}}: "
        )
        if shown:
            self.imports.add("sys")
        text.add(*shown, *metrics.resets("train"))
        self._end_of_epoch()
        text.depth -= 1
        if layer.stops:
            text.lines.insert(at_start, f"{layer.own['stop']} = False")
        for path in within:
            del layer.paths[path]
        text.fill(layer.body("on_train_end"))
        self._leave()
        text.fill(layer.body("on_fit_end"))
        self._teardown()

    def _is_seen(self, metrics: Metrics, name: str) -> bool:
        one = next(m for m in metrics.logged if m.name == name)
        return self.settings.shows == "all" or (self.settings.shows == "bar" and one.in_bar)

    def _name_optimizers(self) -> None:
        """Words for what configure_optimizers returns: a local name of it, an attribute, or a new variable."""
        layer, opts = self.layer, self.opts
        pending: list[tuple[str, ast.expr]] = []
        codes: dict[int, str] = {}
        own = receiver(opts.method)
        for n, expr in enumerate([*opts.optimizers, *(s.expr for s in opts.schedulers)]):
            wanted = "optimizer" if n < len(opts.optimizers) else "scheduler"
            path = dotted(expr)
            if isinstance(expr, ast.Name):
                codes[n] = unique(expr.id, layer.taken, prefer="train")
            elif path is not None and path.startswith(f"{own}."):
                codes[n] = f"{self.entry.model}.{path.partition('.')[2]}"
            else:
                codes[n] = layer.name(f"{wanted} {n}", wanted)
                pending.append((codes[n], expr))
        count = len(opts.optimizers)
        self.optimizer_code = [codes[n] for n in range(count)]
        self.scheduler_code = [codes[n] for n in range(count, len(codes))]
        layer.own["optimizers"] = _together(self.optimizer_code)
        layer.own["optimizer"] = self.optimizer_code[0]
        layer.paths |= {"trainer.optimizers": f"[{', '.join(self.optimizer_code)}]"}
        if self.scheduler_code:
            layer.own["schedulers"] = _together(self.scheduler_code)
        layer.codes = {"optimizers": self.optimizer_code, "schedulers": self.scheduler_code}
        self.pending = pending

    def _knows_steps(self) -> bool:
        """Does the module ask how many steps there will be, and is that a product?"""
        settings, hooks = self.settings, self.layer.laid
        asked = any(isinstance(n, ast.Attribute) and n.attr == _STEPS for h in hooks for n in ast.walk(h))
        plain = settings.max_steps is None and settings.accumulate is None and "train" not in settings.limits
        if asked and plain and settings.max_epochs is not None:
            loader = self.loaders["train"]
            self.layer.paths[f"trainer.{_STEPS}"] = f"(len({loader}) * ({ast.unparse(settings.max_epochs)}))"
            return True
        return False

    def _counts_steps(self) -> bool:
        if self.settings.max_steps is not None:
            return True
        found = False
        for hook in self.layer.laid:
            for node in ast.walk(hook):
                if isinstance(node, ast.Attribute) and node.attr == "global_step":
                    found = True
        for value in self.entry.module.properties().values():
            found |= any(isinstance(n, ast.Attribute) and n.attr == "global_step" for n in ast.walk(value))
        if found and not is_automatic(self.entry):
            raise Refuse(
                "TL805",
                "global_step counts the steps of every optimizer in manual optimization.",
                self.entry.module.node,
                "Count in an attribute of your own.",
            )
        return found

    def _epochs(self) -> None:
        settings, layer = self.settings, self.layer
        epoch = layer.own["epoch"]
        if settings.max_epochs is not None and constant(settings.max_epochs) != -1:
            self.text.add(f"for {epoch} in range({ast.unparse(settings.max_epochs)}):")
        elif settings.max_steps is None:
            self.text.add(f"for {epoch} in range(1000):")
        else:
            self.imports.add("itertools")
            self.text.add(f"for {epoch} in itertools.count():")

    def _needs_index(self, stage: str) -> bool:
        settings = self.settings
        return stage == "train" and (
            settings.accumulate is not None or settings.max_steps is not None or self._steps_inside()
        )

    def _loss(self) -> str:
        """The name of the loss in the loop; what training_step returns is looked at once the names are settled."""
        step = self.entry.module.methods["training_step"]
        answer = step.body[-1]
        value = answer.value if isinstance(answer, ast.Return) else None
        self.outputs = value
        if isinstance(value, ast.Dict):
            table = {k.value: v for k, v in zip(value.keys, value.values) if isinstance(k, ast.Constant)}
            value = table.get("loss")
        if value is None or (isinstance(value, ast.Constant) and value.value is None):
            raise Refuse("TL805", "training_step does not end in returning its loss.", step, "Return the loss.")
        layer = self.layer
        if isinstance(value, ast.Name) and value.id in layer.locals[step]:
            layer.own["loss"] = layer.locals[step][value.id]
            self.loss_line = None
        else:
            name = unique("loss", layer.taken)
            layer.taken.add(name)
            layer.own["loss"] = name
            self.loss_line = value
        return layer.own["loss"]

    def _automatic_step(self, loss: str) -> None:
        layer, text, settings = self.layer, self.text, self.settings
        optimizer = self.optimizer_code[0]
        step = self.entry.module.methods["training_step"]
        text.fill(layer.body("training_step"))
        if self.loss_line is not None:
            layer.check(self.loss_line, step)
            text.add(f"{loss} = {layer.code(self.loss_line, step)}")
        if layer.comments:
            text.lines += ["    " * text.depth + (e.comment.value if e.comment else "") for e in layer.comments]
            layer.comments = []
        every = None if settings.accumulate is None else ast.unparse(settings.accumulate)
        index = layer.own["batch_idx"]
        clear = bool(text.fill(layer.body("on_before_zero_grad")))
        if every is None:
            text.add(f"{optimizer}.zero_grad()")
        else:
            if clear:
                raise Refuse("TL805", "on_before_zero_grad with accumulation.", step, "Leave the hook out.")
            text.add(f"if {index} % {every} == 0:", f"    {optimizer}.zero_grad()")
        if layer.entry.module.methods.get("on_before_backward"):
            hook = layer.entry.module.methods["on_before_backward"]
            raise Refuse("TL805", "on_before_backward has no place here.", hook, "Do it at the end of training_step.")
        text.add(f"{loss}.backward()" if every is None else f"({loss} / {every}).backward()")
        text.fill(layer.body("on_after_backward"))
        if every is not None:
            text.add(f"if ({index} + 1) % {every} == 0 or {self._is_last()}:")
            text.depth += 1
        text.fill(layer.body("on_before_optimizer_step"))
        self._clip()
        text.add(f"{optimizer}.step()")
        if "global_step" in layer.own:
            text.add(f"{layer.own['global_step']} += 1")
        for scheduler, code in zip(self.opts.schedulers, self.scheduler_code):
            if scheduler.interval == "step" and scheduler.every is None:
                text.add(f"{code}.step()")
            elif scheduler.interval == "step":
                raise Refuse(
                    "TL806", "A scheduler steps every few batches.", self.opts.answer, "Step it at every batch."
                )
        if every is not None:
            text.depth -= 1

    def _clip(self) -> None:
        clip = self.settings.clip
        if clip is None:
            return
        self.imports.add("torch")
        which = "clip_grad_value_" if self.settings.clip_by_value else "clip_grad_norm_"
        grows = "add_param_group" in self.program.script.text
        given = None if grows else O.covers(self.entry.module, self.opts, self.program.script.tree)
        if given is not None:
            parameters_ = self.layer.code(given, self.opts.method)
        else:
            parameters_ = f'[p for group in {self.optimizer_code[0]}.param_groups for p in group["params"]]'
        call = f"torch.nn.utils.{which}({parameters_}, {ast.unparse(clip)})"
        value = constant(clip)
        if isinstance(value, (int, float)) and value > 0:
            self.text.add(call)
        elif value is ...:
            self.text.add(f"if {ast.unparse(clip)}:", f"    {call}")

    def _is_last(self) -> str:
        index, loader = self.layer.own["batch_idx"], self.loaders["train"]
        limit = self.settings.limits.get("train")
        if limit is None:
            return f"{index} + 1 == len({loader})"
        if not isinstance(constant(limit), int):
            raise Refuse("TL802", "Which batch is the last one depends on the limit.", limit, "Write a number.")
        return f"{index} + 1 == min({ast.unparse(limit)}, len({loader}))"

    def _steps_inside(self) -> bool:
        """Must epoch schedulers step inside the batch loop, because something there would see it?"""
        if not any(s.interval == "epoch" for s in self.opts.schedulers):
            return False
        return "on_train_batch_end" in self.entry.module.methods or self.settings.max_steps is not None

    def _plain_schedulers(self) -> list[tuple[O.Scheduler, str]]:
        pairs = zip(self.opts.schedulers, self.scheduler_code)
        return [
            (s, c)
            for s, c in pairs
            if s.interval == "epoch"
            and not O.is_plateau(s, self.entry.module, self.opts.method, self.program.script.tree)
        ]

    def _step_schedulers(self) -> None:
        for scheduler, code in self._plain_schedulers() if is_automatic(self.entry) else []:
            if scheduler.every is None:
                self.text.add(f"{code}.step()")
            else:
                every = ast.unparse(scheduler.every)
                self.text.add(f"if ({self.layer.own['epoch']} + 1) % {every} == 0:", f"    {code}.step()")

    def _per_step(self) -> None:
        if self._steps_inside() and self._plain_schedulers() and is_automatic(self.entry):
            self.text.add(f"if {self._is_last()}:")
            self.text.depth += 1
            self._step_schedulers()
            self.text.depth -= 1

    def _last_of_steps(self) -> None:
        """max_steps is looked at when all that a batch brings is done, validation behind the last one too."""
        if self.settings.max_steps is None:
            return
        step, most = self.layer.own["global_step"], ast.unparse(self.settings.max_steps)
        self.text.add(f"if {step} == {most}:", "    break")

    def _epoch_schedulers(self) -> None:
        if not self._steps_inside():
            self._step_schedulers()

    def _sees_gradients(self) -> bool:
        """Would somebody notice that the Trainer clears the gradients before it validates?"""
        if not is_automatic(self.entry):
            return True
        return any(isinstance(n, ast.Attribute) and n.attr == "grad" for n in ast.walk(self.program.script.tree))

    def _validation(self, header: str, metrics: Metrics) -> None:
        text, settings = self.text, self.settings
        depth = text.depth
        conditions = []
        if settings.max_steps is not None:
            conditions.append(self._is_last())
        if settings.every_n_epochs is not None:
            conditions.append(f"({self.layer.own['epoch']} + 1) % {ast.unparse(settings.every_n_epochs)} == 0")
        if conditions:
            text.add(f"if {' and '.join(conditions)}:")
            text.depth += 1
        if self._sees_gradients() and "on_validation_model_zero_grad" not in self.entry.module.methods:
            text.add(f"{self.entry.model}.zero_grad()")
        self._evaluation("validation", header, metrics, alone=False)
        text.depth = depth

    def _end_of_epoch(self) -> None:
        if self.settings.max_steps is not None:
            step, most = self.layer.own["global_step"], ast.unparse(self.settings.max_steps)
            self.text.add(f"if {step} == {most}:", "    break")
        if self.layer.stops:
            self.text.add(f"if {self.layer.own['stop']}:", "    break")


def is_automatic(entry: Entry) -> bool:
    """Is the module's ``automatic_optimization`` left as it is?"""
    for node in ast.walk(entry.module.node):
        if isinstance(node, ast.Assign) and any(
            (dotted(t) or "").endswith("automatic_optimization") for t in node.targets
        ):
            return not (isinstance(node.value, ast.Constant) and node.value.value is False)
    return True


def _together(codes: list[str]) -> str:
    return codes[0] if len(codes) == 1 else f"({', '.join(codes)})"
