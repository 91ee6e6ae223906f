"""Comments of statements that no hook holds: they stay with the statement that follows in the source."""

from __future__ import annotations

import ast

from torchlift_convert.blocks import Block
from torchlift_convert.plan import Plan
from torchlift_convert.program import Item
from torchlift_convert.regions import BACKWARD, OPT_STEP, ZERO_GRAD, Region
from torchlift_convert.syntax import blocks_of, walk_statements


class Remarks:
    """Walks back from a carried statement over what went away in front of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.parent = plan.program.script.parent
        self.left: set[ast.stmt] = set()  # statements whose comments have found their place
        self.carried = {i.stmt for r in Region for i in plan.regions.of(r)}
        items = [i for r in Region for i in plan.regions.of(r)]
        opened: list[ast.stmt | None] = [plan.nest.written_batches]
        opened += [plan.regions.validation.stmt if plan.regions.validation is not None else None]
        opened += [i.frame.scope for i in items if isinstance(i.frame.scope, ast.FunctionDef)]
        home = plan.nest.home.scope
        self.opened = {s for s in opened if s is not None and s is not home and s is not plan.nest.epochs}

    def leave_before(self, block: Block, item: Item) -> None:
        """Leave the comments between the statement carried last and this one."""
        trail: list[tuple[bool, ast.stmt]] = []
        node: ast.stmt | None = None if item.synthetic else item.stmt
        while node is not None:
            siblings = self._siblings(node)
            for earlier in reversed(siblings[: siblings.index(node)]):
                if earlier in self.left or not self._is_gone(earlier):
                    trail += [(False, s) for s in self._end_of(earlier)]
                    node = None
                    break
                trail.append((False, earlier))
            if node is None:
                break
            node = self._around(node)
            if node is not None:
                trail.append((True, node))
                node = None if isinstance(node, ast.FunctionDef) else node
        for opens, stmt in reversed(trail):
            self.left |= {stmt} if opens else set(walk_statements([stmt]))
            block.open(stmt) if opens else self._drop(block, stmt)

    def _drop(self, block: Block, stmt: ast.stmt) -> None:
        """The comments of the three calls that optimize go above the return of the loss."""
        if self.plan.regions.gone.get(stmt) not in (ZERO_GRAD, BACKWARD, OPT_STEP):
            block.drop(stmt)

    def _end_of(self, stmt: ast.stmt) -> list[ast.stmt]:
        """What went away at the end of a statement that itself went away around others, last first."""
        found: list[ast.stmt] = []
        if stmt not in self.left or stmt in self.carried:
            return found
        for block in reversed(list(blocks_of(stmt))):
            for last in reversed(block):
                if last in self.left or not self._is_gone(last):
                    break
                found.append(last)
        return found

    def around(self, stmt: ast.stmt) -> list[ast.stmt]:
        """Statements around one that the Trainer does now, which went away too: outermost first."""
        found: list[ast.stmt] = []
        parent = self.parent[stmt]
        while parent is not None and parent not in self.left and self._is_gone(parent):
            self.left.add(parent)
            found.insert(0, parent)
            parent = self.parent[parent]
        return found

    def _siblings(self, stmt: ast.stmt) -> list[ast.stmt]:
        parent = self.parent[stmt]
        if parent is None:
            return self.plan.program.script.tree.body
        return next(b for b in blocks_of(parent) if any(s is stmt for s in b))

    def _is_gone(self, stmt: ast.stmt) -> bool:
        return stmt in self.plan.regions.gone and stmt not in self.opened and stmt not in self.carried

    def _around(self, stmt: ast.stmt) -> ast.stmt | None:
        """The statement around, when it went away and only what is inside it is carried."""
        parent = self.parent[stmt]
        if parent is None or parent in self.left:
            return None
        return parent if parent in self.opened or parent in self.plan.regions.gone else None
