"""The lines that stand in place of the loop: the Trainer, its fit, and what the script's own code finds after it."""

from __future__ import annotations

import ast

from torchlift_convert.environment import Environment, epoch_variables
from torchlift_convert.plan import Plan
from torchlift_convert.program import Var
from torchlift_convert.reserved import ranked, script_names, unique
from torchlift_convert.rewrite import rewrite_text, source_of

GRAD_SCALING = '''class {name}({lightning}.pytorch.plugins.MixedPrecision):
    """Scales the loss and steps through the script's own scaler; autocast stays where the script has it."""

    def __init__(self, scaler):
        super().__init__("16-mixed", "cuda", scaler)

    def forward_context(self):
        return nullcontext()
'''
MOVED_BACK = "the Trainer has moved it to the CPU"


def scaling_class(plan: Plan) -> str:
    """What the class is called that steps through the script's scaler."""
    return unique(ranked("GradScaling", plan.nest.rank), script_names(plan.program))


def alias(plan: Plan, var: Var) -> str:
    """The script's name for something that the module or the Trainer holds now."""
    text = f"{var.said(plan.nest.home.scope)} = {_holder(plan, var)}"
    if var in plan.perhaps:
        return f'if hasattr({plan.module.instance}, "{plan.names[var]}"):\n    {text}'
    return text


def _holder(plan: Plan, var: Var) -> str:
    if var in epoch_variables(plan):
        behind = plan.nest.count is not None and plan.nest.count.last
        return _plus(f"{plan.trainer}.current_epoch", plan.epoch_start or "0", 0 if behind else -1)
    if not plan.module.early_optimizers:
        if var in plan.roles.optimizers:
            return f"{plan.trainer}.optimizers[{list(plan.roles.optimizers).index(var)}]"
        stepped = [v for v in plan.roles.schedulers if v in plan.regions.stepped_by_trainer]
        if var in stepped:
            return f"{plan.trainer}.lr_scheduler_configs[{stepped.index(var)}].scheduler"
    if plan.data is not None:
        loader = plan.data.loader(var)
        if loader is not None and loader.call is not None:
            wrapped = plan.wraps_batches and loader.method == "train_dataloader"
            return f"{plan.data.instance}.{loader.method}()" + (".loader" if wrapped else "")
        if var in plan.data.attributes:
            return f"{plan.data.instance}.{plan.data.attribute(var)}"
    return f"{plan.module.instance}.{plan.names[var]}"


def _plus(text: str, start: str, number: int) -> str:
    """``text + start + number``, folded where it can be."""
    if not start.lstrip("-").isdigit():
        return f"{text} + {start} {'-' if number < 0 else '+'} {abs(number)}" if number else f"{text} + {start}"
    total = int(start) + number
    return text if total == 0 else f"{text} {'-' if total < 0 else '+'} {abs(total)}"


class TrainerWriter:
    """Writes the Trainer of one script."""

    def __init__(self, plan: Plan, lightning: str, dataloader: str, env: Environment) -> None:
        self.plan, self.lightning, self.dataloader, self.env = plan, lightning, dataloader, env

    def lines(self) -> list[str]:
        """Statements, in order."""
        plan = self.plan
        fit = f"{plan.trainer}.fit({', '.join([plan.module.instance, *self._data()])})"
        if plan.first_look is not None:
            assert isinstance(plan.first_look.stmt, ast.Expr)
            fit = f"if {source_of(plan.first_look.stmt.value, plan.first_look.frame, self.env)}:\n    {fit}\n"
        out = [f"{plan.trainer} = {self.lightning}.Trainer({', '.join(self._arguments())})", fit]
        if plan.accelerator != '"cpu"':
            out += self._back_to_device()
        out += [alias(plan, v) for v in plan.written_back]
        out += [alias(plan, v) for v in plan.alias_after if v not in plan.module.passed]  # those kept their names
        return out + [f"{self._name_after(v)}.eval()" for v in plan.eval_after]

    def _name_after(self, var: Var) -> str:
        plan = self.plan
        if var in (*plan.alias_before, *plan.alias_after):
            return var.said(plan.nest.home.scope)
        return f"{plan.module.instance}.{plan.names[var]}"

    def _back_to_device(self) -> list[str]:
        """After fit the Trainer has moved the module to the CPU; code that computes wants it back."""
        plan = self.plan
        if not {*plan.alias_before, *plan.alias_after} & {*plan.module.modules}:
            return []
        devices = [v for v in plan.roles.devices if v.frame in (plan.nest.home, plan.program.module)]
        made = [d.stmt for v in devices for d in plan.roles.definitions.get(v, [])]
        if devices and not any(s in plan.dropped for s in made):
            device = self._in_names(devices[0].said(plan.nest.home.scope))
            return [f"{plan.module.instance}.to({device})  # {MOVED_BACK}"]
        if plan.accelerator.startswith('"gpu" if '):
            condition = plan.accelerator.removeprefix('"gpu" if ').removesuffix(' else "cpu"')
            device = f'"cuda" if {self._in_names(condition)} else "cpu"'
            return [f"{plan.module.instance}.to({device})  # {MOVED_BACK}"]
        return []

    def _in_names(self, text: str) -> str:
        """An argument in the names of the place where the Trainer is made: what the data needs may stand in there."""
        return rewrite_text(text, self.plan.nest.home, self.env)

    def _arguments(self) -> list[str]:
        plan = self.plan
        told = {"max_epochs": plan.max_epochs, "accelerator": plan.accelerator, "devices": plan.devices}
        out = [f"{name}={self._in_names(text)}" for name, text in told.items()]
        if plan.regions.clip is not None:
            clip = plan.regions.clip[0]
            out.append(f"gradient_clip_val={self._in_names(ast.unparse(clip.limit))}")
            if clip.algorithm != "norm":
                out.append(f'gradient_clip_algorithm="{clip.algorithm}"')
        if plan.regions.scaler is not None:
            held = self.env.text(plan.regions.scaler) or plan.regions.scaler.name
            out.append(f"plugins=[{scaling_class(plan)}({held})]")
        if plan.regions.limit_one is not None:
            out.append(f"limit_train_batches=1 if {source_of(*plan.regions.limit_one, self.env)} else None")
        if plan.regions.validation is not None:
            out.append("num_sanity_val_steps=0")
        return [*out, "enable_checkpointing=False", "logger=False"]

    def _data(self) -> list[str]:
        """What fit gets to iterate; nothing where the module gives its batches itself."""
        plan = self.plan
        if plan.data is not None:
            return [f"datamodule={plan.data.instance}"]
        if plan.regions.stream is not None:
            return []
        header = plan.regions.batches
        assert header is not None
        iterable = source_of(header.iterable, header.source, self.env)
        if plan.list_loader:
            as_it_is = "batch_size=None, collate_fn=lambda sample: sample"
            iterable = f"{self.dataloader}({iterable}, {as_it_is}, generator=torch.Generator())"
        if plan.index_loader:
            iterable = f"{self.dataloader}({iterable}, batch_size=None, generator=torch.Generator())"
        if plan.promise is not None:
            iterable = f"{plan.promise.helper}({iterable})"
        train = f"{plan.wrapper}({iterable})" if plan.wraps_batches else iterable
        validation = plan.regions.validation
        if validation is None:
            return [train]
        return [train, source_of(validation.iterable, validation.source, self.env)]
