"""Cut the nest into regions; each region runs in the one hook that Lightning calls at the same moment.

Per epoch: epoch start, then for each batch {step, before the optimizer's step, batch end}, then either validation
{start, step, end} or epoch end. A region is a sequence of statement instances in source order.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from enum import StrEnum

from torchlift_convert import facts as F
from torchlift_convert.definitions import Definition
from torchlift_convert.effects import Judge
from torchlift_convert.kept import walk
from torchlift_convert.loops import Loop
from torchlift_convert.program import Frame, Item, Program, Var
from torchlift_convert.recognisers import fact_of
from torchlift_convert.roles import Roles, expression
from torchlift_convert.syntax import blocks_of, exits_of, walk_statements
from torchlift_convert.types import FateKind, Optimization


class Region(StrEnum):
    """A stretch of the nest, named after the hook that it becomes."""

    EPOCH_START = "on_train_epoch_start"
    FETCH = "train_dataloader"  # before each batch, where the batches come from no loader
    BATCH_START = "on_train_batch_start"
    STEP = "training_step"
    BEFORE_STEP = "on_before_optimizer_step"
    BATCH_END = "on_train_batch_end"
    VAL_START = "on_validation_epoch_start"
    VAL_STEP = "validation_step"
    VAL_END = "on_validation_epoch_end"
    EPOCH_END = "on_train_epoch_end"


@dataclass(frozen=True, eq=False)
class Header:
    """What a loop over batches iterates: ``for index, target in enumerate(iterable, start)``, bars taken off."""

    stmt: Loop
    frame: Frame
    target: ast.expr
    index: str | None
    start: int
    iterable: ast.expr
    source: Frame  # the frame that ``iterable`` is written in


@dataclass(frozen=True, eq=False)
class Stream:
    """Batches that come from no loader: a Trainer is given what the loop goes over, made anew for each epoch.

    ``fetching``: the statements at the head of the loop that fetch a batch or leave the loop, and that stand in a
    generator then, under the loop's own header. Without any, the loop's iterable is handed over as it is.
    """

    loop: Loop
    frame: Frame
    generated: bool
    fetching: tuple[Item, ...] = ()
    counted: str | None = None  # the counter of ``enumerate`` in the generator
    source: Header | None = None  # what the generator iterates, of a ``for`` loop


@dataclass(frozen=True)
class Gone:
    """A statement that no hook holds: who does it now."""

    kind: FateKind
    where: str


@dataclass(frozen=True, eq=False)
class Regions:
    """The nest, cut. ``loss`` is what training_step returns (automatic optimization only)."""

    optimization: Optimization
    items: dict[Region, tuple[Item, ...]]
    batches: Header | None
    validation: Header | None = None
    loss: tuple[ast.expr, Frame] | None = None
    clip: tuple[F.Clip, Frame] | None = None
    scaler: Var | None = None  # through which the Trainer steps
    stepped_by_trainer: dict[Var, str] = field(default_factory=dict)  # scheduler -> 'epoch' or 'step'
    gone: dict[ast.stmt, Gone] = field(default_factory=dict)
    limit_one: tuple[ast.expr, Frame] | None = None  # when this holds, one batch an epoch
    stops: bool = False  # the batch loop is left by a break
    why_manual: tuple[str, ast.stmt] | None = None
    keeps_gradients: bool = False  # validation must not clear them
    stream: Stream | None = None

    @property
    def leaves_at_start(self) -> bool:
        """May the epoch loop be left in front of its batches? What stands behind them does not run then."""
        return any(exits_of(i.shape) for i in self.of(Region.EPOCH_START))

    @property
    def ends_early(self) -> bool:
        """May the batches of an epoch end where the Trainer does not expect it?"""
        return self.stops or self.stream is not None

    def of(self, region: Region) -> tuple[Item, ...]:
        return self.items.get(region, ())


class NotAutomatic(Exception):
    """Why the Trainer may not optimize by itself, and the statement that shows it."""

    def __init__(self, why: str, stmt: ast.stmt) -> None:
        super().__init__(why)
        self.why, self.stmt = why, stmt


def loop_variables(header: Header | None) -> frozenset[Var]:
    """What a loop header binds."""
    if header is None:
        return frozenset()
    names = {n.id for n in walk(header.target) if isinstance(n, ast.Name)}
    names |= {header.index} if header.index is not None else set()
    return frozenset(header.frame.resolve(n) for n in names)


ZERO_GRAD = Gone(FateKind.TRAINER, "Trainer: gradients are zeroed before each backward")
BACKWARD = Gone(FateKind.TRAINER, "Trainer: backward on the loss that training_step returns")
OPT_STEP = Gone(FateKind.TRAINER, "Trainer: the optimizer's step after training_step")
TRAIN_MODE = Gone(FateKind.TRAINER, "Trainer: training mode")
EVAL_MODE = Gone(FateKind.TRAINER, "Trainer: evaluation mode during validation")
NO_GRAD = Gone(FateKind.TRAINER, "Trainer: no gradients during validation")
KNOWN = Gone(FateKind.MERGED, "known for each hook")
BAR = Gone(FateKind.TRAINER, "Trainer: progress bar")
MOVED_BATCH = Gone(FateKind.TRAINER, "Trainer: batches are moved to the device")
DECLARATION = Gone(FateKind.MERGED, "attributes of the module")


def call_fact(item: Item, program: Program) -> F.Fact | None:
    """The fact about a statement that is one bare call."""
    if isinstance(item.stmt, ast.Expr) and isinstance(item.stmt.value, ast.Call):
        return fact_of(item.stmt.value, item.frame, program)
    return None


def header_of(loop: ast.For, frame: Frame, program: Program, roles: Roles) -> Header:
    """Read a loop header: progress bars and enumerate taken off, parameters replaced by what they stand for."""
    iterable, source, index, start, target = loop.iter, frame, None, 0, loop.target
    bars: list[Definition] = []
    while True:
        iterable, source = expression(iterable, source)
        fact = fact_of(iterable, source, program) if isinstance(iterable, ast.Call) else None
        if isinstance(fact, F.Bar) and fact.iterable is not None:
            iterable = fact.iterable
            continue
        if isinstance(iterable, ast.Name):
            bar = source.resolve(iterable.id)
            made = _reaching(roles.definitions.get(bar, []), loop, program) if bar in roles.bars else None
            if made is not None and made.value is not None and made not in bars:  # ``loader = tqdm(loader)``
                bars.append(made)
                iterable, source = made.value, made.frame
                continue
        match iterable, target:
            case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *rest]), ast.Tuple(elts=[ast.Name(id=name), one]):
                first = rest[0] if rest else next((k.value for k in iterable.keywords), None)
                if index is None and (first is None or isinstance(first, ast.Constant)):
                    start = first.value if first is not None else 0  # type: ignore[assignment]
                    iterable, index, target = inner, name, one
                    continue
        return Header(loop, frame, target, index, start, iterable, source)


def _reaching(places: list[Definition], loop: ast.For, program: Program) -> Definition | None:
    """The definition that a loop's header sees: the only one, or the last one in front of it in the same block.

    A ``with`` around the loop belongs to the block that it stands in.
    """
    if len(places) == 1:
        return places[0]
    by_stmt = {place.stmt: place for place in places}
    inner: ast.stmt = loop
    while True:
        parent = program.script.parent[inner]
        blocks = [program.script.tree.body] if parent is None else list(blocks_of(parent))
        block = next(b for b in blocks if inner in b)
        for stmt in reversed(block[: block.index(inner)]):
            if any(inside in by_stmt for inside in walk_statements([stmt])):
                return by_stmt.get(stmt)
        if not isinstance(parent, ast.With):
            return None
        if parent in by_stmt:
            return by_stmt[parent]
        inner = parent


def reads_any(item: Item, variables: set[Var], judge: Judge) -> bool:
    return bool(judge.reads(item) & variables)
