"""Write the LightningDataModule."""

from __future__ import annotations

import libcst as cst

from torchlift_convert.blocks import Block, Statement, class_, function
from torchlift_convert.definitions import assigned
from torchlift_convert.emit_stream import StreamWriter
from torchlift_convert.environment import Environment, Place
from torchlift_convert.plan import DataPlan, Kind, Plan
from torchlift_convert.program import Item
from torchlift_convert.remarks import Remarks
from torchlift_convert.rewrite import Edits, Origins, rewrite_expression


class DataWriter:
    """Writes one data class."""

    def __init__(self, plan: Plan, data: DataPlan, origins: Origins, lightning: str, dataloader: str) -> None:
        self.plan, self.data, self.origins = plan, data, origins
        self.lightning, self.dataloader = lightning, dataloader
        self.env = Environment(plan, Place.DATA)

    def write(self) -> cst.ClassDef:
        methods: list[Statement] = []
        if self.data.params:
            methods.append(self._init())
        if self.data.setup:
            methods.append(self._setup())
        methods += [self._loader(n) for n in range(len(self.data.loaders))]
        if self.data.tensors:
            methods.append(self._whole_set())
        if self.data.streams:
            methods += StreamWriter(self.plan, self.origins, Remarks(self.plan), self.env, self.data.name).methods()
        return class_(self.data.name, f"{self.lightning}.LightningDataModule", methods)

    def _block(self, method: str) -> Block:
        return Block(self.plan.program.script, self.origins, f"{self.data.name}.{method}")

    def _init(self) -> cst.FunctionDef:
        block = self._block("__init__")
        block.line("super().__init__()")
        objects = [p for p in self.data.params if p.kind is Kind.OBJECT]
        if len(objects) < len(self.data.params):
            ignored = ", ".join(f'"{p.name}"' for p in objects)
            block.line(f"self.save_hyperparameters(ignore=[{ignored}])" if objects else "self.save_hyperparameters()")
        for param in objects:
            block.line(f"self.{param.name} = {param.name}")
        return function("__init__", [p.name for p in self.data.params], block)

    def _setup(self) -> cst.FunctionDef:
        block = self._block("setup")
        first = self._first_attribute()
        if self.data.by_hand and first is not None:
            block.line(f'if hasattr(self, "{first}"):\n    return\n')
        for stmt in self.data.setup:
            block.carry(Item(stmt, self.plan.nest.home), self.env, Edits())
        return function("setup", ("stage",), block)

    def _first_attribute(self) -> str | None:
        made = [self.data.attribute(v) for s in self.data.setup for v, _ in assigned(s, self.plan.nest.home)]
        names = {self.data.attribute(v) for v in self.data.attributes}
        return next((n for n in made if n in names), min(names, default=None))

    def _loader(self, number: int) -> cst.FunctionDef:
        loader = self.data.loaders[number]
        block = self._block(loader.method)
        if loader.call is None:
            held = self._wrapped(cst.parse_expression(f"self.{self.data.attribute(loader.var)}"), loader.method)
            block.line(f"return {cst.Module([]).code_for_node(held)}")
        else:
            block.drop(loader.stmt)
            value = rewrite_expression(loader.call, self.plan.nest.home, self.env, Edits())
            value = self._wrapped(value, loader.method)
            made = cst.SimpleStatementLine([cst.Return(value)])
            self.origins.record(made, loader.stmt)
            self.origins.place(loader.stmt, block.where)
            block.add(made)
        return function(loader.method, (), block)

    def _wrapped(self, value: cst.BaseExpression, method: str) -> cst.BaseExpression:
        if method != "train_dataloader" or not self.plan.wraps_batches:
            return value
        return cst.Call(cst.Name(self.plan.wrapper), [cst.Arg(value)])

    def _whole_set(self) -> cst.FunctionDef:
        block = self._block("train_dataloader")
        names = [f"self.{self.data.attribute(v)}" for v in self.data.tensors]
        whole = names[0] if len(names) == 1 else f"({', '.join(names)})"
        block.line(
            "# one batch, the whole set; its own generator leaves the global random state alone\n"
            f"return {self.dataloader}([{whole}], batch_size=None, generator=torch.Generator())"
        )
        return function("train_dataloader", (), block)
