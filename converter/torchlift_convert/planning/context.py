"""What every part of the planning reads, computed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from torchlift_convert.counting import first_look, holds
from torchlift_convert.data import without_moves
from torchlift_convert.deferred import methods_along
from torchlift_convert.definitions import assigned
from torchlift_convert.effects import Judge
from torchlift_convert.names import access, flow_of
from torchlift_convert.nest import Nest
from torchlift_convert.placing import Placer
from torchlift_convert.plan import Kind, Param
from torchlift_convert.program import Item, Program, Var, flow_over
from torchlift_convert.references import Reference, item_references
from torchlift_convert.regions import Gone, Region, Regions
from torchlift_convert.reserved import plain_name, unique
from torchlift_convert.roles import Roles, variable
from torchlift_convert.scopes import walk_statements_of_scope
from torchlift_convert.storage import Storage, pinned_variables
from torchlift_convert.values import Values


@dataclass(eq=False)
class Context:
    """One script, its regions and its storage. ``dropped`` collects statements that the Trainer makes needless."""

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
        self.fixed_blocks |= {s for s in self.pre if self.program.script.is_imported(s)}  # its module makes it
        self.placer = Placer(self.pre, self.home, self.judge)
        self.hooks = [i for r in Region for i in self.regions.of(r)]
        self.methods = methods_along(self.program, self.hooks)
        self.hook_refs = item_references([*self.hooks, *self.methods], self.roles)
        self.shown = self._shown()
        self.around = self.storage.around
        self.pinned = pinned_variables(self.program, self.nest, self.regions, self.around)
        self.first_look = None if self._surely_starts() else first_look(self.nest.epochs, self.home)
        self.changed = frozenset[Var]().union(*(self.judge.changes(i) for i in self.hooks))  # by the loops

    def _shown(self) -> frozenset[Var]:
        """Devices kept on the script's object that a hook uses for more than to move something there."""
        devices = [v for v in self.roles.devices if v.owned]
        if not devices:
            return frozenset()
        items = [*self.hooks, *self.methods]
        bare = [Item(without_moves(i.shape, i.frame, self.roles, self.program), i.frame) for i in items]
        return frozenset(devices) & {v for v, _ in item_references(bare, self.roles)}

    def outside(self, var: Var) -> bool:
        """Builtins, imports, names of another scope, functions and classes of the script: read as they are anywhere.

        What a function defines inside itself is an object like any other.
        """
        if var.owned:
            return var.frame is not None and var.name in var.frame.functions
        if var.frame is None or var.frame is not self.home:
            return True
        if var.name in self.program.imports and not self.roles.definitions.get(var):
            return True
        if self.program.is_linked(var):
            return True
        return self.home.is_module and (var.name in var.frame.functions or var.name in var.frame.classes)

    def train_loader(self) -> Var | None:
        """The variable that the batch loop iterates."""
        header = self.regions.batches
        if header is None or self.regions.stream is not None:
            return None
        var = variable(header.iterable, header.source)
        if var not in self.roles.loaders or var in self.storage.bound:
            return None
        return var if var is not None and var.frame is self.home else None

    def fitted(self) -> set[Var]:
        """The loaders that the Trainer goes through."""
        headers = [h for h in (self.regions.batches, self.regions.validation) if h is not None]
        return {v for h in headers if (v := variable(h.iterable, h.source)) is not None}

    def validation_loader(self) -> Var | None:
        """The variable that the validation loop iterates."""
        header = self.regions.validation
        return variable(header.iterable, header.source) if header else None

    def _surely_starts(self) -> bool:
        """Does the condition of a while loop hold at first, as the values written in front of it tell?"""
        loop = self.nest.epochs
        if not isinstance(loop, ast.While):
            return True
        written: dict[str, ast.expr] = {}
        for name in access(loop.test).reads:
            var = self.home.resolve(name)
            places = self.roles.definitions.get(var, [])
            early = [p for p in places if p.stmt in self.pre and isinstance(p.stmt, ast.Assign)]
            changing = [s for s in self.pre if var in self.judge.changes(Item(s, self.home))]
            if len(early) == 1 and changing == [early[0].stmt] and early[0].value is not None and not self.around.items:
                written[name] = early[0].value
        return holds(loop.test, written)

    def rest(self) -> list[Item]:
        """Every statement of the home scope besides those of the loops."""
        return [*self.items([*self.pre, *self.nest.post]), *self.around.items]

    def set_before(self, var: Var) -> bool:
        """Is an attribute of the script's object set by the time that the loops start?"""
        assert self.program.owner is not None
        inits = {m for m in self.program.owner.instance.scopes if m.name == "__init__"}
        bodies = [c.body for c in self.program.owner.instance.classes]
        must = flow_over([Item(s, self.program.frames[m]) for m in inits for s in m.body]).must
        must |= flow_over([Item(s, self.home) for s in self.pre]).must
        return var in must or any(var.name in flow_of(b).must for b in bodies)

    def epoch_variable(self) -> set[Var]:
        """The counter of the epoch loop."""
        return set(self.nest.counters)

    def parameters(self, options: dict[Reference, None]) -> tuple[Param, ...]:
        """Constructor parameters for these references, numbers and strings apart from objects."""
        taken: set[str] = {"self"}
        out: list[Param] = []
        for var, attr in options:
            scalar = attr is not None and self.values.scalar(ast.Attribute(ast.Name(var.name), attr), self.home)
            scalar = scalar or (attr is None and self.values.scalar_variable(var))
            scalar = scalar and (var not in self.changed or var in self.storage.bound)  # a list that grows is no option
            name = unique(attr or plain_name(var.name), taken)
            taken.add(name)
            out.append(Param(name, var, attr, Kind.HPARAM if scalar else Kind.OBJECT))
        return tuple(out)

    def bound_by(self, stmt: ast.stmt) -> set[Var]:
        """Variables that a statement, or one inside it, binds."""
        return {v for s in walk_statements_of_scope([stmt]) for v, _ in assigned(s, self.home)}

    def items(self, statements: list[ast.stmt]) -> Iterator[Item]:
        return (Item(s, self.home) for s in statements)
