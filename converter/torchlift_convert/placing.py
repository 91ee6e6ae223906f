"""Where a group of statements may be gathered without overtaking one that it does not commute with."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchlift_convert.effects import Judge
from torchlift_convert.program import Frame, Item, Var
from torchlift_convert.syntax import exits_of, nodes_of


@dataclass(eq=False)
class Placer:
    """Answers for one straight sequence of statements before the loops."""

    statements: Sequence[ast.stmt]
    frame: Frame
    judge: Judge

    def position(
        self, group: Iterable[ast.stmt], ready: frozenset[Var], others: Iterable[ast.stmt] = (), lowest: int = 0
    ) -> int | None:
        """The first index in front of which the whole group can run: None when there is none.

        ``ready``: variables that must have their last value by then. ``others``: statements that will be gone, and are
        therefore not overtaken.
        """
        members = list(group)
        gone = set(others) | set(members)
        places = [self.statements.index(s) for s in members]
        first = max(lowest, min(places, default=0))
        # behind the last of the group, where a reader looks for it; without a group, behind everything
        own = max([lowest, *(p + 1 for p in places)]) if places else len(self.statements)
        for position in [own, *range(first, len(self.statements) + 1)]:
            if self._settled(ready, position, gone) and all(self._reaches(p, position, gone) for p in places):
                return position
        return None

    def _settled(self, ready: frozenset[Var], position: int, gone: set[ast.stmt]) -> bool:
        later = [s for s in self.statements[position:] if s not in gone]
        return not any(self.judge.changes(Item(s, self.frame)) & ready for s in later)

    def _reaches(self, place: int, position: int, gone: set[ast.stmt]) -> bool:
        between = self.statements[place + 1 : position] if place < position else self.statements[position:place]
        one = Item(self.statements[place], self.frame)
        effects = self.judge.of_item(one)
        if (effects.draws or effects.writes) and any(_leaves(s) for s in between if s not in gone):
            return False  # whether it runs at all would change
        return all(s in gone or self.judge.commute(one, Item(s, self.frame)) for s in between)


def _leaves(stmt: ast.stmt) -> bool:
    """May the rest of the function, or of a loop around it, be skipped here?"""
    return bool(exits_of(stmt)) or any(isinstance(n, ast.Return) for n in nodes_of(stmt))
