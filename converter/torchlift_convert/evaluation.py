"""Evaluation after each epoch's batches: validation hooks where they are proved to be the same, else as it stands.

Validation hooks are the same when there is one full pass over one loader, once per epoch, with every trained model put
into evaluation mode before it and back into training mode before the next batch, and when nothing between the last
batch and the pass draws random numbers or looks at a model.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert import facts as F
from torchlift_convert.callers import earlier
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.folding import decided, is_learned
from torchlift_convert.following import bind_call, bind_returned, split_return
from torchlift_convert.gradients import looks_at_gradients, takes_gradients
from torchlift_convert.loaders import oddity_of
from torchlift_convert.names import own_nodes, parameters
from torchlift_convert.nest import Nest
from torchlift_convert.noise import Noise
from torchlift_convert.program import Frame, Hole, Item, Program, Var, flow_over
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.regions import (
    BAR,
    DECLARATION,
    EVAL_MODE,
    KNOWN,
    NO_GRAD,
    TRAIN_MODE,
    ZERO_GRAD,
    Gone,
    Header,
    Region,
    call_fact,
    header_of,
    reads_any,
)
from torchlift_convert.roles import Roles, variable
from torchlift_convert.samplers import tells_epoch
from torchlift_convert.showing import stands_in_bars
from torchlift_convert.sight import out_of_sight
from torchlift_convert.surroundings import elsewhere
from torchlift_convert.syntax import exits_of, nodes_of
from torchlift_convert.types import FateKind


@dataclass(frozen=True, eq=False)
class Validation:
    """Evaluation as three regions."""

    header: Header
    items: dict[Region, tuple[Item, ...]]


@dataclass(eq=False)
class Evaluation:
    """Looks for the evaluation pass of an epoch."""

    program: Program
    nest: Nest
    roles: Roles
    judge: Judge
    gone: dict[ast.stmt, Gone]
    keeps_train: bool = False  # the script's own train() is what ends an evaluation before the loops

    def validation(self, before: list[Item], after: list[Item], automatic: bool) -> Validation | None:
        """The evaluation of the epoch as validation regions, or None when that is not proved to be the same."""
        if self._evaluated_before():
            self.keeps_train = True
            if not self._trained(before) >= set(self.roles.models):
                return None
        flat: list[Item] = []
        gone: dict[ast.stmt, Gone] = {}
        try:
            for item in after:
                flat += self._expand(item, gone)
        except Refuse:
            return None
        loops = [n for n, i in enumerate(flat) if self._over_loader(i)]
        if len(loops) != 1:
            return None
        at = loops[0]
        loop = flat[at].stmt
        assert isinstance(loop, ast.For)
        header = header_of(loop, flat[at].frame, self.program, self.roles)
        start, end = flat[:at], flat[at + 1 :]
        noise = Noise(self.program, self.nest.home, self.roles, self.judge, gone)
        body = [x for s in loop.body for x in self._flat(Item(s, flat[at].frame), gone)]
        step = noise.without(self._without_zeroing(body, [*start, *end], gone) if automatic else body)
        if not self._same(before, start, step, end) or loop.orelse:
            return None
        self.gone |= gone
        return Validation(
            header,
            {
                Region.VAL_START: self._drop_modes(start),
                Region.VAL_STEP: self._drop_modes(step),
                Region.VAL_END: self._drop_modes(end),
            },
        )

    def without_train_calls(self, items: list[Item] | tuple[Item, ...], validated: bool) -> list[Item]:
        """Drop ``model.train()`` where the model is in training mode anyway."""
        if self.keeps_train:
            return list(items)
        script_evaluates = any(
            isinstance(f, F.Mode) and not f.training
            for f in facts_of(self.program.script.tree, self.program.module, self.program)
        )
        around = [(s, self.nest.home) for s in self.nest.pre]
        around += [(i.stmt, i.frame) for i in (*self.nest.before, *self.nest.body, *self.nest.after)]
        if (script_evaluates and not validated) or out_of_sight(around, self.roles.models, self.program):
            return list(items)
        kept: list[Item] = []
        for item in items:
            fact = call_fact(item, self.program)
            if isinstance(fact, F.Mode) and fact.training and variable(fact.receiver, item.frame) in self.roles.models:
                self.gone[item.stmt] = TRAIN_MODE
            else:
                kept.append(item)
        return kept

    # -- laying the evaluation out flat ----------

    def _expand(self, item: Item, gone: dict[ast.stmt, Gone]) -> list[Item]:
        """Follow a call into a function that goes through a loader; take ``with torch.no_grad()`` off."""
        stmt = item.stmt
        inside = self._taken_apart(item, gone)
        if inside is not None:
            return [x for s in inside for x in self._expand(Item(s, item.frame), gone)]
        call = self._evaluating_call(item)
        target = item.frame.function(call.func.id) if call is not None and isinstance(call.func, ast.Name) else None
        if call is None or target is None:
            return [item]
        func, outer = target
        without_gradients = all(self._is_grad_mode(d, outer) for d in func.decorator_list)
        inner, binds = bind_call(call, item.frame, func, outer, undecorated=without_gradients)
        body, value = split_return(func)
        merged = bind_returned(stmt, call, item.frame, inner, value)
        if merged:
            gone[stmt] = Gone(FateKind.MERGED, "the function's result has the caller's name")
        out: list[Item] = list(binds)
        for s in body:
            if isinstance(s, (ast.Global, ast.Nonlocal)):
                gone[s] = DECLARATION
            elif isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant):
                gone[s] = Gone(FateKind.MERGED, "docstring of a function that became hooks")
            else:
                out += self._expand(Item(s, inner), gone)
        if not merged and not isinstance(stmt, ast.Expr) and value is not None:
            out.append(Item(stmt, item.frame, (Hole("__returned__", call, value, inner),)))
        return out

    def _taken_apart(self, item: Item, gone: dict[ast.stmt, Gone]) -> list[ast.stmt] | None:
        """What ``with torch.no_grad()`` or a bar holds, and the branch of an ``if`` whose condition is known."""
        match item.stmt:
            case ast.With() as stmt if all(self._is_grad_mode(i.context_expr, item.frame) for i in stmt.items):
                gone[stmt] = NO_GRAD
                return stmt.body
            case ast.With() as stmt if stands_in_bars(stmt, item.frame, self.judge):
                gone[stmt] = BAR
                return stmt.body
            case ast.Assign() as stmt if is_learned(stmt, item.frame):
                gone[stmt] = KNOWN
                return []
            case ast.If() as stmt if (taken := decided(stmt.test, item.frame)) is not None:
                gone[stmt] = KNOWN
                return stmt.body if taken else stmt.orelse
        return None

    def _flat(self, item: Item, gone: dict[ast.stmt, Gone]) -> list[Item]:
        """A statement of the evaluation's step, without what means nothing around its parts."""
        inside = self._taken_apart(item, gone)
        return [item] if inside is None else [x for s in inside for x in self._flat(Item(s, item.frame), gone)]

    def _without_zeroing(self, step: list[Item], others: list[Item], gone: dict[ast.stmt, Gone]) -> list[Item]:
        """Drop ``optimizer.zero_grad()``: each training step zeroes the gradients; nobody looks at them until then."""
        zeroing = [i for i in step if self._zeroes(i)]
        kept = [i for i in step if i not in zeroing]
        if looks_at_gradients([*kept, *others], self.judge):
            return step
        gone |= {i.stmt: ZERO_GRAD for i in zeroing}
        return kept

    def _zeroes(self, item: Item) -> bool:
        fact = call_fact(item, self.program)
        trained = {*self.roles.optimizers, *self.roles.models}
        return isinstance(fact, F.ZeroGrad) and fact.plain and variable(fact.receiver, item.frame) in trained

    def _is_grad_mode(self, expr: ast.expr, frame: Frame) -> bool:
        fact = fact_of(expr, frame, self.program) if isinstance(expr, ast.Call) else None
        off = isinstance(fact, F.GradSwitch) and decided(fact.enabled, frame) is False
        return off or isinstance(fact, F.GradMode)

    def _evaluating_call(self, item: Item) -> ast.Call | None:
        """The one call of a bare or assigned call statement whose function holds a loop over a loader."""
        if item.holes:
            return None  # this call was followed already
        match item.stmt:
            case ast.Expr(value=ast.Call() as call) | ast.Assign(value=ast.Call() as call):
                target = item.frame.function(call.func.id) if isinstance(call.func, ast.Name) else None
                if target and any(isinstance(n, ast.For) for n in own_nodes(target[0])):
                    return call
        return None

    def _over_loader(self, item: Item) -> bool:
        if not isinstance(item.stmt, ast.For):
            return False
        header = header_of(item.stmt, item.frame, self.program, self.roles)
        given = (header.iterable, header.source, self.roles, self.program)
        return oddity_of(*given) is None and not tells_epoch(*given)

    # -- is it the same? ----------

    def _same(self, before: list[Item], start: list[Item], step: list[Item], end: list[Item]) -> bool:
        models = set(self.roles.models)
        put_to_eval = self._switched(start, training=False)
        put_to_train = self._trained([*before, *end])
        if put_to_eval != models or not models <= put_to_train:
            return False
        if any(self._strange_mode(i) for i in [*before, *self.nest.body, *start, *step, *end]):
            return False
        if any(self._switches_gradients(i) for i in [*before, *self.nest.body, *start, *step, *end]):
            return False
        if self._switched(step, training=True) or self._switched(step, training=False):
            return False
        quiet = [i for i in start if not isinstance(call_fact(i, self.program), F.Mode) and not self._steps_torchs(i)]
        if any(self.judge.of_item(i).draws or reads_any(i, models, self.judge) for i in quiet):
            return False
        if any(isinstance(e, ast.Break) for i in step for e in exits_of(i.stmt)) or any(
            exits_of(i.stmt) for i in start
        ):
            return False
        if takes_gradients([*start, *step, *end], self.judge):
            return False
        return not self._used_after_train(end, models)

    def _trained(self, items: list[Item]) -> set[Var]:
        """Models that these statements put into training mode, or a batch before it looks at a model."""
        models = set(self.roles.models)
        first: list[Item] = []
        for item in self.nest.body:
            if not isinstance(call_fact(item, self.program), F.Mode) and reads_any(item, models, self.judge):
                break
            first.append(item)
        return self._switched(items, training=True) | self._switched(first, training=True)

    def _steps_torchs(self, item: Item) -> bool:
        """The step of one of torch's schedulers, which draws nothing."""
        fact = call_fact(item, self.program)
        var = variable(fact.receiver, item.frame) if isinstance(fact, F.Step) else None
        return var is not None and self.roles.schedulers.get(var) is not None

    def _switched(self, items: list[Item] | tuple[Item, ...], training: bool) -> set[Var]:
        """Models that a bare call among these statements puts into that mode."""
        found: set[Var] = set()
        for item in items:
            fact = call_fact(item, self.program)
            if isinstance(fact, F.Mode) and fact.training is training:
                var = variable(fact.receiver, item.frame)
                if var is not None:
                    found.add(var)
        return found

    def _strange_mode(self, item: Item) -> bool:
        """A mode switch that is conditional, nested, or of something that is not a trained model."""
        bare = call_fact(item, self.program)
        for fact in facts_of(item.stmt, item.frame, self.program):
            if isinstance(fact, F.Mode):
                same = isinstance(bare, F.Mode) and bare.node is fact.node
                whole = variable(fact.receiver, item.frame) in self.roles.models
                if not same or not whole or fact.training is None:
                    return True
        return False

    def _switches_gradients(self, item: Item) -> bool:
        """``torch.set_grad_enabled(...)`` that is no context: it stays so after the hook, which a Trainer undoes."""
        bare = [n.value for n in nodes_of(item.stmt) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
        return any(self.program.canonical(c.func, item.frame) == "torch.set_grad_enabled" for c in bare)

    def _used_after_train(self, end: list[Item], models: set[Var]) -> bool:
        """Is a model looked at after it was put back into training mode? A validation hook still has it in eval."""
        trained = False
        for item in end:
            fact = call_fact(item, self.program)
            if isinstance(fact, F.Mode):
                trained = trained or bool(fact.training)
            elif trained and reads_any(item, models, self.judge):
                return True
        return False

    def _evaluated_before(self) -> bool:
        """May a model be in evaluation mode when the first epoch starts?"""
        home = self.nest.home
        if self._eval_reachable([(s, home) for s in self.nest.pre]):
            return True
        if set(self.roles.models) <= flow_over([Item(s, home) for s in self.nest.pre]).must:
            return False
        around = [(i.stmt, home) for i in elsewhere(self.nest)]
        if self._eval_reachable(around):
            return True
        if self.nest.repeated and self._eval_reachable([(s, home) for s in self.nest.path[0].body]):
            return True
        own = frozenset() if isinstance(home.scope, ast.Module) else home.locals - {*parameters(home.scope.args)}
        if all(v.frame is home and v.name in own for v in self.roles.models):
            return False
        callers = earlier(home.scope, self.program)
        return callers is None or self._eval_reachable(callers)

    def _eval_reachable(self, statements: list[tuple[ast.stmt, Frame]]) -> bool:
        """Does one of these statements, or a function that they lead to, put something into evaluation mode?"""
        seen: set[ast.AST] = set()
        stack: list[tuple[ast.AST, Frame]] = [(n, f) for s, f in statements for n in nodes_of(s)]
        while stack:
            node, frame = stack.pop()
            if isinstance(node, ast.Call):
                fact = fact_of(node, frame, self.program)
                if isinstance(fact, F.Mode) and not fact.training:
                    return True
                target = frame.function(node.func.id) if isinstance(node.func, ast.Name) else None
                if target is not None and target[0] not in seen:
                    seen.add(target[0])
                    inner = Frame(*target)
                    stack += [(n, inner) for n in own_nodes(target[0])]
        return False

    def _drop_modes(self, items: list[Item]) -> tuple[Item, ...]:
        kept: list[Item] = []
        for item in items:
            fact = call_fact(item, self.program)
            if isinstance(fact, F.Mode):
                self.gone[item.stmt] = TRAIN_MODE if fact.training else EVAL_MODE
            else:
                kept.append(item)
        return tuple(kept)
