"""Cut one nest into regions, and decide who steps its schedulers."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace

from torchlift_convert import facts as F
from torchlift_convert.closures import closure_regions
from torchlift_convert.definitions import add_definitions
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.evaluation import Evaluation
from torchlift_convert.gradients import seen_across_validation
from torchlift_convert.leftover import refuse_leftover
from torchlift_convert.nest import Nest
from torchlift_convert.noise import Noise
from torchlift_convert.program import Item, Program, Var
from torchlift_convert.regions import (
    Gone,
    Region,
    Regions,
    call_fact,
    reads_any,
)
from torchlift_convert.roles import Roles, variable
from torchlift_convert.stepping import Stepping
from torchlift_convert.streams import Streams
from torchlift_convert.surroundings import elsewhere
from torchlift_convert.syntax import exits_of, nodes_of
from torchlift_convert.types import FateKind, Optimization


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
        self.gone |= {stmt: Gone(kind, where) for stmt, kind, where in self.nest.merged}
        _refuse_waiting([*self.nest.before, *self.nest.body, *self.nest.after])
        noise = Noise(self.program, self.nest.home, self.roles, self.judge, self.gone)
        before, after, body = (noise.without(i) for i in (self.nest.before, self.nest.after, self.nest.body))
        batches = Streams(self.program, self.nest, self.roles, self.judge).batches(body)
        header, body = batches.header, list(batches.body)
        steps = Stepping(self.program, self.nest, self.roles, self.judge, self.gone)
        stepping = closure_regions(steps, body, header) or steps.cut(body, header)
        refuse_leftover(self.program, self.nest, self.roles)
        evaluation = Evaluation(self.program, self.nest, self.roles, self.judge, self.gone)
        automatic = stepping.optimization is Optimization.AUTOMATIC
        ends_early = stepping.stops or batches.stream is not None
        hidden = not self.roles.all_models  # what has to be in evaluation mode may not all be in sight
        validation = None if ends_early or hidden else evaluation.validation(before, after, automatic)
        items = dict(stepping.items)
        if validation is None:
            items[Region.EPOCH_END] = tuple(after)
        else:
            items |= validation.items
            known = {id(i.frame.base) for i in [*before, *body, *after]}
            for frame in {id(i.frame.base): i.frame.base for r in validation.items.values() for i in r}.values():
                if id(frame) not in known:
                    add_definitions(self.roles.definitions, frame)
        _refuse_skipped_epochs(before)
        items[Region.EPOCH_START] = tuple(evaluation.without_train_calls(before, validation is not None))
        items[Region.FETCH] = batches.fetch
        items[Region.STEP] = tuple(evaluation.without_train_calls(items[Region.STEP], validation is not None))
        regions = replace(
            stepping,
            items={r: i for r, i in items.items() if i},
            batches=header,
            stream=batches.stream,
            validation=validation.header if validation else None,
            gone=self.gone,
        )
        after_loops = [*(Item(s, self.nest.home) for s in self.nest.post), *elsewhere(self.nest)]
        covered = len(self.roles.models) == 1 and steps.covers(self.roles.models[0])
        kept = regions.optimization is Optimization.MANUAL and regions.validation is not None
        kept = kept or seen_across_validation(regions, covered, after_loops, self.judge)
        return self._schedulers(replace(regions, keeps_gradients=kept))

    # -- schedulers ----------

    def _schedulers(self, regions: Regions) -> Regions:
        """Hand a scheduler to the Trainer when it is stepped once, plainly, and nobody looks at it in between."""
        by_trainer: dict[Var, str] = {}
        items = dict(regions.items)
        if regions.optimization is Optimization.AUTOMATIC and not regions.ends_early:
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
        users = [(r, i) for r, region in items.items() for i in region if var in self.judge.changes(i)]
        if len(users) != 1:
            return None
        region, item = users[0]
        fact = call_fact(item, self.program)
        if not isinstance(fact, F.Step) or fact.node.args or fact.node.keywords:
            return None
        if variable(fact.receiver, item.frame) != var:
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


def _refuse_skipped_epochs(before: list[Item]) -> None:
    """No hook skips one epoch and lets the next one come."""
    for item in before:
        for leaving in exits_of(item.shape):
            if isinstance(leaving, ast.Continue):
                raise Refuse(
                    "TL105",
                    "A 'continue' in front of the batch loop skips the batches of an epoch.",
                    leaving,
                    "Leave those epochs out of the range, or go over no batches in them.",
                )


def _refuse_waiting(items: list[Item]) -> None:
    """Lightning calls hooks as plain functions."""
    for item in items:
        for node in nodes_of(item.shape):
            if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)):
                raise Refuse(
                    "TL105",
                    "The loop awaits something, and no hook can.",
                    node,
                    "Await it before the loop or behind it.",
                )


def read_bars(regions: Regions, roles: Roles, judge: Judge) -> frozenset[Var]:
    """Bars that statements of the hooks still use: for more than to show something, or to loop over."""
    return roles.bars & frozenset[Var]().union(*(judge.reads(i) for items in regions.items.values() for i in items))
