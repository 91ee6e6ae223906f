"""Where the loops that train stand: the way from the module's body, through calls, down to each outermost loop."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from torchlift_convert import facts as F
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.kept import walk
from torchlift_convert.loops import Loop, is_small
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, FunctionNode, Program
from torchlift_convert.reaching import Reach
from torchlift_convert.recognisers import fact_of
from torchlift_convert.showing import counted, stands_in_bars
from torchlift_convert.syntax import blocks_of, is_backward, nodes_of, walk_statements


@dataclass(frozen=True, eq=False)
class Block:
    """One statement list on the way from the home scope's body to the outermost loop, and where the way goes on."""

    body: list[ast.stmt]
    index: int
    conditional: bool  # inside an ``if`` other than the main guard, a ``try`` or a ``with``
    repeated: bool = False  # the body of a loop that goes round whole trainings
    branch: bool = False  # what an ``if``, other than the main guard, or a handler runs
    first: int = 0  # where what belongs to this training starts: behind another one


@dataclass(frozen=True, eq=False)
class Site:
    """One training: its outermost loop, and the blocks from the body of ``home`` to it."""

    home: Frame
    outer: Loop
    path: tuple[Block, ...]
    within: bool = False  # another one follows the function that it stands in


@dataclass(eq=False)
class Locator:
    """Follows the way from the module's body to the loops that train."""

    program: Program
    reach: Reach
    judge: Judge
    entered: list[FunctionNode] = field(default_factory=list)  # functions on the way
    holding: list[FunctionNode] = field(default_factory=list)  # those of them that hold a loop that trains
    beside: list[tuple[ast.stmt, str]] = field(default_factory=list)  # what trains without a loop, and why it stays

    def __post_init__(self) -> None:
        functions = [n for n in walk(self.program.script.tree) if isinstance(n, ast.FunctionDef)]
        self.trainers = trainers_of(self.program)
        self.making: set[str] = set()  # names of functions that make an optimizer
        count = -1
        while count != len(self.making):
            count = len(self.making)
            self.making |= {f.name for f in functions if any(self._makes(n, self.program.module) for n in own_nodes(f))}

    def sites(self) -> list[Site]:
        """Every loop that trains, in the order in which it is come by.

        Raises:
            Refuse: there is none that plain calls lead to.
        """
        found = self._in_block(self.program.module, self.program.module.scope.body, (), False)
        distinct = list({site.outer: site for site in reversed(found)}.values())[::-1]
        for site in distinct:
            reached = self._entered_from(site.outer, site.home)
            distinct = [replace(s, within=s.within or s.home.scope in reached) for s in distinct]
        if not distinct and self.beside:
            stmt, why = self.beside[0]
            raise Refuse(
                "TL107", why, stmt, "Call the function that holds the loop from the script's top level or from main()."
            )
        return distinct

    def _in_block(
        self,
        frame: Frame,
        body: list[ast.stmt],
        path: tuple[Block, ...],
        conditional: bool,
        repeated: bool = False,
        branch: bool = False,
    ) -> list[Site]:
        found: list[Site] = []
        first = 0
        for index, stmt in enumerate(body):
            if fits(stmt, self.trainers):
                first = index + 1
            if not self.reach.trains(stmt, frame):
                continue
            block = Block(body, index, conditional, repeated, branch, first)
            sites = self._in_statement(frame, stmt, (*path, block))
            found += sites
            if sites or any(f.name in self._led_to(stmt) for f in self.holding):
                first = index + 1
        return found

    def _in_statement(self, frame: Frame, stmt: ast.stmt, here: tuple[Block, ...]) -> list[Site]:
        conditional = here[-1].conditional
        match stmt:
            case ast.For() | ast.While():
                if self._goes_round_trainings(stmt, frame):
                    return self._in_block(frame, stmt.body, here, conditional, repeated=True)
                return [Site(frame, stmt, here)]
            case ast.If() | ast.With() | ast.Try() | ast.Match():
                shows = isinstance(stmt, ast.With) and stands_in_bars(stmt, frame, self.judge)
                inside = conditional or not (shows or is_main_guard(stmt))
                return [
                    s
                    for b in blocks_of(stmt)
                    for s in self._in_block(frame, b, here, inside, branch=is_branch(b, stmt))
                ]
        found: list[Site] = []
        for name in self._led_to(stmt):
            target = frame.function(name)
            if target is None:
                self.beside.append((stmt, "The training loop cannot be reached from here by plain function calls."))
            elif target[0] not in self.entered:
                self.entered.append(target[0])
                sites = self._in_block(self.program.frames[target[0]], target[0].body, (), False)
                self.holding += [target[0]] if sites else []
                found += sites
        if any(is_backward(n) for n in nodes_of(stmt)):
            self.beside.append((stmt, "This statement calls backward() outside of any loop."))
        return found

    def _led_to(self, stmt: ast.stmt) -> list[str]:
        """The functions that train which a small statement calls, or hands to what calls them."""
        calls = [n for n in nodes_of(stmt) if isinstance(n, ast.Call) and self.reach.leads(n)]
        names = [n.id for c in calls for n in [c.func, *c.args] if isinstance(n, ast.Name)]
        return [n for n in dict.fromkeys(names) if n in self.reach.functions]

    def _entered_from(self, loop: Loop, frame: Frame) -> set[ast.AST]:
        """The functions that a loop leads to."""
        reached: list[ast.AST] = []
        stack = [(s, frame) for s in walk_statements(loop.body)]
        while stack:
            stmt, where = stack.pop()
            for func, inner in self._entered_by(stmt, where, reached):
                stack += [(s, inner) for s in walk_statements(func.body)]
        return set(reached)

    # -- loops around trainings ----------

    def _goes_round_trainings(self, loop: Loop, frame: Frame) -> bool:
        """Does each round train anew, as with a k-fold split: an optimizer is made in it, or it holds an epoch loop?"""
        if self._makes_before_loops(loop.body, frame, []):
            return any(True for _ in self._loops_in(loop.body, frame, []))
        for epochs, where in self._loops_in(loop.body, frame, []):
            counts = isinstance(epochs, ast.While) or counted(epochs.iter, where, self.judge) is not None
            if counts and any(not is_small(inner) for inner, _ in self._loops_in(epochs.body, where, [])):
                return True
        return False

    def _loops_in(self, body: list[ast.stmt], frame: Frame, entered: list[ast.AST]) -> Iterator[tuple[Loop, Frame]]:
        """The outermost loops of a block that train, those of functions that it calls included."""
        for stmt in body:
            if not self.reach.trains(stmt, frame):
                continue
            if isinstance(stmt, (ast.For, ast.While)):
                yield stmt, frame
                continue
            for block in blocks_of(stmt):
                yield from self._loops_in(block, frame, entered)
            for func, inner in self._entered_by(stmt, frame, entered):
                yield from self._loops_in(func.body, inner, entered)

    def _makes_before_loops(self, body: list[ast.stmt], frame: Frame, entered: list[ast.AST]) -> bool:
        """Does a block, on every path, make an optimizer outside of the loops in it that train?"""
        for stmt in body:
            if isinstance(stmt, (ast.For, ast.While)) and self.reach.trains(stmt, frame):
                continue
            if isinstance(stmt, ast.If):
                arms = [stmt.body, stmt.orelse]
                if all(self._makes_before_loops(arm, frame, entered) for arm in arms):
                    return True
            elif isinstance(stmt, (ast.With, ast.Try)):
                if self._makes_before_loops(stmt.body, frame, entered):
                    return True
            elif any(self._makes(n, frame) for n in nodes_of(stmt)):
                return True
            for func, inner in self._entered_by(stmt, frame, entered):
                if self._makes_before_loops(func.body, inner, entered):
                    return True
        return False

    def _entered_by(self, stmt: ast.stmt, frame: Frame, entered: list[ast.AST]) -> Iterator[tuple[FunctionNode, Frame]]:
        for name in [] if list(blocks_of(stmt)) else self._led_to(stmt):
            target = frame.function(name)
            if target is not None and target[0] not in entered:
                entered.append(target[0])
                yield target[0], Frame(*target)

    def _makes(self, node: ast.AST, frame: Frame) -> bool:
        if not isinstance(node, ast.Call):
            return False
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name in self.making and name not in self.reach.functions:
            return True
        return isinstance(fact_of(node, frame, self.program), F.MakesOptimizer)


def _named(expr: ast.expr) -> str:
    return expr.id if isinstance(expr, ast.Name) else "?"


def trainers_of(program: Program) -> set[str]:
    """The names of a script's Trainers, where it is Lightning in part."""

    def makes(value: ast.expr) -> bool:
        name = program.canonical(value.func, program.module) if isinstance(value, ast.Call) else None
        root, _, last = (name or "").rpartition(".")
        return last == "Trainer" and root.partition(".")[0] in ("torchlift", "lightning", "pytorch_lightning")

    made = [n for n in walk(program.script.tree) if isinstance(n, ast.Assign)]
    return {_named(n.targets[0]) for n in made if makes(n.value)}


def fits(stmt: ast.stmt, trainers: set[str]) -> bool:
    """Does a Trainer train in a statement already?"""
    calls = [n.func for n in nodes_of(stmt) if isinstance(n, ast.Call)]
    return any(isinstance(f, ast.Attribute) and f.attr == "fit" and _named(f.value) in trainers for f in calls)


def is_branch(block: list[ast.stmt], stmt: ast.stmt) -> bool:
    """Is a block of a statement only run on a condition?"""
    if isinstance(stmt, ast.Try):
        return any(block is handler.body for handler in stmt.handlers)
    return isinstance(stmt, (ast.If, ast.Match)) and not is_main_guard(stmt)


def is_main_guard(stmt: ast.stmt) -> bool:
    """``if __name__ == "__main__":``"""
    return isinstance(stmt, ast.If) and any(isinstance(n, ast.Name) and n.id == "__name__" for n in walk(stmt.test))


def without_branches(path: tuple[Block, ...]) -> tuple[Block, ...]:
    """A way on which conditions keep nothing apart."""
    return tuple(replace(block, branch=False) for block in path)
