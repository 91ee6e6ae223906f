"""Write the LightningModule: each region into its hook, each value where the plan put it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from torchlift_convert import facts as F
from torchlift_convert.blocks import Block, Statement, class_, function
from torchlift_convert.emit_methods import methods_along
from torchlift_convert.emit_stream import StreamWriter
from torchlift_convert.environment import (
    Environment,
    Place,
    batch_number,
    epoch_variables,
    loss_stays,
    only_value,
    returned_loss,
)
from torchlift_convert.kept import walk
from torchlift_convert.logging_calls import metrics_of, step_metrics
from torchlift_convert.plan import Kind, Plan
from torchlift_convert.program import Frame, Item, Var, flow_over
from torchlift_convert.recognisers import facts_of
from torchlift_convert.references import item_references
from torchlift_convert.regions import Header, Region, loop_variables
from torchlift_convert.remarks import Remarks
from torchlift_convert.rewrite import Edits, Origins, source_of, unbracketed
from torchlift_convert.roles import variable
from torchlift_convert.scaling import may_be_fused
from torchlift_convert.syntax import exits_of
from torchlift_convert.trainer_args import epochs_of
from torchlift_convert.types import Optimization

SIGNATURES: dict[Region, tuple[str, ...]] = {
    Region.EPOCH_START: (),
    Region.FETCH: (),
    Region.BATCH_START: ("batch", "batch_idx"),
    Region.STEP: ("batch", "batch_idx"),
    Region.BEFORE_STEP: ("optimizer",),
    Region.BATCH_END: ("outputs", "batch", "batch_idx"),
    Region.VAL_START: (),
    Region.VAL_STEP: ("batch", "batch_idx"),
    Region.VAL_END: (),
    Region.EPOCH_END: (),
}
STOP = ("self.trainer.should_stop = True", "return")


class ModuleWriter:
    """Writes one module class."""

    def __init__(self, plan: Plan, origins: Origins, lightning: str) -> None:
        self.plan, self.origins, self.lightning = plan, origins, lightning
        self.script = plan.program.script
        self.name = plan.module.name
        self.remarks = Remarks(plan)

    def write(self) -> cst.ClassDef:
        methods: list[Statement] = [self._init()]
        forward = self._forward()
        methods += [forward] if forward is not None else []
        methods.append(self._configure_optimizers())
        for region in Region:
            if region is Region.FETCH:
                methods += self._stream()
            elif region is Region.STEP or self.plan.regions.of(region) or self._needs(region):
                methods.append(self._hook(region))
        methods += methods_along(plan=self.plan, origins=self.origins)
        methods += self._extras()
        return class_(self.name, f"{self.lightning}.LightningModule", methods)

    def _stream(self) -> list[Statement]:
        """Where the batches come from, when that is not the data's alone."""
        if self.plan.data is not None:
            return []
        env = Environment(self.plan, Place.HOOK, Region.FETCH)
        return StreamWriter(self.plan, self.origins, self.remarks, env, self.name).methods()

    def _block(self, method: str) -> Block:
        return Block(self.script, self.origins, f"{self.name}.{method}")

    def _needs(self, region: Region) -> bool:
        if region is Region.EPOCH_START:
            return bool(self.plan.storage.pinned & epoch_variables(self.plan))
        return region is Region.VAL_STEP and self.plan.regions.validation is not None

    # -- the constructor ----------

    def _init(self) -> cst.FunctionDef:
        plan, block = self.plan, self._block("__init__")
        block.tight = True
        env = Environment(plan, Place.INIT)
        block.line("super().__init__()")
        objects = [p for p in plan.module.params if p.kind is Kind.OBJECT]
        if any(p.kind is Kind.HPARAM for p in plan.module.params):
            ignored = ", ".join(f'"{p.name}"' for p in objects)
            block.line(f"self.save_hyperparameters(ignore=[{ignored}])" if objects else "self.save_hyperparameters()")
        if plan.regions.optimization is Optimization.MANUAL:
            why = plan.regions.why_manual
            block.line(
                f"self.automatic_optimization = False  # {why[0]}" if why else "self.automatic_optimization = False"
            )
        for param in objects:
            block.line(f"self.{plan.names[param.var]} = {param.name}")
        order = {s: n for n, s in enumerate(plan.nest.pre)}
        stmts = [*plan.module.init, *(plan.config if plan.module.early_optimizers else ())]
        for stmt in sorted(stmts, key=order.__getitem__):
            block.carry(Item(stmt, plan.nest.home), env, Edits())
        for var in plan.module.initial:
            given = next((p for p in plan.module.params if p.var == var and p.attr is None), None)
            if given is not None and given.kind is Kind.HPARAM:
                block.line(f"self.{plan.names[var]} = {given.name}")
        return function("__init__", [p.name for p in plan.module.params], block).with_changes(leading_lines=[])

    def _forward(self) -> cst.FunctionDef | None:
        """``forward`` calls the one model as the training step does."""
        plan = self.plan
        models = [v for v in plan.module.modules if v in plan.roles.models]
        if len(models) != 1:
            return None
        for item in plan.regions.of(Region.STEP):
            for node in walk(item.stmt):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
                    if variable(node.func, item.frame) == models[0] and node.args:
                        if all(isinstance(a, ast.Name) for a in node.args):
                            names = [a.id for a in node.args if isinstance(a, ast.Name)]
                            if len({"self", *names}) <= len(names):  # a batch called 'self', an input given twice
                                return None
                        elif len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
                            names = ["x"]
                        else:
                            return None
                        if len(set(names)) < len(names):
                            return None
                        block = self._block("forward")
                        block.line(f"return self.{plan.names[models[0]]}({', '.join(names)})")
                        return function("forward", names, block)
        return None

    # -- optimizers ----------

    def _configure_optimizers(self) -> cst.FunctionDef:
        plan, block = self.plan, self._block("configure_optimizers")
        block.tight = True
        env = Environment(plan, Place.CONFIG)
        optimizers = list(plan.roles.optimizers)
        schedulers = [v for v in plan.roles.schedulers if v in plan.regions.stepped_by_trainer]
        if not plan.module.early_optimizers:
            for stmt in plan.config:
                block.carry(Item(stmt, plan.nest.home), env, Edits())
        if not optimizers:
            block.line("return None  # training_step updates the weights itself")
            return function("configure_optimizers", (), block)
        names = [env.text(v) or v.name for v in optimizers]
        if not schedulers and len(names) == 1 and len(plan.config) == 1 and _returns_itself(block, names[0]):
            return function("configure_optimizers", (), block)
        block.line("return " + _returned(names, [self._scheduler(v, env) for v in schedulers]))
        return function("configure_optimizers", (), block)

    def _scheduler(self, var: Var, env: Environment) -> str:
        name = env.text(var) or var.name
        if self.plan.regions.stepped_by_trainer[var] == "step":
            return f'{{"scheduler": {name}, "interval": "step"}}'
        return name

    # -- hooks ----------

    def _hook(self, region: Region) -> cst.FunctionDef:
        plan, block = self.plan, self._block(region.value)
        env = Environment(plan, Place.HOOK, region)
        items = plan.regions.of(region)
        edits = self._edits(region)
        self._declare_globals(block, region)
        if region is Region.EPOCH_END and plan.regions.leaves_at_start:
            block.line("if self.trainer.should_stop:\n    return  # the epoch was left at its start\n")
        self._unpack(block, region, env)
        if region is Region.STEP and plan.regions.optimization is Optimization.MANUAL and plan.roles.optimizers:
            names = ", ".join(v.name for v in plan.roles.optimizers)
            if plan.roles.scalers and may_be_fused(plan.roles):  # the scaler tells a fused one what to divide by
                block.line(f"{names} = self.optimizers(use_pl_optimizer=False)")
            else:
                block.line(f"{names} = self.optimizers()")
        metrics = metrics_of(plan, region, env)
        leaving = next((n for n, i in enumerate(items) if exits_of(i.shape)), len(items))
        if leaving < len(items):
            self._save(block, region, env)
        known = _known(items, leaving)
        for n, item in enumerate(items):
            if n == leaving:
                self._log(block, {name: value for name, value in metrics.items() if name in known})
            self.remarks.leave_before(block, item)
            block.carry(item, env, edits)
        if leaving == len(items):
            self._save(block, region, env)
            self._log(block, metrics)
        else:
            self._log(block, {name: value for name, value in metrics.items() if name not in known})
        self._end_of_loop(block, region)
        if region is Region.STEP:
            self._finish_step(block, env, edits)
        return function(region.value, SIGNATURES[region], block)

    def _edits(self, region: Region) -> Edits:
        plan = self.plan
        gone = {s: True for i in plan.regions.of(region) for s in i.without}
        one_level = plan.nest.epochs is None or plan.nest.batches is None
        in_batch = region in (Region.BATCH_START, Region.STEP, Region.BATCH_END)
        stop = STOP if one_level or not in_batch else ("self.trainer.train_dataloader.stopped = True", "return")
        header = {Region.STEP: plan.regions.batches, Region.VAL_STEP: plan.regions.validation}.get(region)
        return Edits(
            gone=gone,
            batch=frozenset(v.name for v in loop_variables(header)),
            leave=("return",) if region is Region.VAL_STEP else stop,
            skip=("return",),
            manual=region is Region.STEP and plan.regions.optimization is Optimization.MANUAL,
        )

    def _declare_globals(self, block: Block, region: Region) -> None:
        """Say what stays a global of the script; the counter of the epochs is bound again, as the loop did."""
        pinned = self.plan.storage.pinned
        counters = pinned & epoch_variables(self.plan) if region is Region.EPOCH_START else set()
        bound = sorted(v.name for v in pinned if v in self.plan.storage.flows[region].may | counters)
        if bound:
            block.line(f"global {', '.join(bound)}")
        for var in counters:
            env = Environment(self.plan, Place.HOOK, region)
            start = "" if self.plan.epoch_start in (None, "0") else f" + {self._epoch_start(env)}"
            block.line(f"{var.name} = self.current_epoch{start}")

    def _unpack(self, block: Block, region: Region, env: Environment) -> None:
        """The batch under the names that the loop gave it."""
        plan = self.plan
        header = {Region.STEP: plan.regions.batches, Region.VAL_STEP: plan.regions.validation}.get(region)
        if header is not None:
            target = self._target(header, env)
            if target != "batch" and self._uses(region, header):
                block.line(f"{target} = batch")
            index = header.frame.resolve(header.index) if header.index is not None else None
            if index in plan.storage.replaced[region] | plan.storage.pinned:
                assert index is not None
                block.line(f"{env.text(index) or index.name} = {batch_number(header)}")
        elif plan.data is not None and plan.data.tensors and region in (Region.STEP, Region.BATCH_END):
            used = {v for v, _ in item_references(plan.regions.of(region), plan.roles)}
            if used & set(plan.data.tensors):
                block.line(f"{', '.join(v.name for v in plan.data.tensors)} = batch")

    def _target(self, header: Header, env: Environment) -> str:
        text = ast.get_source_segment(self.script.text, header.target) or ast.unparse(header.target)
        names = {n.id: env.text(header.frame.resolve(n.id)) for n in walk(header.target) if isinstance(n, ast.Name)}
        if any(t is not None for t in names.values()):
            text = source_of(header.target, header.frame, env)
        return unbracketed(text)

    def _uses(self, region: Region, header: Header) -> bool:
        """Is any part of the batch read in the hook?"""
        names = {header.frame.resolve(n.id) for n in walk(header.target) if isinstance(n, ast.Name)}
        read = {v for v, _ in item_references(self.plan.regions.of(region), self.plan.roles)}
        kept = set(self.plan.storage.saved[region])
        if region is Region.STEP and self.plan.regions.loss is not None:
            loss = self.plan.regions.loss
            read |= {v for v, _ in item_references([Item(ast.Expr(loss[0]), loss[1])], self.plan.roles)}
        return bool(names & (read | kept))

    def _save(self, block: Block, region: Region, env: Environment) -> None:
        """Locals that another region reads become attributes at the region's end."""
        plan = self.plan
        for var in plan.storage.saved[region]:
            if var == returned_loss(plan) and loss_stays(plan):
                continue
            value = env.text(var) or var.name
            detached = ".detach()" if self._is_graph_tensor(var) and only_value(plan, var, region) else ""
            block.line(f"self.{plan.names[var]} = {value}{detached}")

    def _is_graph_tensor(self, var: Var) -> bool:
        """Surely a tensor that carries a graph: something that backward() is called on, or what a model returns."""
        plan = self.plan
        if var == returned_loss(plan):
            return True
        for region in Region:
            for item in plan.regions.of(region):
                for fact in facts_of(item.stmt, item.frame, plan.program):
                    if isinstance(fact, F.Backward) and variable(fact.target, item.frame) == var:
                        return True
        made = plan.roles.definitions.get(var, [])
        return bool(made) and all(self._calls_loss(d.value, d.frame) for d in made)

    def _calls_loss(self, value: ast.expr | None, frame: Frame) -> bool:
        if not isinstance(value, ast.Call):
            return False
        return variable(value.func, frame) in self.plan.roles.losses

    def _log(self, block: Block, metrics: dict[str, str]) -> None:
        if len(metrics) == 1:
            ((name, value),) = metrics.items()
            block.line(f'self.log("{name}", {value}, prog_bar=True)')
        elif metrics:
            pairs = ", ".join(f'"{name}": {value}' for name, value in metrics.items())
            block.line(f"self.log_dict({{{pairs}}}, prog_bar=True)")

    def _end_of_loop(self, block: Block, region: Region) -> None:
        """Comments that stood at the end of the loop's body."""
        last = Region.VAL_END if self.plan.regions.validation is not None else Region.EPOCH_END
        held_out = self.plan.regions.validation
        nest = self.plan.nest
        loops: dict[Region, ast.stmt | None] = {
            Region.STEP: nest.written_batches,
            last: nest.written_epochs,
        }
        loops[Region.VAL_STEP] = held_out.stmt if held_out is not None else None
        loop = loops.get(region)
        node = self.script.node.get(loop) if loop is not None else None
        if isinstance(node, (cst.For, cst.While)) and isinstance(node.body, cst.IndentedBlock):
            block.leave(node.body.footer)

    def _finish_step(self, block: Block, env: Environment, edits: Edits) -> None:
        plan = self.plan
        for name, value in step_metrics(plan, env).items():
            block.line(f'self.log("{name}", {value}, prog_bar=True)')
        if plan.regions.loss is None:
            return
        for stmt in self._optimizing_statements():
            for around in self.remarks.around(stmt):
                block.open(around)
            block.drop(stmt)
        expr, frame = plan.regions.loss
        block.line(f"return {source_of(expr, frame, env, edits)}")

    def _optimizing_statements(self) -> list[ast.stmt]:
        """zero_grad, backward, step, and what else the Trainer does in a batch: their comments stay."""
        carried = {i.stmt for r in Region for i in self.plan.regions.of(r)}
        return [i.stmt for i in self.plan.nest.body if i.stmt not in carried and i.stmt in self.plan.regions.gone]

    # -- small things ----------

    def _extras(self) -> list[Statement]:
        plan, out = self.plan, list[Statement]()
        if plan.regions.keeps_gradients:
            block = self._block("on_validation_model_zero_grad")
            block.line("pass  # gradients are left alone between epochs, as in the loop")
            out.append(function("on_validation_model_zero_grad", (), block))
        if plan.epoch_name is not None:
            block = self._block(plan.epoch_name)
            env = Environment(plan, Place.HOOK, Region.EPOCH_START)
            start = self._epoch_start(env)
            block.line(f"return self.current_epoch + {start}")
            made = function(plan.epoch_name, (), block)
            out.append(made.with_changes(decorators=[cst.Decorator(cst.Name("property"))]))
        return out

    def _epoch_start(self, env: Environment) -> str:
        start = epochs_of(self.plan.nest, self.plan.program).start_expr
        assert start is not None
        text = source_of(start, self.plan.nest.home, env)
        return text if isinstance(start, (ast.Constant, ast.Name, ast.Attribute)) else f"({text})"


def _known(items: Sequence[Item], leaving: int) -> set[str]:
    """Names that have their value when the hook may be left for the first time: bound by then, or not bound in it."""
    bound, every = flow_over(list(items[:leaving])).must, flow_over(list(items))
    return {v.name for v in bound | (every.exposed - every.may)}


def _returns_itself(block: Block, name: str) -> bool:
    """Turn a lone ``optimizer = Adam(...)`` into ``return Adam(...)``."""
    if len(block.body) != 1:
        return False
    match block.body[0]:
        case cst.SimpleStatementLine(
            body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=target))], value=value)]
        ) if target == name:
            changed = block.body[0].with_changes(body=[cst.Return(value)])
            block.origins.relabel(block.body[0], changed)
            block.body[0] = changed
            return True
    return False


def _returned(optimizers: list[str], schedulers: list[str]) -> str:
    if not schedulers:
        return ", ".join(optimizers)
    if len(optimizers) == 1 and len(schedulers) == 1 and schedulers[0].startswith("{"):
        return f'{{"optimizer": {optimizers[0]}, "lr_scheduler": {schedulers[0]}}}'
    return f"[{', '.join(optimizers)}], [{', '.join(schedulers)}]"
