"""What each name of the script is called in each place of the output."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeGuard

from torchlift_convert.kept import walk
from torchlift_convert.plan import Kind, Param, Plan
from torchlift_convert.program import Bound, Frame, Item, Var, dotted, root_name
from torchlift_convert.regions import Header, Region
from torchlift_convert.reserved import unique
from torchlift_convert.roles import variable
from torchlift_convert.types import Optimization


class Place(StrEnum):
    """Where a statement of the script stands in the output."""

    HOOK = "hook"
    INIT = "__init__"
    CONFIG = "configure_optimizers"
    METHOD = "a method that goes along with the hooks"
    DATA = "the DataModule"
    BEFORE = "before the Trainer"
    AFTER = "after the Trainer"


@dataclass(eq=False)
class Environment:
    """Names for one place (and, in hooks, one region)."""

    plan: Plan
    place: Place
    region: Region | None = None
    locals: dict[Var, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.region is not None:
            self.locals = self._local_names(self.region)

    # -- what the rewriter asks ----------

    def name(self, frame: Frame, name: str) -> str | None:
        """The text that stands for a name here; None: the name itself."""
        bound = frame.alias(name)
        if bound is not None:
            return self.bound(bound)
        var = frame.resolve(name)
        text = self.text(var)
        if text is None and var.owned:
            said = var.said(self.plan.nest.home.scope)
            return said if said != name else None
        return text if text is not None or var.name == name else var.name

    def option(self, frame: Frame, name: str, attr: str) -> str | None:
        """The text that stands for ``name.attr`` here; None: nothing special."""
        bound = frame.alias(name)
        if bound is not None:
            return None
        param = self._param(frame.resolve(name), attr)
        return self._param_text(param) if param is not None else None

    def bound(self, bound: Bound) -> str:
        """The caller's expression that a parameter stands for, in this place's names."""
        if isinstance(bound.expr, ast.Constant):
            return ast.unparse(bound.expr)
        root = root_name(bound.expr)
        chain = [root, *(dotted(bound.expr) or "").removeprefix(root).split(".")[1:]]
        if len(chain) > 1:
            text = self.option(bound.frame, chain[0], chain[1])
            if text is not None:
                return ".".join([text, *chain[2:]])
        return ".".join([self.name(bound.frame, chain[0]) or chain[0], *chain[1:]])

    # -- variables ----------

    def text(self, var: Var) -> str | None:
        """The text of a variable here; None when its own name does."""
        if var.frame is None:
            return None
        match self.place:
            case Place.HOOK:
                return self._method(var) or self._in_hook(var)
            case Place.METHOD:
                return self._method(var) or self._in_method(var)
            case Place.INIT | Place.CONFIG:
                return self._in_module(var)
            case Place.DATA:
                return self._in_data(var)
            case Place.BEFORE | Place.AFTER:
                return self._in_script(var)

    def _method(self, var: Var) -> str | None:
        """A method of the script's object, where it went along with the hooks."""
        name = self.plan.methods.get(var)
        return f"self.{name}" if name is not None else None

    def _in_method(self, var: Var) -> str | None:
        plan = self.plan
        if not var.owned:
            return None
        if var in plan.storage.attributes:
            return f"self.{plan.names[var]}"
        if var in plan.roles.optimizers:
            return self._optimizer(var)
        return self._in_module(var) or self._data_of_trainer(var)

    def _in_hook(self, var: Var) -> str | None:
        plan, region = self.plan, self.region
        assert region is not None
        if var in epoch_variables(plan):
            if var in plan.storage.pinned:
                return None  # the global that it was
            return f"self.{plan.epoch_name}" if plan.epoch_name else "self.current_epoch"
        if var == returned_loss(plan) and region is Region.BATCH_END and loss_stays(plan):
            return 'outputs["loss"]'
        if var in plan.storage.replaced[region]:
            return f"self.{plan.names[var]}"
        index = self._index(var)
        if index is not None:
            return index
        if var in self.locals:
            return self.locals[var] if self.locals[var] != var.name else None
        if plan.data is not None and var in plan.data.tensors and region in (Region.STEP, Region.BATCH_END):
            return None  # a part of the batch
        if var in plan.roles.optimizers:
            return self._optimizer(var)
        if var in plan.roles.devices and self._param(var, None) is None:
            return "self.device"
        if var in plan.module.state:
            return f"self.{plan.names[var]}"
        return self._in_module(var) or self._data_of_trainer(var)

    def _index(self, var: Var) -> str | None:
        """The counter of ``enumerate`` in the hook of that loop."""
        plan = self.plan
        headers: dict[Region, Header | None] = {
            Region.BATCH_START: plan.regions.batches,
            Region.STEP: plan.regions.batches,
            Region.BATCH_END: plan.regions.batches,
            Region.VAL_STEP: plan.regions.validation,
        }
        header = headers.get(self.region) if self.region else None
        if header is None or header.index is None or header.frame.resolve(header.index) != var:
            return None
        if var in plan.storage.pinned:
            return None
        return batch_number(header) if header.start == 0 else f"({batch_number(header)})"

    def _optimizer(self, var: Var) -> str | None:
        plan = self.plan
        if plan.regions.optimization is Optimization.MANUAL and self.region is Region.STEP:
            return None
        if plan.module.early_optimizers or var in plan.roles.handed:
            return f"self.{plan.names[var]}"
        if self.region is Region.BEFORE_STEP:
            return "optimizer"
        if len(plan.roles.optimizers) == 1:
            return "self.optimizers()"
        return f"self.optimizers()[{list(plan.roles.optimizers).index(var)}]"

    def _in_module(self, var: Var) -> str | None:
        plan = self.plan
        if var in plan.module.modules or (var in plan.module.state and self.place is Place.INIT):
            return f"self.{plan.names[var]}"
        if var in plan.roles.schedulers and var not in plan.regions.stepped_by_trainer:
            return f"self.{plan.names[var]}"
        if var in plan.roles.schedulers and plan.module.early_optimizers:
            return f"self.{plan.names[var]}"
        if var in plan.regions.stepped_by_trainer and self.place in (Place.HOOK, Place.METHOD):
            return self._held_scheduler(var)
        if var in plan.roles.optimizers and plan.module.early_optimizers:
            return f"self.{plan.names[var]}"
        param = self._param(var, None)
        if param is not None:
            return self._param_text(param)
        if self.place is Place.CONFIG and plan.data is not None:
            loader = plan.data.loader(var)
            if loader is not None:
                return f"self.trainer.datamodule.{loader.method}()"
        return self._data_of_trainer(var) if self.place is Place.CONFIG else None

    def _held_scheduler(self, var: Var) -> str:
        """A scheduler that the Trainer steps, as the hooks reach it."""
        held = list(self.plan.regions.stepped_by_trainer)
        return "self.lr_schedulers()" if len(held) == 1 else f"self.lr_schedulers()[{held.index(var)}]"

    def _data_of_trainer(self, var: Var) -> str | None:
        data = self.plan.data
        if data is None:
            return self._handed_to_fit(var)
        loader = data.loader(var)
        if loader is not None and loader.method in ("train_dataloader", "val_dataloader"):
            held = (
                "self.trainer.train_dataloader"
                if loader.method == "train_dataloader"
                else "self.trainer.val_dataloaders"
            )
            return held + (".loader" if self.plan.wraps_batches and loader.method == "train_dataloader" else "")
        if loader is not None:
            return f"self.trainer.datamodule.{loader.method}()"
        return f"self.trainer.datamodule.{data.attribute(var)}" if var in data.attributes else None

    def _handed_to_fit(self, var: Var) -> str | None:
        """Loaders that the script hands to ``fit`` itself."""
        if self.place not in (Place.HOOK, Place.METHOD):
            return None
        for header, held in (
            (self.plan.regions.batches, "self.trainer.train_dataloader"),
            (self.plan.regions.validation, "self.trainer.val_dataloaders"),
        ):
            if header is self.plan.regions.batches and self.plan.regions.stream is not None:
                continue  # the module gives its batches itself
            if header is not None and variable(header.iterable, header.source) == var:
                wrapped = self.plan.wraps_batches and header is self.plan.regions.batches
                return held + (".loader" if wrapped else "")
        return None

    def _in_data(self, var: Var) -> str | None:
        data = self.plan.data
        assert data is not None
        if var in data.attributes:
            return f"self.{data.attribute(var)}"
        param = next((p for p in data.params if p.var == var and p.attr is None), None)
        return self._data_param(param) if param is not None else None

    def _in_script(self, var: Var) -> str | None:
        plan = self.plan
        if self.place is Place.AFTER and var in plan.storage.by_name:
            return None
        if plan.data is not None:
            loader = plan.data.loader(var)
            if loader is not None and loader.call is not None:
                wrapped = plan.wraps_batches and loader.method == "train_dataloader"
                return f"{plan.data.instance}.{loader.method}()" + (".loader" if wrapped else "")
            if var in plan.data.attributes:
                return f"{plan.data.instance}.{plan.data.attribute(var)}"
        if self.place is Place.AFTER and not var.owned and (var in plan.storage.read_after or var in plan.module.state):
            if var in plan.names:
                return f"{plan.module.instance}.{plan.names[var]}"
        return None

    # -- parameters ----------

    def _param(self, var: Var, attr: str | None) -> Param | None:
        if self.place in (Place.BEFORE, Place.AFTER):
            return None
        params = self.plan.module.params
        if self.place is Place.DATA:
            params = self.plan.data.params if self.plan.data else ()
        if self.place in (Place.HOOK, Place.METHOD, Place.CONFIG):
            params = (*params, *self.plan.module.late)
        return next((p for p in params if p.var == var and p.attr == attr), None)

    def _param_text(self, param: Param) -> str:
        if self.place is Place.DATA:
            return self._data_param(param)
        if self.place is Place.INIT:
            return param.name
        if param.kind is Kind.LATE:
            return f"self.{self.plan.module.late[param]}"
        if param.kind is Kind.HPARAM:
            return f"self.hparams.{param.name}"
        return f"self.{self.plan.names[param.var]}"

    def _data_param(self, param: Param) -> str:
        return f"self.hparams.{param.name}" if param.kind is Kind.HPARAM else f"self.{param.name}"

    # -- locals of a hook ----------

    def _local_names(self, region: Region) -> dict[Var, str]:
        """Names of the variables that stay local in a hook; two of the same name are told apart."""
        flow = self.plan.storage.flows[region]
        taken = {"self", "outputs"} if region is Region.BATCH_END else {"self"}
        if region is Region.BEFORE_STEP:
            taken.add("optimizer")
        if region in (Region.BATCH_START, Region.STEP, Region.VAL_STEP, Region.BATCH_END):
            taken.add("batch_idx")
        found: dict[Var, str] = {}
        for var in sorted(flow.may, key=lambda v: (v.frame is not self.plan.nest.home, v.order)):
            if var in self.plan.storage.replaced[region] or var in self.plan.storage.pinned:
                continue
            found[var] = unique(var.name, taken, prefer=var.frame.name if var.frame else "")
            taken.add(found[var])
        return found


def batch_number(header: Header) -> str:
    """What ``enumerate`` counts, in a hook of its loop."""
    return "batch_idx" if header.start == 0 else f"batch_idx + {header.start}"


def epoch_variables(plan: Plan) -> set[Var]:
    """The counter of the epoch loop."""
    return set(plan.nest.counters)


def returned_loss(plan: Plan) -> Var | None:
    """The variable that training_step returns."""
    return variable(*plan.regions.loss) if plan.regions.loss is not None else None


def loss_stays(plan: Plan) -> bool:
    """Is the loss of a batch read in the batch's own hooks only, so that ``outputs["loss"]`` is all that is needed?"""
    var = returned_loss(plan)
    others = [r for r in Region if r not in (Region.STEP, Region.BATCH_END)]
    flows = plan.storage.flows
    rebound = var in flows[Region.BATCH_END].may
    if var is None or rebound or var in plan.storage.read_after or any(var in flows[r].exposed for r in others):
        return False
    return only_value(plan, var, Region.STEP)


def only_value(plan: Plan, var: Var, own: Region) -> bool:
    """Do other regions and the code after the loop read the value alone, and cannot tell whether it has a graph?"""
    items = [i for r in Region if r is not own for i in plan.regions.of(r)]
    items += [*(Item(s, plan.nest.home) for s in plan.nest.post), *plan.storage.around.items]
    for item in items:
        parts = [(item.shape, item.frame), *((h.value, h.frame) for h in item.holes if h.value is not None)]
        for part, frame in parts:
            whole = {id(n.value) for n in walk(part) if _takes_value(n)}
            for node in walk(part):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in whole:
                    if variable(node, frame) == var:
                        return False
    return True


def _takes_value(node: ast.AST) -> TypeGuard[ast.Attribute | ast.FormattedValue]:
    """``loss.item()``, ``loss.data``, and a tensor of one number in an f-string."""
    if isinstance(node, ast.Attribute):
        return node.attr in ("item", "detach", "data", "tolist", "size", "shape")
    return isinstance(node, ast.FormattedValue)
