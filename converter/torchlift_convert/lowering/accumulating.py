"""``with accelerator.accumulate(model)``: steps at every k-th batch and at the last one of the loader.

Inside of it a prepared optimizer or scheduler does nothing at the other batches; whether it does is decided where the
block is entered, and holds until the next one.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.kept import walk
from torchlift_convert.lowering.edits import Edited
from torchlift_convert.lowering.prepared import Kind, Prepared, loader_of

STEPS = ("step", "zero_grad")
HARMLESS = ("param_groups", "get_last_lr", "state", "defaults")  # what may be read of a wrapper at any batch
WHY = "the steps are counted in the loop"
BY_HAND = "Count the batches in the loop, divide the loss, and step at each k-th and at the last one."


@dataclass(eq=False)
class Accumulating:
    """One ``accumulate`` block and the loop that it stands in."""

    stmt: ast.With
    accelerator: str
    steps: str
    edited: Edited
    parents: dict[ast.AST, ast.AST]
    prepared: Prepared
    conditions: set[ast.Attribute] = field(default_factory=set)  # ``accelerator.sync_gradients`` that were dealt with

    def write(self) -> None:
        """Raises Refuse where the batches cannot be counted, or a step hides where it cannot be seen."""
        loop = self.parents[self.stmt]
        if not isinstance(loop, ast.For) or self.stmt not in loop.body or loop.orelse:
            raise self._refuse("accumulate() does not stand in the loop over the batches", self.stmt)
        loader = loader_of(loop, self.prepared)
        if loader is None or not self.prepared.is_prepared(loader.id):
            raise self._refuse("accumulate() stands in a loop over something else than a prepared loader", loop)
        for node in walk(loop):
            if isinstance(node, (ast.Break, ast.Continue, ast.Return)):
                raise self._refuse("the loop is left, or a batch skipped, while gradients add up", node)
        at = loop.body.index(self.stmt)
        for stmt in loop.body[:at]:
            self._must_not_step(stmt)
        self._length_is(loader)
        index = self._index(loop)
        condition = f"({index} + 1) % {self.steps} == 0 or {index} + 1 == len({loader.id})"
        stay, inserted = self._group(self.stmt.body, condition)
        if not self.edited.unwrap(self.stmt, WHY, stay):
            raise self._refuse("a line of accumulate's block cannot be moved", self.stmt)
        for line, indent in inserted:
            self.edited.insert_line(line, " " * (indent - self._width()) + f"if {condition}:")
        for stmt in loop.body[at + 1 :]:
            if self._is_condition(stmt):
                assert isinstance(stmt, ast.If)
                self._write_condition(stmt, condition)
            else:
                self._must_not_step(stmt)

    def _width(self) -> int:
        return self.stmt.body[0].col_offset - self.stmt.col_offset

    def _length_is(self, loader: ast.Name) -> None:
        stores = [n for n in walk(self.stmt) if isinstance(n, ast.Name) and n.id == loader.id]
        if any(not isinstance(n.ctx, ast.Load) for n in stores):
            raise self._refuse("the loader is bound anew in the loop", self.stmt)

    def _index(self, loop: ast.For) -> str:
        """The number of the batch: what enumerate() gives, or a name of its own."""
        names = {n.id for n in walk(self.edited.tree) if isinstance(n, ast.Name)}
        stored = {n.id for s in loop.body for n in walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        match loop:
            case ast.For(target=ast.Tuple(elts=[ast.Name(id=name), _]), iter=ast.Call(func=ast.Name(id="enumerate"))):
                call = loop.iter
                assert isinstance(call, ast.Call)
                if name in stored or len(call.args) != 1 or call.keywords:
                    raise self._refuse("the number of the batch is not the one that enumerate() gives", loop)
                return name
        name = next(n for n in ("i", "step", "batch_index", "number_of_batch") if n not in names)
        target = self.edited.source(loop.target)
        if isinstance(loop.target, ast.Tuple) and not target.startswith("("):
            target = f"({target})"
        self.edited.replace(loop.target, f"{name}, {target}")
        self.edited.put(self.edited.start(loop.iter), self.edited.start(loop.iter), "enumerate(")
        self.edited.put(self.edited.end(loop.iter), self.edited.end(loop.iter), ")")
        return name

    # -- which statements wait ----------

    def _group(self, body: list[ast.stmt], condition: str) -> tuple[set[int], list[tuple[int, int]]]:
        """Lines that stay where they are, below a condition; and the lines, with their column, that get it above."""
        stay: set[int] = set()
        inserted: list[tuple[int, int]] = []
        open_ = False
        for n, stmt in enumerate(body):
            if self._is_step(stmt):
                if not open_:
                    inserted.append((stmt.lineno, stmt.col_offset))
                first = stmt.lineno if not open_ else (body[n - 1].end_lineno or 0) + 1
                stay |= set(range(first, (stmt.end_lineno or stmt.lineno) + 1))
                open_ = True
            elif self._is_condition(stmt):
                assert isinstance(stmt, ast.If)
                self._write_condition(stmt, condition)
                open_ = True
            else:
                self._must_not_step(stmt)
                open_ = False
        return stay, inserted

    def _write_condition(self, stmt: ast.If, condition: str) -> None:
        test = stmt.test
        assert isinstance(test, ast.Attribute)
        self.conditions.add(test)
        for inner in stmt.body:
            if not self._is_step(inner):
                self._must_not_step(inner)
        self.edited.replace(test, condition)

    def _is_condition(self, stmt: ast.stmt) -> bool:
        return isinstance(stmt, ast.If) and not stmt.orelse and ast.unparse(stmt.test) == self._synced

    @property
    def _synced(self) -> str:
        return f"{self.accelerator}.sync_gradients"

    def _is_step(self, stmt: ast.stmt) -> bool:
        match stmt:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr))) if attr in STEPS:
                return self.prepared.kinds.get(name) in (Kind.OPTIMIZER, Kind.SCHEDULER) and self._known(stmt, name)
        return False

    def _known(self, stmt: ast.stmt, name: str) -> bool:
        if not self.prepared.is_prepared(name):
            raise self._refuse(f"{name} is not always a prepared one", stmt)
        made = [v for v in self.prepared.made(ast.Name(id=name)) or () if isinstance(v, ast.Call)]
        if any((self.prepared.library(v.func) or "").endswith(("OneCycleLR", "CyclicLR")) for v in made):
            raise self._refuse(f"{name} counts the batches at which it does not step, too", stmt)
        return True

    def _must_not_step(self, stmt: ast.stmt) -> None:
        for node in walk(stmt):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == self._synced:
                raise self._refuse("sync_gradients is asked for in another way than `if`", node)
            if isinstance(node, ast.Attribute) and node.attr in STEPS:
                raise self._refuse("a step stands where it cannot be told whether it waits", node)
            if isinstance(node, ast.Name) and self.prepared.kinds.get(node.id) in (Kind.OPTIMIZER, Kind.SCHEDULER):
                holder = self.parents.get(node)
                if not (isinstance(holder, ast.Attribute) and holder.attr in HARMLESS):
                    raise self._refuse(f"{node.id} is used in a way that may step", node)

    def _refuse(self, why: str, node: ast.stmt | ast.expr) -> Refuse:
        return Refuse("TL502", f"{why[0].upper()}{why[1:]}, so the steps cannot be counted here.", node, BY_HAND)
