"""One batch: what becomes training_step, and whether the Trainer may optimize by itself.

Automatic optimization needs one optimizer, one unconditional ``zero_grad``, one ``backward`` and one ``step`` in an
order that the Trainer reproduces; statements after the step move before it when they commute with it, else they go to
``on_train_batch_end``. Everything else is manual optimization: the body in source order.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from functools import cached_property

from torchlift_convert import facts as F
from torchlift_convert.aliases import Holders
from torchlift_convert.definitions import nest_items
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.gradients import looks_at_gradients, optimizes_inside, updates_by_hand
from torchlift_convert.in_backward import InBackward, in_backward
from torchlift_convert.nest import Nest
from torchlift_convert.program import Frame, Item, Program, Var, dotted, flow_over, item_flow, reads_of, root_name
from torchlift_convert.recognisers import facts_of
from torchlift_convert.regions import (
    BACKWARD,
    OPT_STEP,
    ZERO_GRAD,
    Gone,
    Header,
    NotAutomatic,
    Region,
    Regions,
    call_fact,
)
from torchlift_convert.roles import Roles, expression, variable
from torchlift_convert.scaling import SCALER, Scaled, plainly, scaled, scales
from torchlift_convert.surroundings import elsewhere
from torchlift_convert.syntax import exits_of, is_backward, nodes_of
from torchlift_convert.trained import given_to
from torchlift_convert.types import FateKind, Optimization


@dataclass(frozen=True, eq=False)
class Marks:
    """Where the three calls of a plain step stand in the body."""

    zero: int
    backward: int
    step: int
    loss: ast.expr
    scaled: Scaled | None = None


@dataclass(frozen=True)
class Graph:
    """``held``: variables whose objects the graph behind the loss may hold. ``loss``: what backward is called on."""

    held: frozenset[Var]
    loss: frozenset[Var]


Limit = tuple[ast.expr, Frame, ast.stmt]  # an option, its frame, and the statement that it guards


@dataclass(eq=False)
class Stepping:
    """Cuts the body of one batch."""

    program: Program
    nest: Nest
    roles: Roles
    judge: Judge
    gone: dict[ast.stmt, Gone]

    @cached_property
    def _holders(self) -> Holders:
        return Holders(self.program, self.roles)

    @cached_property
    def _backward(self) -> InBackward:
        return in_backward(self.program, self.judge)

    def cut(self, body: list[Item], header: Header | None) -> Regions:
        """The regions of one batch."""
        limit = self._limit_one(body, header)
        if limit is not None:
            last, option = body[-1], limit[2]
            self.gone[option] = Gone(FateKind.TRAINER, f"Trainer(limit_train_batches): {ast.unparse(limit[0])}")
            body = body[:-1] if option is last.stmt else [*body[:-1], replace(last, without=(option,))]
        try:
            return self._automatic(body, header, limit)
        except NotAutomatic as reason:
            self._check_manual(body)
            stops = header is not None and any(self._breaks(i) for i in body) and limit is None
            return Regions(
                Optimization.MANUAL,
                {Region.STEP: tuple(body)},
                header,
                limit_one=limit[:2] if limit else None,
                stops=stops,
                why_manual=(reason.why, reason.stmt),
            )

    def _check_manual(self, body: list[Item]) -> None:
        """Something in the batch must update weights: a backward alone trains nothing."""
        pairs = [(f, i.frame) for i in body for f in facts_of(i.stmt, i.frame, self.program) if isinstance(f, F.Step)]
        stepped = {variable(e, frame) for f, frame in pairs for e in (f.receiver, *f.node.args)}
        if stepped & set(self.roles.optimizers):
            return
        if any(updates_by_hand(i, self.judge) or self._uses_held(i) for i in body):
            return
        raise Refuse(
            "TL301",
            "Nothing in this loop is known to update weights.",
            self.nest.outer,
            "Use an optimizer of torch.optim and call its step() in the loop.",
        )

    def _uses_held(self, item: Item) -> bool:
        """Is a method of something called that may update weights in a way of its own?"""
        for node in nodes_of(item.stmt):
            match node:
                case ast.Call(func=ast.Attribute(value=owner)):
                    while isinstance(owner, (ast.Attribute, ast.Subscript)):
                        owner = owner.value
                    if variable(owner, item.frame) in self.roles.held:
                        return True
        return False

    # -- automatic ----------

    def _automatic(self, body: list[Item], header: Header | None, limit: Limit | None) -> Regions:
        marks = self.marks(body)
        loss = marks.loss
        self._check_zeroed(body, marks)
        drop = {marks.zero: ZERO_GRAD, marks.backward: BACKWARD, marks.step: OPT_STEP}
        if marks.scaled is not None:
            drop |= {n: SCALER for n in (marks.scaled.unscale, marks.scaled.update) if n is not None}
        between = [i for n, i in enumerate(body) if marks.backward < n < marks.step and n not in drop]
        late = [i for n, i in enumerate(body) if n > marks.step and n not in drop]
        early = [i for n, i in enumerate(body) if n < marks.backward and n not in drop]
        for item in [*early, *between]:
            if exits_of(item.stmt):
                raise NotAutomatic("a batch can be left before its step", item.stmt)
            if optimizes_inside(item, self.judge, self.roles.schedulers):
                raise NotAutomatic("a function called here has a backward, zero_grad or step of its own", item.stmt)
        clip, before_step = self._clip(between)
        graph = self._graph(early, body[marks.backward], loss)
        if all(self._may_lead(i, graph) for i in before_step):
            early, before_step = [*early, *before_step], []
        moved, batch_end, stops = self._late(late, header, before_step, graph)
        for index, fate in drop.items():
            self.gone[body[index].stmt] = fate
        return Regions(
            Optimization.AUTOMATIC,
            {
                Region.STEP: (*early, *moved),
                Region.BEFORE_STEP: tuple(before_step),
                Region.BATCH_END: tuple(batch_end),
            },
            header,
            loss=(loss, body[marks.backward].frame),
            clip=clip,
            scaler=marks.scaled.scaler if marks.scaled is not None else None,
            limit_one=limit[:2] if limit else None,
            stops=stops,
        )

    def _check_zeroed(self, body: list[Item], marks: Marks) -> None:
        """Nobody may look at gradients while the script has zeroed them and the Trainer has not yet."""
        zeroed = body[marks.zero + 1 : marks.backward]
        for item in body[: marks.backward] if marks.zero > marks.step else zeroed:
            if any(self._holders.given_away(n, item.frame) for n in nodes_of(item.shape)):
                raise NotAutomatic(
                    "what a function from elsewhere does to the model's gradients is not known", item.stmt
                )
        if marks.zero > marks.step:
            zeroed = [*body[: marks.backward], *body[marks.zero + 1 :], *self.nest.before, *self.nest.after]
            behind = [*(Item(s, self.nest.home) for s in self.nest.post), *elsewhere(self.nest)]
            for item in behind:
                if any(is_backward(n) for n in nodes_of(item.stmt)):
                    raise NotAutomatic("another backward adds to gradients that were zeroed", item.stmt)
            zeroed += behind
        for item in zeroed:
            if looks_at_gradients([item], self.judge):
                raise NotAutomatic("gradients are looked at after they were zeroed", item.stmt)

    def marks(self, body: list[Item], closure: bool = False) -> Marks:
        optimizers = set(self.roles.optimizers)
        if not optimizers:
            raise NotAutomatic(self.roles.odd or "the weights are updated by hand", self.nest.outer)
        if len(optimizers) != 1:
            raise NotAutomatic(f"{len(optimizers)} optimizers step in turn", self.nest.outer)
        found: dict[str, list[int]] = {"zero": [], "backward": [], "step": []}
        loss: ast.expr | None = None
        for n, item in enumerate(body):
            fact = plainly(call_fact(item, self.program), item.frame, self.roles)
            inside = list(facts_of(item.stmt, item.frame, self.program))
            match fact:
                case F.Backward(node=node, target=target) if not (
                    node.args or node.keywords or isinstance(target, ast.NamedExpr)
                ):
                    found["backward"].append(n)
                    loss = target
                case F.Step(node=node) if variable(fact.receiver, item.frame) in optimizers:
                    if (node.args or node.keywords) and not closure:
                        raise NotAutomatic("the optimizer's step takes a closure", item.stmt)
                    found["step"].append(n)
                case F.ZeroGrad(plain=True) if self._zeroes_all(fact, item):
                    found["zero"].append(n)
                case F.Scaling() if scales(fact, item.frame, self.roles):
                    pass
                case _:
                    if any(self._optimizes(f, item) for f in inside):
                        raise NotAutomatic(_oddly(fact), item.stmt)
        for what, places in found.items():
            if len(places) != 1:
                at = body[places[1]].stmt if len(places) > 1 else self.nest.outer
                raise NotAutomatic(f"{len(places) or 'no'} plain {_CALLED.get(what, what)}() in a batch", at)
        zero, backward, step = (found[k][0] for k in ("zero", "backward", "step"))
        if not (backward < step and (zero < backward or zero > step)):
            raise NotAutomatic("zero_grad, backward and step stand in another order", body[zero].stmt)
        assert loss is not None
        return Marks(zero, backward, step, loss, scaled(body, backward, step, self.roles, self.judge))

    def _optimizes(self, fact: F.Fact, item: Item) -> bool:
        if isinstance(fact, F.Step) and variable(fact.receiver, item.frame) in self.roles.optimizers:
            return True
        return isinstance(fact, F.Backward | F.ZeroGrad) or scales(fact, item.frame, self.roles)

    def _zeroes_all(self, fact: F.ZeroGrad, item: Item) -> bool:
        """Does this zero exactly the gradients of the one optimizer?"""
        var = variable(fact.receiver, item.frame)
        if var in self.roles.optimizers:
            return True
        return var in self.roles.models and self.covers(var)

    def covers(self, model: Var | None) -> bool:
        """Does the one optimizer hold exactly ``model.parameters()``, in that order?"""
        made = next(iter(self.roles.optimizers.values()), ())
        if not made or len(self.roles.models) != 1 or model != self.roles.models[0]:
            return False
        return all(self._is_all_of(given, one.frame, model) for one in made for given in [given_to(one)])

    @staticmethod
    def _is_all_of(given: list[ast.expr], frame: Frame, model: Var) -> bool:
        """Is this ``[model.parameters()]``, through the parameters of a function?"""
        if len(given) != 1:
            return False
        expr, frame = expression(given[0], frame)
        match expr:
            case ast.Call(func=ast.Attribute(value=ast.Name() as owner, attr="parameters"), args=[], keywords=[]):
                return variable(owner, frame) == model
        return False

    def _clip(self, between: list[Item]) -> tuple[tuple[F.Clip, Frame] | None, list[Item]]:
        """A Trainer argument when the clip is plain and covers what the optimizer holds; else as it stood."""
        if len(between) == 1:
            fact = call_fact(between[0], self.program)
            if isinstance(fact, F.Clip) and fact.plain and isinstance(fact.limit, ast.Constant):
                limit = fact.limit.value
                match fact.parameters:
                    case ast.Call(func=ast.Attribute(value=ast.Name() as owner, attr="parameters"), args=[]):
                        positive = isinstance(limit, (int, float)) and limit > 0
                        if positive and self.covers(variable(owner, between[0].frame)):
                            self.gone[between[0].stmt] = Gone(
                                FateKind.TRAINER, f"Trainer(gradient_clip_val={ast.unparse(fact.limit)})"
                            )
                            return (fact, between[0].frame), []
        return None, between

    # -- after the step ----------

    @staticmethod
    def _graph(early: list[Item], backward: Item, loss: ast.expr) -> Graph:
        held = flow_over([*early, Item(ast.Expr(loss), backward.frame)])
        return Graph(held.exposed | held.may, flow_over([Item(ast.Expr(loss), backward.frame)]).exposed)

    def _may_lead(self, item: Item, graph: Graph) -> bool:
        """May a statement that follows the backward precede it: does neither the backward nor the step tell?"""
        rebinds = isinstance(item.stmt, (ast.Assign, ast.AnnAssign)) and not item.holes
        binds = item_flow(item).may
        changed = self.judge.changes(item) - binds if rebinds else self.judge.changes(item)
        return self.commutes_with_step(item) and not changed & graph.held and not binds & graph.loss

    def _late(
        self, late: list[Item], header: Header | None, before_step: list[Item], graph: Graph
    ) -> tuple[list[Item], list[Item], bool]:
        """What may run before the backward after all, what may not, and whether the loop is left."""
        moved: list[Item] = []
        batch_end: list[Item] = []
        stops = False
        for item in late:
            if exits_of(item.shape):
                stops = stops or (header is not None and self._breaks(item))
                batch_end.append(item)
            elif batch_end or not self._may_lead(item, graph):
                batch_end.append(item)
            elif all(self.judge.commute(item, one) for one in before_step):
                moved.append(item)
            else:
                batch_end.append(item)
        return moved, batch_end, stops

    @staticmethod
    def _breaks(item: Item) -> bool:
        return any(isinstance(e, ast.Break) for e in exits_of(item.shape))

    def commutes_with_step(self, item: Item) -> bool:
        """May a statement after the optimizer's step run before it?

        It reads neither parameters, gradients, optimizer nor random state, and its operands alias no parameter.
        """
        effects = self.judge.of_item(item)
        if effects.draws or effects.clock or effects.unknown:
            return False
        if any(isinstance(n, (ast.Raise, ast.Assert)) for n in nodes_of(item.shape)):
            return False  # who catches it finds the weights after the step
        if any(isinstance(n, ast.Attribute) and n.attr == "grad" for n in nodes_of(item.shape)):
            return False
        if self._backward.writes and effects.writes:
            return False
        touched = self.judge.reads(item) | self.judge.changes(item)
        return not self.judge.reads(item) & self._holders.found and not touched & self._backward.touches

    # -- dry runs ----------

    def _limit_one(self, body: list[Item], header: Header | None) -> Limit | None:
        """A break that leaves the loop after its first batch whenever a fixed option asks for it.

        ``if batch_idx % k == 0: ...; if args.dry_run: break`` as the last statement: the Trainer's limit of one batch.
        """
        leaving = [i for i in body if exits_of(i.stmt)]
        if header is None or header.index is None or header.start or leaving != body[-1:] or not leaving:
            return None
        item, conditions = leaving[0], []
        stmt: ast.stmt = item.stmt
        option: ast.stmt = stmt
        while isinstance(stmt, ast.If) and not stmt.orelse:
            conditions.append(stmt.test)
            if exits_of(stmt) != exits_of(stmt.body[-1]):
                return None
            option, stmt = stmt, stmt.body[-1]
        if not isinstance(stmt, ast.Break) or not isinstance(option, ast.If) or len(option.body) != 1:
            return None
        if not all(_true_at_first(c, header.index) for c in conditions[:-1]) or not self._fixed(conditions[-1], item):
            return None
        return conditions[-1], item.frame, option

    def _fixed(self, test: ast.expr, item: Item) -> bool:
        if dotted(test) is None:
            return False
        changed = frozenset[Var]().union(*(self.judge.changes(i) for i in nest_items(self.nest)))
        return not reads_of(item.frame, root_name(test)) & changed


_CALLED = {"zero": "zero_grad"}


def _oddly(fact: F.Fact | None) -> str:
    """What a call does that the Trainer does in another way; without one, it stands in something else."""
    match fact:
        case F.Backward(node=ast.Call(keywords=keywords)) if any(
            k.arg in ("retain_graph", "create_graph") for k in keywords
        ):
            return "backward keeps its graph"
        case F.Backward(node=ast.Call(args=[_, *_])):
            return "backward is given a gradient"
        case F.ZeroGrad(plain=True):
            return "zero_grad clears other gradients than the optimizer's"
        case F.ZeroGrad(node=ast.Call(keywords=[ast.keyword(arg="set_to_none")])):
            return "zero_grad leaves zeros, where the Trainer leaves None"
        case F.ZeroGrad():
            return "zero_grad takes arguments"
    return "backward, zero_grad or step depends on a condition"


def _true_at_first(test: ast.expr, index: str) -> bool:
    """``index % k == 0`` and ``index == 0`` hold at the first batch."""
    match test:
        case ast.Compare(left=ast.Name(id=name), ops=[ast.Eq()], comparators=[ast.Constant(value=0)]):
            return name == index
        case ast.Compare(
            left=ast.BinOp(left=ast.Name(id=name), op=ast.Mod()), ops=[ast.Eq()], comparators=[ast.Constant(value=0)]
        ):
            return name == index
    return False
