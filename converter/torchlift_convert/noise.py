"""Statements that mean nothing in a hook: bars, ``global`` declarations, docstrings of followed functions."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torchlift_convert import facts as F
from torchlift_convert.effects import Judge
from torchlift_convert.program import Frame, Item, Program
from torchlift_convert.recognisers import fact_of
from torchlift_convert.recognisers.bar import SHOWING
from torchlift_convert.regions import BAR, DECLARATION, Gone
from torchlift_convert.roles import Roles, variable
from torchlift_convert.showing import arguments, only_computes
from torchlift_convert.syntax import blocks_of, walk_statements
from torchlift_convert.types import FateKind


@dataclass(eq=False)
class Noise:
    """Takes such statements away, and writes into ``gone`` what became of them."""

    program: Program
    home: Frame
    roles: Roles
    judge: Judge
    gone: dict[ast.stmt, Gone]

    def without(self, items: Iterable[Item]) -> list[Item]:
        """What is left of some statements."""
        kept: list[Item] = []
        for item in items:
            stmt = item.stmt
            if isinstance(stmt, (ast.Global, ast.Nonlocal)):
                self.gone[stmt] = DECLARATION
            elif isinstance(stmt, ast.Pass):
                self.gone[stmt] = Gone(FateKind.MERGED, "not needed")
            elif item.frame.base is not self.home and _is_constant(stmt):
                self.gone[stmt] = Gone(FateKind.MERGED, "docstring of a function that became hooks")
            elif self._only_shows(stmt, item.frame):
                self.gone[stmt] = BAR
            else:
                kept.append(self._without_bars(item))
        return kept

    def _only_shows(self, stmt: ast.stmt, frame: Frame) -> bool:
        """A statement about a bar, or an ``if`` around nothing else."""
        if not isinstance(stmt, ast.If):
            return self._is_bar(Item(stmt, frame))
        quiet = self._quiet([stmt.test], frame)
        return quiet and all(self._only_shows(s, frame) for s in [*stmt.body, *stmt.orelse])

    def _without_bars(self, item: Item) -> Item:
        """A compound statement less what it shows on a bar."""
        nested = [s for b in blocks_of(item.stmt) for s in walk_statements(b)]
        inside = [s for s in nested if self._is_bar(Item(s, item.frame))]
        self.gone |= dict.fromkeys(inside, BAR)
        return replace(item, without=(*item.without, *inside)) if inside else item

    def _is_bar(self, item: Item) -> bool:
        """Making a bar, or a bare call of one of its methods, or setting a part, that only concerns the screen."""
        match item.stmt:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name() as owner)], value=shown):
                return variable(owner, item.frame) in self.roles.bars and self._quiet([shown], item.frame)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name() as owner, attr=attr)) as call):
                known = attr in SHOWING and variable(owner, item.frame) in self.roles.bars
                return known and self._quiet(arguments(call), item.frame)
            case ast.Assign(targets=[ast.Name() as name], value=ast.Call() as value):
                made = fact_of(value, item.frame, self.program)
                if not isinstance(made, F.Bar) or variable(name, item.frame) not in self.roles.bars:
                    return False
                return self._quiet([a for a in arguments(value) if a is not made.iterable], item.frame)
        return False

    def _quiet(self, parts: list[ast.expr], frame: Frame) -> bool:
        return only_computes(parts, frame, self.judge)


def _is_constant(stmt: ast.stmt) -> bool:
    return isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Constant)
