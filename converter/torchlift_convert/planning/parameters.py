"""What the LightningModule's constructor takes, and where in the script it can be made."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from torchlift_convert.data import without_moves
from torchlift_convert.definitions import assigned
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.names import parameters
from torchlift_convert.plan import DataPlan, Kind, Param
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Item, Var
from torchlift_convert.references import Reference, references
from torchlift_convert.trainer_args import epochs_of


@dataclass(eq=False)
class ParameterPlanner:
    """Answers for the parameters of one module."""

    ctx: Context

    def choose(
        self,
        inside: list[ast.stmt],
        config: list[ast.stmt],
        data: DataPlan | None,
        passed: list[Var],
        state: list[Var],
    ) -> tuple[tuple[Param, ...], tuple[Var, ...]]:
        """What the module's constructor takes, and which of it starts a variable of the loops."""
        wanted: dict[Reference, None] = {(v, None): None for v in passed}
        moved_makes = {v for s in [*inside, *config] for v, _ in assigned(s, self.ctx.home)} | set(state)
        for stmt in [*inside, *config]:
            wanted |= references(
                without_moves(stmt, self.ctx.home, self.ctx.roles, self.ctx.program), self.ctx.home, self.ctx.roles
            )
        first = set(wanted)
        trained = (*self.ctx.roles.optimizers, *self.ctx.roles.schedulers)
        wanted |= {(v, None): None for v in trained if v in self.ctx.roles.handed}
        wanted |= self.ctx.hook_refs
        initial = tuple(
            v
            for v in sorted(self.ctx.storage.entering, key=lambda v: v.order)
            if (v.frame is self.ctx.home or v.owned)
            and v not in state
            and self._made_before(v)
            and v in self.ctx.storage.attributes
        )
        wanted |= {(v, None): None for v in initial}
        wanted |= dict.fromkeys(self._epoch_start_refs())
        settled = {
            *self.ctx.roles.optimizers,
            *self.ctx.roles.schedulers,
            *self.ctx.roles.bars,
            *self.ctx.roles.loaders,
        }
        settled -= self._loaders_to_pass(data, config) | self.ctx.roles.handed
        settled |= set(self.ctx.roles.models) - set(passed)
        settled |= self.ctx.roles.devices - self.ctx.shown | moved_makes
        settled |= (self.ctx.storage.bound - set(initial)) | self.ctx.epoch_variable()
        chosen: dict[Reference, None] = {}
        for reference in wanted:
            var, attr = reference
            given = {*passed, *self.ctx.roles.held, *self.ctx.roles.handed} - self.ctx.roles.unsure
            if (self.ctx.outside(var) and var not in given) or (var in settled and var not in passed):
                continue
            if data is not None and (var in data.attributes or data.loader(var) is not None):
                continue
            if self.ctx.home.is_module and attr is None and var not in given | set(initial):
                if reference not in first or not self.ctx.values.portable_scalar(var):
                    continue  # a global: read by its name
            chosen[reference] = None
        return self.ctx.parameters(chosen), initial

    def _loaders_to_pass(self, data: DataPlan | None, config: list[ast.stmt]) -> set[Var]:
        """Loaders that stay in the script although the module reads them: those that no Trainer attribute holds."""
        trained = {self.ctx.train_loader(), self.ctx.validation_loader(), *self.ctx.fitted()}
        early = {v for s in config for v, _ in references(s, self.ctx.home, self.ctx.roles)}
        return {
            v
            for v in self.ctx.roles.loaders
            if (data is None or data.loader(v) is None) and (v not in trained or v in early)
        }

    def _made_before(self, var: Var) -> bool:
        if var.owned:
            return self.ctx.set_before(var)
        if any(var in self.ctx.bound_by(s) for s in self.ctx.pre) or var in self.ctx.around.given:
            return True
        if not self.ctx.home.is_module and var.name in parameters_of(self.ctx.home.scope):
            return True
        if var not in self.ctx.around.maybe or var not in self.ctx.storage.read_first:
            return False
        raise Refuse(
            "TL106",
            f"Whether the loops find a value of '{var.name}' is not known: a round before may have given it one.",
            self.ctx.nest.outer,
            f"Give '{var.name}' a value before the loops.",
        )

    def _epoch_start_refs(self) -> dict[Reference, None]:
        epochs = epochs_of(self.ctx.nest, self.ctx.program)
        if epochs.start_expr is None or not any(v in self.ctx.epoch_variable() for v, _ in self.ctx.hook_refs):
            return {}
        return references(epochs.start_expr, self.ctx.home, self.ctx.roles)

    def position(
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
        gone = [*config, *self.ctx.dropped, *moved_data]
        position = self.ctx.placer.position(group, frozenset(p.var for p in params), gone)
        if position is not None:
            return position, params
        within = {v for s in inside for v, _ in references(s, self.ctx.home, self.ctx.roles)} | set(passed)
        position = self.ctx.placer.position(group, frozenset(p.var for p in params if p.var in within), gone)
        if position is None:
            return None, params
        changed = {v for s in self.ctx.pre[position:] for v in self.ctx.judge.changes(Item(s, self.ctx.home))}
        late = [replace(p, kind=Kind.LATE) if p.var in changed and p.var not in within else p for p in params]
        return position, tuple(late)


def parameters_of(scope: ast.AST) -> list[str]:
    """Parameter names of a function; none for a module."""
    return parameters(scope.args) if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)) else []
