"""The plan of a conversion: every decision, before a tree is touched."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from enum import StrEnum

from torchlift_convert.nest import Nest
from torchlift_convert.program import Item, Program, Var
from torchlift_convert.promises import Promise
from torchlift_convert.regions import Gone, Regions
from torchlift_convert.reserved import DATA_RESERVED
from torchlift_convert.roles import Roles
from torchlift_convert.storage import Storage


class Kind(StrEnum):
    """How a value of the script reaches a generated class."""

    HPARAM = "hparam"  # a number, a string, a container of these: save_hyperparameters()
    OBJECT = "object"  # handed to the constructor and kept as an attribute
    LATE = "late"  # known only after the module was made: set as an attribute before the Trainer runs


@dataclass(frozen=True)
class Param:
    """A constructor parameter of a generated class. ``attr``: which attribute of a namespace, None for the variable."""

    name: str
    var: Var
    attr: str | None
    kind: Kind


@dataclass(frozen=True, eq=False)
class Loader:
    """One loader of the DataModule. ``call`` is the DataLoader(...) that its method returns; None: setup keeps it."""

    method: str
    var: Var
    stmt: ast.stmt
    call: ast.expr | None


@dataclass(frozen=True, eq=False)
class DataPlan:
    """The LightningDataModule. ``position``: the statement before the loops in front of which it is made."""

    name: str
    instance: str
    params: tuple[Param, ...]
    setup: tuple[ast.stmt, ...]
    attributes: frozenset[Var]
    loaders: tuple[Loader, ...]
    position: int
    by_hand: bool  # setup("fit") is called where the script made its data
    tensors: tuple[Var, ...] = ()  # the whole set as one batch, when the script has no loader
    streams: bool = False  # the batches come from a stream, which is all its own

    def attribute(self, var: Var) -> str:
        """What a variable is called as an attribute of the DataModule, beside its methods and parameters."""
        taken = {*DATA_RESERVED, *(one.method for one in self.loaders), *(p.name for p in self.params if p.var != var)}
        return f"{var.name}_" if var.name in taken else var.name

    def loader(self, var: Var) -> Loader | None:
        return next((one for one in self.loaders if one.var == var), None)


@dataclass(frozen=True, eq=False)
class ModulePlan:
    """The LightningModule. ``init``: statements moved into its constructor; ``passed``: modules handed to it."""

    name: str
    instance: str
    params: tuple[Param, ...]
    init: tuple[ast.stmt, ...]
    modules: tuple[Var, ...]  # models and losses that are its attributes
    passed: tuple[Var, ...]
    state: tuple[Var, ...]  # variables made with a literal, initialised in the constructor
    initial: tuple[Var, ...]  # variables whose value from before the loops is handed over
    position: int
    late: dict[Param, str]  # parameters that are set as attributes, by these names, before the Trainer runs
    early_optimizers: bool  # optimizers are made in the constructor, because the script uses them before the loops


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that the rewriter needs to know."""

    program: Program
    nest: Nest
    roles: Roles
    regions: Regions
    storage: Storage
    module: ModulePlan
    data: DataPlan | None
    config: tuple[ast.stmt, ...]
    trainer: str
    accelerator: str
    devices: str
    max_epochs: str
    epoch_name: str | None  # the property that counts as the script does, None when current_epoch does
    epoch_start: str | None
    names: dict[Var, str]  # attribute names of variables that live on the module
    alias_before: tuple[Var, ...]  # moved variables that the script's remaining code reads by name before the loops
    alias_after: tuple[Var, ...]
    perhaps: frozenset[Var]  # of these, what the loops bind on some paths only
    eval_after: tuple[Var, ...]  # models that the script's own loop left in evaluation mode
    dropped: dict[ast.stmt, Gone] = field(default_factory=dict)
    index_loader: bool = False  # the batches are the numbers of a range
    methods: dict[Var, str] = field(default_factory=dict)  # that go along with the hooks, and their names there
    written_back: tuple[Var, ...] = ()  # attributes of the script's object that get their last value after the Trainer
    list_loader: bool = False  # the batches are what a list holds
    promise: Promise | None = None  # what the loader rests on when the script does not show where it comes from
    first_look: Item | None = None  # the condition of a while loop, where it may not hold in front of the first epoch
    wrapper: str = "Batches"  # the class that goes around the batches, where there is one
    generator: str = "batches"  # the method that gives the batches of a stream
    lazy: bool = False  # the loader's iterator is made at the first batch

    @property
    def along(self) -> list[ast.stmt]:
        """The methods that go along with the hooks."""
        return [v.frame.functions[v.name] for v in self.methods if v.frame is not None]

    @property
    def wraps_batches(self) -> bool:
        """Is the training loader handed over in a ``Batches``?"""
        return self.lazy or self.regions.ends_early
