"""The statements that make optimizers and schedulers, and whether the script uses them before the loops."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Item, Var, flow_over
from torchlift_convert.references import references
from torchlift_convert.roles import assigned


@dataclass(eq=False)
class OptimizerPlanner:
    """Answers for the optimizers of one script."""

    ctx: Context

    def config(self) -> list[ast.stmt]:
        """The statements that make optimizers and schedulers, with what only they need."""
        wanted = self._made_here()
        own: list[ast.stmt] = []
        for stmt in self.ctx.pre:
            binds = self.ctx.bound_by(stmt)
            if binds & wanted:
                if not binds <= wanted:
                    raise Refuse(
                        "TL303",
                        "This statement makes an optimizer together with something else.",
                        stmt,
                        "Make the optimizer in a statement of its own.",
                    )
                own.append(stmt)
        made_here = [v for v in self.ctx.roles.optimizers if v in wanted]
        for var in made_here:
            if not any(var in self.ctx.bound_by(o) for o in own):
                raise Refuse(
                    "TL303",
                    f"The optimizer '{var.name}' is not made in the statements before the loop.",
                    self.ctx.nest.outer,
                    "Make the optimizer in the same function as the loop, before it.",
                )
        made = flow_over([Item(s, self.ctx.home) for s in own]).must
        for var in made_here:
            if var not in made:
                place = self.ctx.roles.definitions[var][0].stmt
                raise Refuse(
                    "TL303",
                    f"The optimizer '{var.name}' is made under a condition only.",
                    place,
                    "Make an optimizer on every path to the loop.",
                )
        return self._with_helpers(own)

    def _made_here(self) -> set[Var]:
        """The optimizers and schedulers that the function of the loops makes; others are handed to it."""
        return {*self.ctx.roles.optimizers, *self.ctx.roles.schedulers} - self.ctx.roles.handed

    def _with_helpers(self, own: list[ast.stmt]) -> list[ast.stmt]:
        """Add statements whose results only the optimizers need."""
        changed = True
        while changed:
            changed = False
            needed = {v for s in own for v, _ in references(s, self.ctx.home, self.ctx.roles)}
            for stmt in self.ctx.pre:
                if stmt in own or not isinstance(stmt, ast.Assign):
                    continue
                binds = {v for v, _ in assigned(stmt, self.ctx.home)}
                reads = {v for v, _ in references(stmt, self.ctx.home, self.ctx.roles)}
                if not binds & needed or not reads & {*self.ctx.roles.models} or binds & {*self.ctx.roles.models}:
                    continue
                rest = [i for i in self.ctx.rest() if i.stmt not in own and i.stmt is not stmt]
                if not any(binds & self.ctx.judge.reads(i) for i in [*rest, *self.ctx.hooks]):
                    own.append(stmt)
                    changed = True
        return sorted(own, key=self.ctx.pre.index)

    def used_early(self, config: list[ast.stmt]) -> bool:
        """Does a statement before the loops use an optimizer or scheduler, as resuming does?"""
        wanted = self._made_here()
        rest = [s for s in self.ctx.pre if s not in config]
        if wanted & self.ctx.pinned:
            return True  # a function of the script looks them up by name
        return any(wanted & self.ctx.judge.reads(Item(s, self.ctx.home)) for s in rest)
