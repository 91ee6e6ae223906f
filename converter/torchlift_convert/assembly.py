"""From regions to a plan: which statements move into which generated class, and how each value gets there."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace

from torchlift_convert import facts as F
from torchlift_convert.data import DataSlicer, NotApart, Slice, loader_call
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.nest import Nest, nodes_of
from torchlift_convert.placing import Placer
from torchlift_convert.plan import DataPlan, Kind, Loader, ModulePlan, Param, Plan
from torchlift_convert.program import Item, Program, Var, flow_over
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.references import Reference, item_references, references
from torchlift_convert.regions import Gone, Region, Regions
from torchlift_convert.reserved import attribute_name, unique
from torchlift_convert.roles import Roles, assigned, nest_items, variable
from torchlift_convert.storage import Storage
from torchlift_convert.trainer_args import accelerator_of, epochs_of
from torchlift_convert.types import FateKind
from torchlift_convert.values import Values

MODULE_MOVE = Gone(FateKind.TRAINER, "Trainer: the module is moved to the device")
DATA_MOVE = Gone(FateKind.TRAINER, "Trainer: batches are moved to the device")


@dataclass(eq=False)
class Assembler:
    """Builds the plan of one script."""

    program: Program
    nest: Nest
    roles: Roles
    regions: Regions
    storage: Storage
    judge: Judge
    dropped: dict[ast.stmt, Gone] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = Values(self.program, self.roles)
        self.home = self.nest.home
        self.pre = self.nest.pre
        blocks = [(s, b.conditional) for b in self.nest.path for s in b.body[: b.index]]
        self.fixed_blocks = {s for s, conditional in blocks if conditional != self.nest.path[-1].conditional}
        self.placer = Placer(self.pre, self.home, self.judge)
        self.hooks = [i for r in Region for i in self.regions.of(r)]
        self.hook_refs = item_references(self.hooks, self.roles)

    # -- the steps, in order -------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Decide everything."""
        self._refuse_rebound_roles()
        data = self._data()
        moved_data = set(data.setup) | {one.stmt for one in data.loaders} if data else set()
        models, passed = self._modules(data)
        losses, _ = self._losses(data)
        state = self._state(moved_data)
        config = self._config()
        early = self._optimizers_used_early(config)
        init = [self._construct(v) for v in (*models, *losses)] + [self._construct_state(v) for v in state]
        inside = [*init, *config] if early else init
        for var in (*models, *passed):
            self._drop_moves(var)
        params, initial = self._params(inside, config, data, passed, state)
        position, params = self._position(inside, init, config, early, params, passed, moved_data)
        if position is None:
            models, losses, state, passed = [], [], [], [*models, *passed]
            init, inside = [], list(config) if early else []
            params, initial = self._params(inside, config, data, passed, state)
            position, params = self._position(inside, init, config, early, params, passed, moved_data)
        if position is None:
            raise Refuse(
                "TL106",
                "There is no place before the loop where the module could be made without changing the order of things.",
                self.nest.outer,
                "Make the model and the optimizer in one place, after the options and the data.",
            )
        return self._finish(data, models, passed, losses, state, initial, params, config, early, position, init)

    def _refuse_rebound_roles(self) -> None:
        """A model, an optimizer or a loader that changes inside the loops cannot be one attribute."""
        for var in (*self.roles.models, *self.roles.optimizers, *self.roles.loaders):
            if var in self.storage.bound:
                raise Refuse(
                    "TL106",
                    f"'{var.name}' is made anew inside the loop.",
                    self.nest.outer,
                    "Make it once, before the loop.",
                )

    # -- data ----------------------------------------------------------------------------------------------------------

    def _data(self) -> DataPlan | None:
        slicer = DataSlicer(
            self.program, self.nest, self.roles, self.judge, self.values, self.storage.bound | self.storage.pinned
        )
        train = self._train_loader()
        tensors = self._whole_set() if self.nest.batches is None else []
        validation = self._validation_loader()
        seeds = [v for v in (train, validation) if v is not None] if train is not None else tensors
        if not seeds:
            return None
        others = [v for v in self.roles.loaders if v not in seeds and v.frame is self.home and self._used(v)]
        try:
            cut = slicer.slice(seeds)
        except NotApart:
            return None
        apart: list[Var] = []
        for var in others:  # a loader that cannot be told apart stays where it is
            try:
                cut = slicer.slice([*seeds, *apart, var])
                apart.append(var)
            except NotApart:
                continue
        others = apart
        if any(s in self.fixed_blocks for s in cut.statements):
            return None
        return self._data_plan(cut, train, tensors, others)

    def _used(self, var: Var) -> bool:
        later = [Item(s, self.home) for s in [*self.pre, *self.nest.post]]
        return (var, None) in self.hook_refs or any(var in self.judge.reads(i) for i in later)

    def _train_loader(self) -> Var | None:
        header = self.regions.batches
        if header is None:
            return None
        var = variable(header.iterable, header.source)
        return var if var is not None and var.frame is self.home and var not in self.storage.bound else None

    def _whole_set(self) -> list[Var]:
        """Tensors that every step reads whole, when the script has no loader: the batch of a one-batch loader."""
        found: list[Var] = []
        for var, attr in self.hook_refs:
            if attr is not None or var.frame is not self.home or var in self.storage.bound or var in self.storage.pinned:
                continue
            if var in self.roles.losses or self.roles.is_state_of_training(var) or var in self.roles.devices:
                continue
            if self._is_tensor(var):
                found.append(var)
        return found

    def _is_tensor(self, var: Var) -> bool:
        places = self.roles.definitions.get(var, [])
        if not places or any(p.stmt not in self.pre for p in places):
            return False
        value = places[-1].value
        while isinstance(value, ast.Call):
            name = self.program.canonical(value.func, self.home)
            if name is not None:
                return name.startswith("torch.") and not name.startswith(("torch.nn.", "torch.optim.", "torch.device"))
            if not isinstance(value.func, ast.Attribute):
                return False
            value = value.func.value
        if isinstance(value, ast.BinOp):
            names = [n.id for n in ast.walk(value) if isinstance(n, ast.Name)]
            return any(self.home.resolve(n) != var and self._is_tensor(self.home.resolve(n)) for n in names)
        if isinstance(value, ast.Name):
            other = self.home.resolve(value.id)
            return other != var and self._is_tensor(other) or (other == var and len(places) > 1)
        return False

    def _data_plan(self, cut: Slice, train: Var | None, tensors: list[Var], others: list[Var]) -> DataPlan | None:
        loaders: list[Loader] = []
        validation = self._validation_loader()
        taken: set[str] = set()
        for var in [v for v in (train, validation, *others) if v is not None]:
            if any(one.var == var for one in loaders):
                continue
            call = loader_call(var, cut.statements, self.nest, self.program)
            stmt = call[0] if call else self._last_binding(var, cut)
            wanted = "train_dataloader" if var == train else "val_dataloader" if var == validation else "test_dataloader"
            method = unique(wanted if wanted not in taken else f"{var.name}", taken)
            taken.add(method)
            loaders.append(Loader(method, var, stmt, call[1] if call else None))
        own = {one.stmt for one in loaders if one.call is not None}
        setup = tuple(s for s in cut.statements if s not in own)
        for stmt in setup:
            if stmt in self.storage.pinned:
                return None
        attributes = self._data_attributes(cut, loaders, setup, tensors)
        ready = frozenset(v for v, _ in cut.options)
        position = self.placer.position(list(cut.statements), ready)
        if position is None:
            return None
        quiet = not any(
            e.draws or e.writes or e.unknown for e in (self.judge.of(s, self.home) for s in cut.statements)
        )
        kept = [s for s in self.pre if s not in cut.statements]
        made = attributes | {one.var for one in loaders}
        needed = any(made & self.judge.reads(Item(s, self.home)) for s in kept)
        return DataPlan(
            name=self._data_name(setup, loaders),
            instance="data",
            params=self._param_list(cut.options),
            setup=setup,
            attributes=attributes,
            loaders=tuple(loaders),
            position=position,
            by_hand=not quiet or needed,
            tensors=tuple(tensors),
        )

    def _validation_loader(self) -> Var | None:
        header = self.regions.validation
        return variable(header.iterable, header.source) if header else None

    def _last_binding(self, var: Var, cut: Slice) -> ast.stmt:
        found = [s for s in cut.statements if var in self.judge.changes(Item(s, self.home))]
        return found[-1]

    def _data_attributes(
        self, cut: Slice, loaders: list[Loader], setup: tuple[ast.stmt, ...], tensors: list[Var]
    ) -> frozenset[Var]:
        """Variables of the slice that are read outside ``setup``."""
        called = {one.var for one in loaders if one.call is not None}
        outside: set[Var] = {one.var for one in loaders if one.call is None} | set(tensors)
        for one in loaders:
            if one.call is not None:
                outside |= {v for v, _ in references(one.call, self.home, self.roles)}
        rest = [Item(s, self.home) for s in [*self.pre, *self.nest.post] if s not in cut.statements]
        for item in [*rest, *self.hooks]:
            outside |= self.judge.reads(item)
        return frozenset((cut.variables & outside) - called)

    def _data_name(self, setup: tuple[ast.stmt, ...], loaders: list[Loader]) -> str:
        """Named after the dataset that it reads."""
        for stmt in [*setup, *(one.stmt for one in loaders)]:
            for node in ast.walk(stmt):
                if isinstance(node, ast.Call):
                    name = self.program.canonical(node.func, self.home) or ""
                    if name.startswith("torchvision.datasets."):
                        return name.rpartition(".")[2] + "DataModule"
                    if name.startswith("sklearn.datasets.load_"):
                        words = name.removeprefix("sklearn.datasets.load_").split("_")
                        return "".join(w.capitalize() for w in words) + "DataModule"
                    if isinstance(node.func, ast.Name) and node.func.id.endswith("Dataset") and len(node.func.id) > 7:
                        if node.func.id in self.program.module.classes:
                            return node.func.id.removesuffix("Dataset") + "DataModule"
        return "ScriptDataModule"

    # -- the module ------------------------------------------------------------------------------------------------------

    def _modules(self, data: DataPlan | None) -> tuple[list[Var], list[Var]]:
        """Models that the module makes itself, and models that are handed to it."""
        made: list[Var] = []
        passed: list[Var] = []
        for var in self.roles.models:
            stmt = self._construct_of(var)
            (made if stmt is not None and self._self_made(stmt, var, data) else passed).append(var)
        return made, passed

    def _losses(self, data: DataPlan | None) -> tuple[list[Var], list[Var]]:
        used = {v for v, _ in self.hook_refs}
        found = [v for v in self.roles.losses if v in used and v.frame is self.home]
        found.sort(key=lambda v: self.roles.definitions[v][0].stmt.lineno)
        made = []
        for var in found:
            stmt = self._construct_of(var)
            if stmt is not None and self._self_made(stmt, var, data):
                made.append(var)
                self._drop_moves(var)
        return made, [v for v in found if v not in made]

    def _construct_of(self, var: Var) -> ast.stmt | None:
        """The one statement that makes a module; statements that only move it are put aside."""
        places = [d for d in self.roles.definitions.get(var, []) if not self._is_move_of(d.stmt, var)]
        if len(places) != 1 or places[0].stmt not in self.pre or places[0].stmt in self.fixed_blocks:
            return None
        stmt = places[0].stmt
        single = isinstance(stmt, ast.Assign) and len(stmt.targets) == 1 and isinstance(stmt.targets[0], ast.Name)
        return stmt if single and isinstance(places[0].value, ast.Call) else None

    def _construct(self, var: Var) -> ast.stmt:
        stmt = self._construct_of(var)
        assert stmt is not None
        return stmt

    def _self_made(self, stmt: ast.stmt, var: Var, data: DataPlan | None) -> bool:
        """Can the module make it from options, numbers and what stands at module level?"""
        from torchlift_convert.data import without_moves

        bare = without_moves(stmt, self.home, self.program)
        for other, attr in references(bare, self.home, self.roles):
            if other == var or self._outside(other) or other in self.roles.devices and other.frame is not self.home:
                continue
            if data is not None and (other in data.attributes or data.loader(other) is not None):
                return False
            if self.home.is_module or attr is not None or self.values.portable_scalar(other):
                continue
            if other in self.roles.models and other in self.roles.definitions:
                continue
            return False
        return True

    def _outside(self, var: Var) -> bool:
        if var.frame is None or var.frame is not self.home:
            return True
        if var.name in self.program.imports and not self.roles.definitions.get(var):
            return True
        return var.name in var.frame.functions or var.name in var.frame.classes

    def _is_move_of(self, stmt: ast.stmt, var: Var) -> bool:
        """``model.to(device)``, ``model = model.cuda()``, and an ``if`` around nothing else."""
        match stmt:
            case ast.Expr(value=ast.Call() as call):
                fact = fact_of(call, self.home, self.program)
                return isinstance(fact, F.Move) and variable(fact.value, self.home) == var
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                fact = fact_of(call, self.home, self.program)
                moved = isinstance(fact, F.Move) and variable(fact.value, self.home) == var
                return moved and self.home.resolve(name) == var
        return False

    def _drop_moves(self, var: Var) -> None:
        movable = {*self.roles.models, *self.roles.losses}
        for stmt in self.pre:
            if self._is_move_of(stmt, var):
                self.dropped[stmt] = MODULE_MOVE
            elif isinstance(stmt, ast.If) and not stmt.orelse:
                inner = [next((v for v in movable if self._is_move_of(s, v)), None) for s in stmt.body]
                if all(v is not None for v in inner):
                    self.dropped[stmt] = MODULE_MOVE

    def _state(self, moved_data: set[ast.stmt]) -> list[Var]:
        """Variables made with a literal before the loops and changed or rebound in them: state of the module."""
        changed = frozenset[Var]().union(*(self.judge.changes(i) for i in self.hooks)) if self.hooks else frozenset()
        found: list[Var] = []
        for var in sorted(changed, key=lambda v: v.name):
            if var.frame is not self.home or var in self.storage.pinned or self.roles.is_state_of_training(var):
                continue
            places = [d for d in self.roles.definitions.get(var, []) if d.stmt in self.pre]
            if len(places) != 1 or not _literal(places[0].value) or not isinstance(places[0].stmt, ast.Assign):
                continue
            stmt = places[0].stmt
            if len(stmt.targets) != 1 or not isinstance(stmt.targets[0], ast.Name) or stmt in moved_data:
                continue
            if stmt in self.fixed_blocks or any(s is stmt for s in self.fixed_blocks):
                continue
            readers = [s for s in self.pre if s is not stmt and var in self.judge.reads(Item(s, self.home))]
            changers = [s for s in self.pre if s is not stmt and var in self.judge.changes(Item(s, self.home))]
            if not readers and not changers and (var in self.storage.entering or var not in self.storage.bound):
                found.append(var)
        return found

    def _construct_state(self, var: Var) -> ast.stmt:
        return next(d.stmt for d in self.roles.definitions[var] if d.stmt in self.pre)

    # -- optimizers ------------------------------------------------------------------------------------------------------

    def _config(self) -> list[ast.stmt]:
        """The statements that make optimizers and schedulers, with what only they need."""
        wanted = {*self.roles.optimizers, *self.roles.schedulers}
        own: list[ast.stmt] = []
        for stmt in self.pre:
            binds = {v for s in [stmt, *_inside(stmt)] for v, _ in assigned(s, self.home)}
            if binds & wanted:
                if not binds <= wanted:
                    raise Refuse(
                        "TL303",
                        "This statement makes an optimizer together with something else.",
                        stmt,
                        "Make the optimizer in a statement of its own.",
                    )
                own.append(stmt)
        for var in self.roles.optimizers:
            if not any(var in {v for s in [o, *_inside(o)] for v, _ in assigned(s, self.home)} for o in own):
                raise Refuse(
                    "TL303",
                    f"The optimizer '{var.name}' is not made in the statements before the loop.",
                    self.nest.outer,
                    "Make the optimizer in the same function as the loop, before it.",
                )
        made = flow_over([Item(s, self.home) for s in own]).must
        for var in self.roles.optimizers:
            if var not in made:
                place = self.roles.definitions[var][0].stmt
                raise Refuse(
                    "TL303",
                    f"The optimizer '{var.name}' is made under a condition only.",
                    place,
                    "Make an optimizer on every path to the loop.",
                )
        return self._with_helpers(own)

    def _with_helpers(self, own: list[ast.stmt]) -> list[ast.stmt]:
        """Add statements whose results only the optimizers need."""
        changed = True
        while changed:
            changed = False
            needed = {v for s in own for v, _ in references(s, self.home, self.roles)}
            for stmt in self.pre:
                if stmt in own or not isinstance(stmt, ast.Assign):
                    continue
                binds = {v for v, _ in assigned(stmt, self.home)}
                reads = {v for v, _ in references(stmt, self.home, self.roles)}
                if not binds & needed or not reads & {*self.roles.models} or binds & {*self.roles.models}:
                    continue
                rest = [Item(s, self.home) for s in [*self.pre, *self.nest.post] if s not in own and s is not stmt]
                if not any(binds & self.judge.reads(i) for i in [*rest, *self.hooks]):
                    own.append(stmt)
                    changed = True
        return sorted(own, key=self.pre.index)

    def _optimizers_used_early(self, config: list[ast.stmt]) -> bool:
        """Does a statement before the loops use an optimizer or scheduler, as resuming does?"""
        wanted = {*self.roles.optimizers, *self.roles.schedulers}
        rest = [s for s in self.pre if s not in config]
        if wanted & self._pinned_by_functions():
            return True  # a function of the script looks them up by name
        return any(wanted & self.judge.reads(Item(s, self.home)) for s in rest)

    # -- parameters ------------------------------------------------------------------------------------------------------

    def _params(
        self,
        inside: list[ast.stmt],
        config: list[ast.stmt],
        data: DataPlan | None,
        passed: list[Var],
        state: list[Var],
    ) -> tuple[tuple[Param, ...], tuple[Var, ...]]:
        """What the module's constructor takes, and which of it starts a variable of the loops."""
        wanted: dict[Reference, None] = {(v, None): None for v in passed}
        from torchlift_convert.data import without_moves

        moved_makes = {v for s in inside for v, _ in assigned(s, self.home)} | set(state)
        for stmt in [*inside, *config]:
            wanted |= references(without_moves(stmt, self.home, self.program), self.home, self.roles)
        first = set(wanted)
        wanted |= self.hook_refs
        initial = tuple(
            v
            for v in sorted(self.storage.entering, key=lambda v: v.name)
            if v.frame is self.home and v not in state and self._made_before(v) and v in self.storage.attributes
        )
        wanted |= {(v, None): None for v in initial}
        wanted |= {r: None for r in self._epoch_start_refs()}
        settled = {*self.roles.optimizers, *self.roles.schedulers, *self.roles.bars, *self.roles.loaders}
        settled -= self._loaders_to_pass(data, config)
        settled |= set(self.roles.models) - set(passed)
        settled |= (self.roles.devices & frozenset(v for v in self.roles.devices)) | moved_makes
        settled |= (self.storage.bound - set(initial)) | self._epoch_variable()
        chosen: dict[Reference, None] = {}
        for reference in wanted:
            var, attr = reference
            if self._outside(var) or (var in settled and var not in passed):
                continue
            if data is not None and (var in data.attributes or data.loader(var) is not None):
                continue
            if self.home.is_module and attr is None and var not in passed and var not in initial:
                if reference not in first or not self.values.portable_scalar(var):
                    continue  # a global: read by its name
            chosen[reference] = None
        return self._param_list(chosen), initial

    def _loaders_to_pass(self, data: DataPlan | None, config: list[ast.stmt]) -> set[Var]:
        """Loaders that stay in the script although the module reads them: those that no Trainer attribute holds."""
        trained = {self._train_loader(), self._validation_loader()}
        early = {v for s in config for v, _ in references(s, self.home, self.roles)}
        return {
            v
            for v in self.roles.loaders
            if (data is None or data.loader(v) is None) and (v not in trained or v in early)
        }

    def _made_before(self, var: Var) -> bool:
        return any(d.stmt in self.pre or any(d.stmt in list(_inside(s)) for s in self.pre) for d in self.roles.definitions.get(var, [])) or (
            not self.home.is_module and var.name in _parameters(self.home.scope)
        )

    def _epoch_variable(self) -> set[Var]:
        if self.nest.epochs is None:
            return set()
        return {self.home.resolve(n.id) for n in ast.walk(self.nest.epochs.target) if isinstance(n, ast.Name)}

    def _epoch_start_refs(self) -> dict[Reference, None]:
        epochs = epochs_of(self.nest, self.program)
        if epochs.start_expr is None or not any(v in self._epoch_variable() for v, _ in self.hook_refs):
            return {}
        return references(epochs.start_expr, self.home, self.roles)

    def _param_list(self, options: dict[Reference, None]) -> tuple[Param, ...]:
        taken: set[str] = {"self"}
        out: list[Param] = []
        for var, attr in options:
            scalar = attr is not None and self.values.scalar(ast.Attribute(ast.Name(var.name), attr), self.home)
            scalar = scalar or (attr is None and self.values.scalar_variable(var))
            name = unique(attr or var.name, taken)
            taken.add(name)
            out.append(Param(name, var, attr, Kind.HPARAM if scalar else Kind.OBJECT))
        return tuple(out)

    # -- places and names --------------------------------------------------------------------------------------------------

    def _position(
        self,
        inside: list[ast.stmt],
        init: list[ast.stmt],
        config: list[ast.stmt],
        early: bool,
        params: tuple[Param, ...],
        passed: list[Var],
        moved_data: set[ast.stmt],
    ) -> tuple[int | None, tuple[Param, ...]]:
        """The statement in front of which the module is made; parameters that are not known by then come late."""
        group = [*init, *config] if early else init
        gone = [*config, *self.dropped, *moved_data]
        position = self.placer.position(group, frozenset(p.var for p in params), gone)
        if position is not None:
            return position, params
        within = {v for s in inside for v, _ in references(s, self.home, self.roles)} | set(passed)
        position = self.placer.position(group, frozenset(p.var for p in params if p.var in within), gone)
        if position is None:
            return None, params
        changed = {v for s in self.pre[position:] for v in self.judge.changes(Item(s, self.home))}
        late = [replace(p, kind=Kind.LATE) if p.var in changed and p.var not in within else p for p in params]
        return position, tuple(late)

    def _finish(
        self,
        data: DataPlan | None,
        models: list[Var],
        passed: list[Var],
        losses: list[Var],
        state: list[Var],
        initial: tuple[Var, ...],
        params: tuple[Param, ...],
        config: list[ast.stmt],
        early: bool,
        position: int,
        init: list[ast.stmt],
    ) -> Plan:
        epochs = epochs_of(self.nest, self.program)
        names: dict[Var, str] = {}
        taken: set[str] = set()
        for var in [*models, *passed, *losses, *self.roles.schedulers, *state, *self.storage.attributes]:
            if var not in names:
                names[var] = unique(attribute_name(var.name), taken, prefer=var.frame.name if var.frame else "")
                taken.add(names[var])
        late: dict[Param, str] = {}
        for param in (p for p in params if p.kind is Kind.LATE):
            late[param] = names.get(param.var) if param.attr is None and param.var in names else None  # type: ignore[assignment]
            late[param] = late[param] or unique(attribute_name(param.name), taken)
            taken.add(late[param])
        params = tuple(p for p in params if p.kind is not Kind.LATE)
        initial = tuple(v for v in initial if not any(p.var == v and p.attr is None for p in late))
        for param in params:
            if param.kind is Kind.OBJECT and param.var not in names:
                names[param.var] = unique(attribute_name(param.name), taken)
                taken.add(names[param.var])
        for var in self.roles.optimizers if early else ():
            names[var] = unique(attribute_name(var.name), taken)
        script_names = {n.id for n in ast.walk(self.program.script.tree) if isinstance(n, ast.Name)}
        moved_data = set(data.setup) | {one.stmt for one in data.loaders} if data else set()
        gone = {*init, *config, *moved_data, *self.dropped}
        before = [Item(s, self.home) for s in self.pre if s not in gone]
        after = [Item(s, self.home) for s in self.nest.post]
        movable = [*models, *losses, *(self.roles.optimizers if early else ()), *(self.roles.schedulers if early else ())]
        pinned = self.storage.pinned | self._pinned_by_functions()
        alias_before = tuple(v for v in movable if v in pinned or any(v in self.judge.reads(i) for i in before))
        alias_after = tuple(
            v for v in [*movable, *passed] if v not in alias_before and any(v in self.judge.reads(i) for i in after)
        )
        instance = self._instance(models, alias_before, alias_after, script_names)
        model_class = self._class_name(models, passed)
        accelerator, device_gone = accelerator_of(self.program, self.nest, self.roles, [*before, *after, *self.hooks], self.judge)
        self.dropped |= device_gone
        epoch_used = any(v in self._epoch_variable() for v, _ in self.hook_refs)
        variable_names = [v.name for v in self._epoch_variable()]
        return Plan(
            program=self.program,
            nest=self.nest,
            roles=self.roles,
            regions=self.regions,
            storage=self.storage,
            module=ModulePlan(
                name=unique(model_class, script_names | set(self.program.module.classes)),
                instance=instance,
                params=params,
                init=tuple(init),
                modules=(*models, *passed, *losses),
                passed=tuple(passed),
                state=tuple(state),
                initial=initial,
                position=position,
                late=late,
                early_optimizers=early,
            ),
            data=data,
            config=tuple(config),
            trainer=unique("trainer", script_names),
            accelerator=accelerator,
            max_epochs=epochs.count,
            epoch_name=unique(attribute_name(variable_names[0]), taken) if epoch_used and epochs.start != "0" else None,
            epoch_start=epochs.start,
            names=names,
            alias_before=alias_before,
            alias_after=alias_after,
            eval_after=tuple(v for v in self.roles.models if self._left_in_eval(v, after)),
            dropped=self.dropped,
        )

    def _pinned_by_functions(self) -> frozenset[Var]:
        from torchlift_convert.storage import pinned_variables

        return pinned_variables(self.program, self.nest, self.regions)

    def _left_in_eval(self, var: Var, after: list[Item]) -> bool:
        """Did the script's own loop leave the model in evaluation mode, where code after it can tell?"""
        if self.regions.validation is None:
            return False
        trained_last = any(
            isinstance(f, F.Mode) and f.training and variable(f.receiver, i.frame) == var
            for i in self.nest.after
            for f in facts_of(i.stmt, i.frame, self.program)
        )
        return not trained_last and any(_computes(i, var, self.judge) for i in after)

    def _instance(self, models: list[Var], before: tuple[Var, ...], after: tuple[Var, ...], script_names: set[str]) -> str:
        named = {v.name for v in (*before, *after, *self.roles.models) if v in before or v in after}
        passed = {v.name for v in self.roles.models if v not in models}
        free = "model" not in named | passed and ("model" not in script_names or any(v.name == "model" for v in models))
        return "model" if free else unique(f"lit_{self.roles.models[0].name}" if self.roles.models else "lit_model", script_names)

    def _class_name(self, models: list[Var], passed: list[Var]) -> str:
        """Named after the model's class; plain containers and several models give LitModel."""
        if len(models) + len(passed) == 1:
            for place in self.roles.definitions.get((*models, *passed)[0], []):
                for node in ast.walk(place.value) if place.value is not None else ():
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                        if node.func.id in self.program.module.classes or (
                            node.func.id in self.program.imports and node.func.id[:1].isupper()
                        ):
                            return "Lit" + node.func.id
        return "LitModel"


def _inside(stmt: ast.stmt) -> list[ast.stmt]:
    from torchlift_convert.program import walk_statements_of_scope

    return list(walk_statements_of_scope([stmt]))[1:]


def _parameters(scope: ast.AST) -> list[str]:
    from torchlift_convert.names import parameters

    return parameters(scope.args) if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)) else []


def _literal(value: ast.expr | None) -> bool:
    """A constant, an empty or constant container, a signed number, ``float("inf")``."""
    match value:
        case ast.Constant():
            return True
        case ast.UnaryOp(operand=ast.Constant()):
            return True
        case ast.List(elts=elts) | ast.Tuple(elts=elts):
            return all(_literal(e) for e in elts)
        case ast.Dict(keys=keys, values=values):
            return all(_literal(e) for e in [*keys, *values])
        case ast.Call(func=ast.Name(id="float" | "dict" | "list" | "int"), args=args, keywords=[]):
            return all(_literal(a) for a in args)
    return False


def _computes(item: Item, var: Var, judge: Judge) -> bool:
    """Does a statement use a model for more than its parameters?"""
    if var not in judge.reads(item):
        return False
    plain = 0
    for node in nodes_of(item.shape):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if item.frame.resolve(node.value.id) == var and node.attr in ("state_dict", "parameters", "named_parameters"):
                plain += 1
    names = sum(
        isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and item.frame.resolve(n.id) == var
        for n in nodes_of(item.shape)
    )
    return names > plain or names == 0


__all__ = ["Assembler", "nest_items"]
