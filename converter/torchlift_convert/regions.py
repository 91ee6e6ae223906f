"""Cut the nest into regions; each region runs in the one hook that Lightning calls at the same moment.

Per epoch: epoch start, then for each batch {step, before the optimizer's step, batch end}, then either validation
{start, step, end} or epoch end. A region is a sequence of statement instances in source order.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from enum import StrEnum

from torchlift_convert import facts as F
from torchlift_convert.effects import Judge
from torchlift_convert.nest import Nest, nodes_of
from torchlift_convert.program import Frame, Item, Program, Var
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.roles import Roles, add_definitions, expression, variable
from torchlift_convert.types import FateKind, Optimization


class Region(StrEnum):
    """A stretch of the nest, named after the hook that it becomes."""

    EPOCH_START = "on_train_epoch_start"
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

    stmt: ast.For
    frame: Frame
    target: ast.expr
    index: str | None
    start: int
    iterable: ast.expr
    source: Frame  # the frame that ``iterable`` is written in


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
    stepped_by_trainer: dict[Var, str] = field(default_factory=dict)  # scheduler -> 'epoch' or 'step'
    gone: dict[ast.stmt, Gone] = field(default_factory=dict)
    limit_one: tuple[ast.expr, Frame] | None = None  # when this holds, one batch an epoch
    stops: bool = False  # the batch loop is left by a break
    why_manual: tuple[str, ast.stmt] | None = None

    def of(self, region: Region) -> tuple[Item, ...]:
        return self.items.get(region, ())


ZERO_GRAD = Gone(FateKind.TRAINER, "Trainer: gradients are zeroed before each backward")
BACKWARD = Gone(FateKind.TRAINER, "Trainer: backward on the loss that training_step returns")
OPT_STEP = Gone(FateKind.TRAINER, "Trainer: the optimizer's step after training_step")
TRAIN_MODE = Gone(FateKind.TRAINER, "Trainer: training mode")
EVAL_MODE = Gone(FateKind.TRAINER, "Trainer: evaluation mode during validation")
NO_GRAD = Gone(FateKind.TRAINER, "Trainer: no gradients during validation")
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
    while True:
        iterable, source = expression(iterable, source)
        fact = fact_of(iterable, source, program) if isinstance(iterable, ast.Call) else None
        if isinstance(fact, F.Bar) and fact.iterable is not None:
            iterable = fact.iterable
            continue
        if isinstance(iterable, ast.Name):
            places = roles.definitions.get(source.resolve(iterable.id), [])
            if source.resolve(iterable.id) in roles.bars and len(places) == 1 and places[0].value is not None:
                iterable, source = places[0].value, places[0].frame
                continue
        match iterable, target:
            case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *rest]), ast.Tuple(elts=[ast.Name(id=name), one]):
                first = rest[0] if rest else next((k.value for k in iterable.keywords), None)
                if index is None and (first is None or isinstance(first, ast.Constant)):
                    start = first.value if first is not None else 0  # type: ignore[assignment]
                    iterable, index, target = inner, name, one
                    continue
        return Header(loop, frame, target, index, start, iterable, source)


def exits_of(stmt: ast.stmt) -> list[ast.stmt]:
    """The ``break`` and ``continue`` statements that leave the loop around a statement."""
    found: list[ast.stmt] = []
    stack: list[ast.AST] = [stmt]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Break, ast.Continue)):
            found.append(node)
        elif not isinstance(node, (ast.For, ast.While, ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            stack.extend(ast.iter_child_nodes(node))
    return found


def reads_any(item: Item, variables: set[Var], judge: Judge) -> bool:
    return bool(judge.reads(item) & variables)


@dataclass(eq=False)
class Cutter:
    """Cuts one nest into regions."""

    program: Program
    nest: Nest
    roles: Roles
    judge: Judge
    gone: dict[ast.stmt, Gone] = field(default_factory=dict)

    def cut(self) -> Regions:
        """Automatic optimization where its precondition is proved, else manual; validation hooks likewise."""
        from torchlift_convert.evaluation import Evaluation
        from torchlift_convert.stepping import Stepping

        before = self._without_noise(list(self.nest.before))
        after = self._without_noise(list(self.nest.after))
        body = self._without_noise(list(self.nest.body))
        batches = self.nest.batches
        header = header_of(batches, self.nest.batch_frame, self.program, self.roles) if batches else None
        stepping = Stepping(self.program, self.nest, self.roles, self.judge, self.gone).cut(body, header)
        evaluation = Evaluation(self.program, self.nest, self.roles, self.judge, self.gone)
        validation = None if stepping.stops else evaluation.validation(before, after)
        items = dict(stepping.items)
        if validation is None:
            items[Region.EPOCH_END] = tuple(after)
        else:
            items |= validation.items
            known = {id(i.frame) for i in [*before, *body, *after]}
            for frame in {id(i.frame): i.frame for r in validation.items.values() for i in r}.values():
                if id(frame) not in known:
                    add_definitions(self.roles.definitions, frame)
        items[Region.EPOCH_START] = tuple(evaluation.without_train_calls(before, validation is not None))
        items[Region.STEP] = tuple(evaluation.without_train_calls(items[Region.STEP], validation is not None))
        regions = replace(
            stepping,
            items={r: i for r, i in items.items() if i},
            batches=header,
            validation=validation.header if validation else None,
            gone=self.gone,
        )
        return self._schedulers(regions)

    def _without_noise(self, items: list[Item]) -> list[Item]:
        """Statements that mean nothing in a hook: bars, ``global`` declarations, docstrings of followed functions."""
        kept: list[Item] = []
        for item in items:
            stmt = item.stmt
            if isinstance(stmt, (ast.Global, ast.Nonlocal)):
                self.gone[stmt] = DECLARATION
            elif isinstance(stmt, ast.Pass):
                self.gone[stmt] = Gone(FateKind.MERGED, "not needed")
            elif isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Constant) and item.frame is not self.nest.home:
                self.gone[stmt] = Gone(FateKind.MERGED, "docstring of a function that became hooks")
            elif self._is_bar(item):
                self.gone[stmt] = BAR
            else:
                kept.append(item)
        return kept

    def _is_bar(self, item: Item) -> bool:
        """Making a bar, or a bare call of one of its methods that only concerns the screen."""
        match item.stmt:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name() as owner, attr=attr))):
                screen = ("update", "set_description", "set_postfix", "set_postfix_str", "close", "refresh", "set_description_str")
                return attr in screen and variable(owner, item.frame) in self.roles.bars
            case ast.Assign(targets=[ast.Name() as name], value=ast.Call() as value):
                made = fact_of(value, item.frame, self.program)
                return isinstance(made, F.Bar) and variable(name, item.frame) in self.roles.bars
        return False

    # -- schedulers ------------------------------------------------------------------------------------------------------

    def _schedulers(self, regions: Regions) -> Regions:
        """Hand a scheduler to the Trainer when it is stepped once, plainly, and nobody looks at it in between."""
        by_trainer: dict[Var, str] = {}
        items = dict(regions.items)
        if regions.optimization is Optimization.AUTOMATIC and not regions.stops:
            for var, made in self.roles.schedulers.items():
                if made is None or made.plateau:
                    continue
                found = self._lone_step(var, items)
                if found is not None:
                    region, step, interval = found
                    by_trainer[var] = interval
                    items[region] = tuple(i for i in items[region] if i is not step)
                    self.gone[step.stmt] = Gone(FateKind.TRAINER, f"Trainer: the scheduler's step, every {interval}")
        return replace(regions, items={r: i for r, i in items.items() if i}, stepped_by_trainer=by_trainer)

    def _lone_step(self, var: Var, items: dict[Region, tuple[Item, ...]]) -> tuple[Region, Item, str] | None:
        """The one plain ``scheduler.step()`` of the nest, where the Trainer would step it with the same effect."""
        watched = {var, *self.roles.optimizers}
        users = [(r, i) for r, region in items.items() for i in region if reads_any(i, {var}, self.judge)]
        if len(users) != 1:
            return None
        region, item = users[0]
        fact = call_fact(item, self.program)
        if not isinstance(fact, F.Step) or fact.node.args or fact.node.keywords:
            return None
        if region is Region.BATCH_END:
            earlier = items[region][: items[region].index(item)]
            return None if any(reads_any(i, watched, self.judge) for i in earlier) else (region, item, "step")
        if region not in (Region.EPOCH_END, Region.VAL_START, Region.VAL_END):
            return None
        order = [Region.BATCH_END, Region.VAL_START, Region.VAL_STEP, Region.VAL_END, Region.EPOCH_END]
        overtaken: list[Item] = []
        for one in order:
            overtaken += [i for i in items.get(one, ()) if i is not item] if one is not region else []
            if one is region:
                overtaken += items[region][: items[region].index(item)]
                break
        stopped = any(exits_of(i.stmt) for r in order for i in items.get(r, ()) if r is not Region.BATCH_END)
        if stopped or any(reads_any(i, watched, self.judge) for i in overtaken):
            return None
        return region, item, "epoch"


__all__ = ["Cutter", "Region", "Regions", "facts_of", "nodes_of"]
