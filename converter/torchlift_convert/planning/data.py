"""Plan the LightningDataModule from the slice of statements that make the data."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from torchlift_convert.data import DataSlicer, NotApart, Slice, loader_call
from torchlift_convert.deferred import reached_functions
from torchlift_convert.kept import walk
from torchlift_convert.names import own_nodes
from torchlift_convert.plan import DataPlan, Loader
from torchlift_convert.planning.context import Context
from torchlift_convert.planning.fetching import own_state, sources
from torchlift_convert.program import Item, Var, flow_over
from torchlift_convert.references import references
from torchlift_convert.reserved import ranked, script_names, unique


@dataclass(eq=False)
class DataPlanner:
    """Plans the data of one script."""

    ctx: Context

    def plan(self) -> DataPlan | None:
        """The DataModule, or None when the data cannot be told apart."""
        if self.ctx.regions.stream is not None:
            return self._streamed()
        slicer = self._slicer(self.ctx.storage.bound | self.ctx.pinned)
        train = self.ctx.train_loader()
        tensors = self._whole_set() if self.ctx.nest.batches is None else []
        validation = self.ctx.validation_loader()
        seeds = [v for v in (train, validation) if v is not None] if train is not None else tensors
        if not seeds:
            return None
        others = [v for v in self.ctx.roles.loaders if v not in seeds and v.frame is self.ctx.home and self._used(v)]
        try:
            cut = slicer.slice(seeds)
        except NotApart:
            return None
        cut, others = self._with_others(slicer, seeds, cut, others)
        if any(s in self.ctx.fixed_blocks for s in cut.statements):
            return None
        return self._data_plan(cut, train, tensors, others)

    def _slicer(self, fixed: frozenset[Var]) -> DataSlicer:
        ctx = self.ctx
        return DataSlicer(ctx.program, ctx.nest, ctx.roles, ctx.judge, ctx.values, fixed)

    def _streamed(self) -> DataPlan | None:
        """The DataModule of a stream that nothing but the data decides."""
        found = sources(self.ctx)
        if found is None:
            return None
        own, values, roles = own_state(self.ctx), self.ctx.values, self.ctx.roles
        options = [(v, a) for v, a in found if a is not None or (values.portable_scalar(v) and v not in own)]
        seeds = [v for v, a in found if (v, a) not in options]
        if any(v in roles.namespaces for v in seeds):
            return None
        slicer = self._slicer((self.ctx.storage.bound - own) | self.ctx.pinned)
        try:
            cut = slicer.slice(seeds)
        except NotApart:
            return None
        cut.options |= dict.fromkeys(options)
        if any(s in self.ctx.fixed_blocks for s in cut.statements):
            return None
        plan = self._data_plan(cut, None, [], [])
        return plan and replace(plan, streams=True)

    def _with_others(
        self, slicer: DataSlicer, seeds: list[Var], cut: Slice, others: list[Var]
    ) -> tuple[Slice, list[Var]]:
        """The slice with further loaders; one that cannot be told apart stays where it is."""
        apart: list[Var] = []
        for var in others:
            try:
                cut = slicer.slice([*seeds, *apart, var])
                apart.append(var)
            except NotApart:
                continue
        return cut, apart

    def _used(self, var: Var) -> bool:
        return (var, None) in self.ctx.hook_refs or any(var in self.ctx.judge.reads(i) for i in self.ctx.rest())

    def _whole_set(self) -> list[Var]:
        """Tensors that every step reads whole, when the script has no loader: the batch of a one-batch loader."""
        found: list[Var] = []
        for var, attr in self.ctx.hook_refs:
            if (
                attr is not None
                or var.frame is not self.ctx.home
                or var in self.ctx.storage.bound
                or var in self.ctx.pinned
            ):
                continue
            if (
                var in self.ctx.roles.losses
                or self.ctx.roles.is_state_of_training(var)
                or var in self.ctx.roles.devices
            ):
                continue
            if self._is_tensor(var):
                found.append(var)
        return found

    def _is_tensor(self, var: Var) -> bool:
        places = self.ctx.roles.definitions.get(var, [])
        if not places or any(p.stmt not in self.ctx.pre for p in places):
            return False
        value = places[-1].value
        while isinstance(value, ast.Call):
            name = self.ctx.program.canonical(value.func, self.ctx.home)
            if name is not None:
                if name.startswith("torch.utils.data."):
                    return False
                return name.startswith("torch.") and not name.startswith(("torch.nn.", "torch.optim.", "torch.device"))
            if not isinstance(value.func, ast.Attribute):
                return False
            value = value.func.value
        if isinstance(value, ast.BinOp):
            names = [n.id for n in walk(value) if isinstance(n, ast.Name)]
            return any(self.ctx.home.resolve(n) != var and self._is_tensor(self.ctx.home.resolve(n)) for n in names)
        if isinstance(value, ast.Name):
            other = self.ctx.home.resolve(value.id)
            return (other != var and self._is_tensor(other)) or (other == var and len(places) > 1)
        return False

    def _data_plan(self, cut: Slice, train: Var | None, tensors: list[Var], others: list[Var]) -> DataPlan | None:
        loaders: list[Loader] = []
        validation = self.ctx.validation_loader()
        taken: set[str] = set()
        bound_later = flow_over([Item(s, self.ctx.home) for s in self.ctx.nest.post]).may
        for var in [v for v in (train, validation, *others) if v is not None]:
            if any(one.var == var for one in loaders):
                continue
            call = loader_call(var, cut.statements, self.ctx.nest, self.ctx.program)
            if call is not None and (var in bound_later or not self._repeatable(*call)):
                call = None
            stmt = call[0] if call else self._last_binding(var, cut)
            wanted = (
                "train_dataloader" if var == train else "val_dataloader" if var == validation else "test_dataloader"
            )
            method = unique(wanted if wanted not in taken else f"{var.name}", taken)
            taken.add(method)
            loaders.append(Loader(method, var, stmt, call[1] if call else None))
        own = {one.stmt for one in loaders if one.call is not None}
        setup = tuple(s for s in cut.statements if s not in own)
        attributes = self._data_attributes(cut, loaders, setup, tensors)
        ready = frozenset(v for v, _ in cut.options)
        position = self.ctx.placer.position(list(cut.statements), ready)
        if position is None:
            return None
        quiet = not any(
            e.draws or e.writes or e.unknown for e in (self.ctx.judge.of(s, self.ctx.home) for s in cut.statements)
        )
        kept = [s for s in self.ctx.pre if s not in cut.statements]
        made = attributes | {one.var for one in loaders}
        needed = any(made & self.ctx.judge.reads(Item(s, self.ctx.home)) for s in kept)
        return DataPlan(
            name=unique(ranked(self._data_name(setup, loaders), self.ctx.nest.rank), script_names(self.ctx.program)),
            instance="data",
            params=self.ctx.parameters(cut.options),
            setup=setup,
            attributes=attributes,
            loaders=tuple(loaders),
            position=position,
            by_hand=not quiet or needed,
            tensors=tuple(tensors),
        )

    def _repeatable(self, stmt: ast.stmt, value: ast.expr) -> bool:
        """May a hook make the loader later, and more than once? Not when what it is made from draws or has a state."""
        effects = self.ctx.judge.of(stmt, self.ctx.home)
        names = (self.ctx.program.canonical(n.func, self.ctx.home) for n in walk(value) if isinstance(n, ast.Call))
        made = {n.func.id for n in walk(value) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        classes = [c for n, c in self.ctx.program.module.classes.items() if n in made]
        stateful = "torch.Generator" in names or any(self.ctx.judge.remembers(c) for c in classes)
        return not (effects.draws or effects.writes or effects.unknown or stateful)

    def _last_binding(self, var: Var, cut: Slice) -> ast.stmt:
        found = [s for s in cut.statements if var in self.ctx.judge.changes(Item(s, self.ctx.home))]
        return found[-1]

    def _data_attributes(
        self, cut: Slice, loaders: list[Loader], setup: tuple[ast.stmt, ...], tensors: list[Var]
    ) -> frozenset[Var]:
        """Variables of the slice that are read outside ``setup``."""
        called = {one.var for one in loaders if one.call is not None}
        outside: set[Var] = {one.var for one in loaders if one.call is None} | set(tensors)
        for one in loaders:
            if one.call is not None:
                outside |= {v for v, _ in references(one.call, self.ctx.home, self.ctx.roles)}
        rest = [i for i in self.ctx.rest() if i.stmt not in cut.statements]
        for item in [*rest, *self.ctx.hooks]:
            outside |= self.ctx.judge.reads(item)
        return frozenset((cut.variables & outside) - called)

    def _data_name(self, setup: tuple[ast.stmt, ...], loaders: list[Loader]) -> str:
        """Named after the dataset that it reads, in the script's own functions too."""
        stmts = [*setup, *(one.stmt for one in loaders)]
        nodes = [(n, self.ctx.home) for s in stmts for n in walk(s)]
        followed = reached_functions(self.ctx.program, self.ctx.home, [n for n, _ in nodes])
        nodes += [(n, f) for func, f in followed.items() if not isinstance(func, ast.ClassDef) for n in own_nodes(func)]
        for node, frame in nodes:
            if isinstance(node, ast.Call):
                name = self.ctx.program.canonical(node.func, frame) or ""
                if name.startswith("torchvision.datasets."):
                    return name.rpartition(".")[2] + "DataModule"
                if name.startswith("sklearn.datasets.load_"):
                    words = name.removeprefix("sklearn.datasets.load_").split("_")
                    return "".join(w.capitalize() for w in words) + "DataModule"
                if isinstance(node.func, ast.Name) and node.func.id in self.ctx.program.module.classes:
                    return self.ctx.program.script.plain(node.func.id).removesuffix("Dataset") + "DataModule"
        return "DataModule"
