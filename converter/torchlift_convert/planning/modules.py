"""Which models, losses and state the LightningModule makes itself, and which are handed to it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert import facts as F
from torchlift_convert.data import without_moves
from torchlift_convert.definitions import assigned
from torchlift_convert.devices import moves
from torchlift_convert.plan import DataPlan
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Var
from torchlift_convert.recognisers import fact_of
from torchlift_convert.references import references
from torchlift_convert.regions import Gone
from torchlift_convert.roles import variable
from torchlift_convert.types import FateKind

MODULE_MOVE = Gone(FateKind.TRAINER, "Trainer: the module is moved to the device")


@dataclass(eq=False)
class ModulePlanner:
    """Answers for the modules and the state of one script."""

    ctx: Context

    def models(self, data: DataPlan | None) -> tuple[list[Var], list[Var]]:
        """Models that the module makes itself, and models that are handed to it."""
        made: list[Var] = []
        passed: list[Var] = []
        for var in self.ctx.roles.models:
            stmt = self._construct_of(var) if not var.owned else None
            (made if stmt is not None and self._self_made(stmt, var, data) else passed).append(var)
        return made, passed

    def losses(self, data: DataPlan | None) -> tuple[list[Var], list[Var]]:
        used = {v for v, _ in self.ctx.hook_refs}
        found = [v for v in self.ctx.roles.losses if v in used and v.frame is self.ctx.home]
        found.sort(key=lambda v: self.ctx.roles.definitions[v][0].stmt.lineno)
        made = []
        for var in found:
            stmt = self._construct_of(var)
            if stmt is not None and self._self_made(stmt, var, data):
                made.append(var)
                self.drop_moves(var)
        return made, [v for v in found if v not in made]

    def _construct_of(self, var: Var) -> ast.stmt | None:
        """The one statement that makes a module; statements that only move it are put aside."""
        places = [d for d in self.ctx.roles.definitions.get(var, []) if not self._is_move_of(d.stmt, var)]
        if len(places) != 1 or places[0].stmt not in self.ctx.pre or places[0].stmt in self.ctx.fixed_blocks:
            return None
        stmt = places[0].stmt
        single = isinstance(stmt, ast.Assign) and len(stmt.targets) == 1 and isinstance(stmt.targets[0], ast.Name)
        return stmt if single and isinstance(places[0].value, ast.Call) else None

    def construct(self, var: Var) -> ast.stmt:
        stmt = self._construct_of(var)
        assert stmt is not None
        return stmt

    def _self_made(self, stmt: ast.stmt, var: Var, data: DataPlan | None) -> bool:
        """Can the module make it from options, numbers and what stands at module level?"""
        bare = without_moves(stmt, self.ctx.home, self.ctx.roles, self.ctx.program)
        for other, attr in references(bare, self.ctx.home, self.ctx.roles):
            if (
                other == var
                or self.ctx.outside(other)
                or (other in self.ctx.roles.devices and other.frame is not self.ctx.home)
            ):
                continue
            if data is not None and (other in data.attributes or data.loader(other) is not None):
                return False
            if self.ctx.home.is_module or attr is not None or self.ctx.values.portable_scalar(other):
                continue
            if other in self.ctx.roles.models and other in self.ctx.roles.definitions:
                continue
            return False
        return True

    def _is_move_of(self, stmt: ast.stmt, var: Var) -> bool:
        """``model.to(device)``, ``model = model.cuda()``, and an ``if`` around nothing else."""
        match stmt:
            case ast.Expr(value=ast.Call() as call):
                return self._moves(call, var)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                return self._moves(call, var) and self.ctx.home.resolve(name) == var
        return False

    def _moves(self, call: ast.Call, var: Var) -> bool:
        ctx = self.ctx
        fact = fact_of(call, ctx.home, ctx.program)
        if not isinstance(fact, F.Move) or not moves(fact, ctx.home, ctx.roles, ctx.program):
            return False
        return variable(fact.value, ctx.home) == var

    def drop_moves(self, var: Var) -> None:
        movable = {*self.ctx.roles.models, *self.ctx.roles.losses}
        for stmt in self.ctx.pre:
            if self._is_move_of(stmt, var):
                self.ctx.dropped[stmt] = MODULE_MOVE
            elif isinstance(stmt, ast.If) and not stmt.orelse:
                inner = [next((v for v in movable if self._is_move_of(s, v)), None) for s in stmt.body]
                if all(v is not None for v in inner):
                    self.ctx.dropped[stmt] = MODULE_MOVE

    def state(self, moved_data: set[ast.stmt]) -> list[Var]:
        """Variables made with a literal before the loops and changed or rebound in them: state of the module."""
        candidates = {v for v in self.ctx.changed if self._may_be_state(v, moved_data)}
        kept = {v for v in candidates if set(self._made_with(v)) <= candidates}
        return sorted(kept, key=lambda v: (self.construct_state(v).lineno, v.order))

    def _made_with(self, var: Var) -> list[Var]:
        """Variables that the same statement makes."""
        return [v for v, _ in assigned(self.construct_state(var), self.ctx.home)]

    def _may_be_state(self, var: Var, moved_data: set[ast.stmt]) -> bool:
        ctx = self.ctx
        if var.frame is not ctx.home or var in ctx.storage.pinned | ctx.pinned or ctx.roles.is_state_of_training(var):
            return False
        places = [d for d in ctx.roles.definitions.get(var, []) if d.stmt in ctx.pre]
        if len(places) != 1 or not _literal(places[0].value) or not isinstance(places[0].stmt, ast.Assign):
            return False
        stmt = places[0].stmt
        if len(stmt.targets) != 1 or stmt in moved_data or stmt in ctx.fixed_blocks:
            return False
        others = [self.ctx.first_look] if self.ctx.first_look is not None else []
        others += [i for i in ctx.items(ctx.pre) if i.stmt is not stmt]
        if any(var in ctx.judge.reads(i) or var in ctx.judge.changes(i) for i in others):
            return False
        return var in ctx.storage.entering or var not in ctx.storage.bound

    def construct_state(self, var: Var) -> ast.stmt:
        return next(d.stmt for d in self.ctx.roles.definitions[var] if d.stmt in self.ctx.pre)


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
