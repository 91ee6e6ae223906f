"""Find the training loop and lay its nest out flat.

The batch loop is the innermost loop over data that reaches a ``backward()``; the epoch loop encloses it. Both may sit
in functions that call each other: a call that leads towards the batch loop is followed into its function, whose
statements then stand in the nest as if they had been written there.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace

from torchlift_convert.counting import Counted, counted_while, counts, last_look
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.facts import GradSwitch
from torchlift_convert.folding import decided, is_learned
from torchlift_convert.following import bind_call, bind_returned, split_return
from torchlift_convert.hidden import refuse_hidden
from torchlift_convert.kept import walk
from torchlift_convert.locating import Block, Locator, Site, without_branches
from torchlift_convert.loops import Loop, is_small
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, FunctionNode, Hole, Item, Program, Var
from torchlift_convert.reaching import Reach
from torchlift_convert.recognisers import fact_of
from torchlift_convert.rounds import refuse_calls, refuse_phases, round_of, written_values
from torchlift_convert.showing import is_bar, refuse_read_bar, stands_in_bars
from torchlift_convert.syntax import nodes_of
from torchlift_convert.types import FateKind


@dataclass(frozen=True, eq=False)
class LoopEntry:
    """A loop inside a flattened body that itself reaches a ``backward()``."""

    stmt: Loop
    frame: Frame


Entry = Item | LoopEntry


@dataclass(frozen=True, eq=False)
class Nest:
    """The loop nest of a script, laid out in the order in which it runs.

    ``path``: blocks from the body of ``home`` to the outermost loop, so that what runs before and after it is known.
    ``epochs``: the epoch loop, None when the batches are gone through once. ``batches``: the batch loop, None when
    every epoch is a single step without one. ``body``: the statements of one batch. ``merged``: statements around
    parts of the nest that what stands in them is laid out without, and what became of them.
    """

    home: Frame
    path: tuple[Block, ...]
    outer: Loop
    epochs: Loop | None
    before: tuple[Item, ...]
    batches: Loop | None
    batch_frame: Frame
    body: tuple[Item, ...]
    after: tuple[Item, ...]
    followed: tuple[FunctionNode, ...] = ()
    merged: tuple[tuple[ast.stmt, FateKind, str], ...] = ()
    count: Counted | None = None  # the outer loop is a while loop that counts
    rank: int = 0  # of several trainings: which one

    @property
    def written_epochs(self) -> Loop | None:
        """The epoch loop as it stands in the script."""
        return self.outer if self.count is not None and self.epochs is self.count.loop else self.epochs

    @property
    def written_batches(self) -> Loop | None:
        """The batch loop as it stands in the script."""
        return self.outer if self.count is not None and self.batches is self.count.loop else self.batches

    @property
    def pre(self) -> list[ast.stmt]:
        """What runs before the loops each time that they run."""
        return [s for block in self.segment for s in block.body[self._start(block) : block.index]]

    @property
    def post(self) -> list[ast.stmt]:
        return [s for block in reversed(self.segment) for s in block.body[block.index + 1 :]]

    @property
    def counters(self) -> frozenset[Var]:
        """What the epoch loop counts with."""
        if not isinstance(self.epochs, ast.For):
            return frozenset()
        return frozenset(self.home.resolve(n.id) for n in walk(self.epochs.target) if isinstance(n, ast.Name))

    @property
    def by_steps(self) -> Nest:
        """A loop over single steps, laid out as one over batches."""
        return replace(self, epochs=None, batches=self.epochs, after=())

    @property
    def repeated(self) -> bool:
        """Does a loop that stays go round the loops?"""
        return any(block.repeated for block in self.path)

    @property
    def segment(self) -> tuple[Block, ...]:
        """The innermost blocks that run once for each time that the loops run, and hold no other training before."""
        apart = [n for n, block in enumerate(self.path) if block.repeated or block.branch or block.first]
        return self.path[max(apart, default=0) :]

    @property
    def behind(self) -> list[ast.stmt]:
        """What belongs to another training, in the block where the segment starts."""
        return self.segment[0].body[: self.segment[0].first]

    def _start(self, block: Block) -> int:
        return block.first if block is self.segment[0] else 0


@dataclass(eq=False)
class Finder:
    """Follows the way from the module's body to the backward calls."""

    program: Program
    followed: list[FunctionNode] = field(default_factory=list)
    merged: list[tuple[ast.stmt, FateKind, str]] = field(default_factory=list)
    in_batch: bool = False  # while the statements of a batch are laid out, which trains

    def __post_init__(self) -> None:
        self.judge = Judge(self.program)
        self.reach = Reach(self.program)

    # -- from the module down to the outermost loop ----------

    def find(self) -> Nest | None:
        """The nest of the script; None when nothing in it calls backward().

        Raises:
            Refuse: a backward() is there, but the way to it is not known.
        """
        sites = self.sites()
        if not sites:
            refuse_hidden(self.program)
            return None
        nest = self.lay_out(sites[0])
        if any(one.home.scope not in nest.followed for one in sites[1:]):
            lines = ", ".join(str(one.outer.lineno) for one in sites)
            raise Refuse(
                "TL101",
                f"{len(sites)} loops train here: lines {lines}.",
                sites[1].outer,
                "Put each training into a script of its own.",
            )
        return nest

    def sites(self) -> list[Site]:
        """Every loop that trains. One alone has what is around a condition for its own, until that is seen to matter.

        Raises:
            Refuse: a backward() is there, but the way to it is not known.
        """
        sites = Locator(self.program, self.reach, self.judge).sites()
        return sites if len(sites) > 1 else [replace(s, path=without_branches(s.path)) for s in sites]

    def lay_out(self, site: Site) -> Nest:
        """The nest of one training.

        Raises:
            Refuse: it is of a shape that is not known.
        """
        for block in site.path:
            around = block.body[block.index]
            if isinstance(around, ast.With) and stands_in_bars(around, site.home, self.judge):
                self.merged.append((around, FateKind.TRAINER, "Trainer: progress bar"))
        return self._lay_out(site.home, site.outer, site.path)

    # -- the nest ----------

    def _lay_out(self, home: Frame, outer: Loop, path: tuple[Block, ...]) -> Nest:
        count = counted_while(outer, path[-1].body, home, self.judge)
        entries = self.flatten(home, count.loop.body if count is not None else outer.body)
        inner = [i for i, e in enumerate(entries) if isinstance(e, LoopEntry)]
        kept = [e for e in entries if isinstance(e, Item) and not e.holes]
        beside = len(inner) > 1 or any(self.reach.trains(e.stmt, e.frame) for e in kept)
        entry = entries[inner[0]] if len(inner) == 1 else None
        beside = beside or (isinstance(entry, LoopEntry) and self._accumulates(entry, kept))
        if beside or not isinstance(entry, LoopEntry) or not counts(outer, home, self.judge):
            refuse_read_bar(outer, home, self.judge)
            return self._one_level(home, outer, path, entries, beside, count)
        for loop in (outer, entry.stmt):
            if loop.orelse:
                raise Refuse("TL105", "The loop has an else branch.", loop, "Put its statements after the loop.")
        self.in_batch = True
        body = self.flatten(entry.frame, entry.stmt.body)
        self.in_batch = False
        _refuse_inner_loops(body, over_data_only=True, around=entry)
        return Nest(
            home=home,
            path=path,
            outer=outer,
            epochs=count.loop if count is not None else outer,
            before=_items(entries[: inner[0]]),
            batches=entry.stmt,
            batch_frame=entry.frame,
            body=_items(body),
            after=(*_items(entries[inner[0] + 1 :]), *(last_look(outer, home) if count is None else ())),
            followed=tuple(self.followed),
            merged=(*self.merged, *_counted_by_trainer(count)),
            count=count,
        )

    def _one_level(
        self,
        home: Frame,
        outer: Loop,
        path: tuple[Block, ...],
        entries: list[Entry],
        beside: bool,
        count: Counted | None,
    ) -> Nest:
        if count is not None and count.read:  # the number of a step is its batch's, and there is none behind the last
            count, entries = None, self.flatten(home, outer.body)
        if outer.orelse:
            raise Refuse("TL105", "The loop has an else branch.", outer, "Put its statements after the loop.")
        stepping = counts(outer, home, self.judge)
        _refuse_inner_loops(entries, over_data_only=beside or not stepping)
        return Nest(
            home=home,
            path=path,
            outer=outer,
            epochs=count.loop if count is not None else outer if stepping else None,
            before=(),
            batches=None if stepping else outer,
            batch_frame=home,
            body=_items(entries),
            after=last_look(outer, home) if count is None else (),
            followed=tuple(self.followed),
            merged=(*self.merged, *_counted_by_trainer(count)),
            count=count,
        )

    def _accumulates(self, entry: LoopEntry, beside: list[Item]) -> bool:
        """Does the loop inside only add up the gradients of one step, which stands beside it?"""
        inside = [n for n in walk(entry.stmt) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        called = [f[0] for n in inside if isinstance(n.func, ast.Name) and (f := entry.frame.function(n.func.id))]
        steps = any(_steps(n) for body in [entry.stmt, *called] for n in walk(body))
        return is_small(entry.stmt) and not steps and any(_steps(n) for i in beside for n in nodes_of(i.stmt))

    def flatten(self, frame: Frame, body: list[ast.stmt]) -> list[Entry]:
        """The statements of a block, with the functions on the way to the backward() followed into."""
        out: list[Entry] = []
        for stmt in body:
            inside = self._taken_apart(stmt, frame)
            if inside is not None:
                out += inside
                continue
            if isinstance(stmt, (ast.For, ast.While)) and self.reach.trains(stmt, frame):
                out.append(LoopEntry(stmt, frame))
                continue
            call = self.reach.call_of(stmt) if self.reach.trains(stmt, frame) else self._touching_call(stmt, frame)
            target = frame.function(call.func.id) if call and isinstance(call.func, ast.Name) else None
            if call is None or target is None:
                self._check_wrapped(stmt, frame)
                out.append(Item(stmt, frame))
            else:
                out += self.follow(stmt, call, frame, *target)
        return out

    def _taken_apart(self, stmt: ast.stmt, frame: Frame) -> list[Entry] | None:
        """What a statement holds, where the statement itself means nothing in a hook; None where it does."""
        match stmt:
            case ast.With() if stands_in_bars(stmt, frame, self.judge):
                self.merged.append((stmt, FateKind.TRAINER, "Trainer: progress bar"))
                return self.flatten(frame, stmt.body)
            case ast.With() if self._enables_gradients(stmt, frame):
                self.merged.append((stmt, FateKind.TRAINER, "Trainer: gradients are on in training"))
                return self.flatten(frame, stmt.body)
            case ast.Assign() if is_learned(stmt, frame):
                self.merged.append((stmt, FateKind.MERGED, "known for each hook"))
                return []
            case ast.If(test=test) if (taken := decided(test, frame)) is not None:
                self.merged.append((stmt, FateKind.MERGED, "known for each hook"))
                return self.flatten(frame, stmt.body if taken else stmt.orelse)
            case ast.For() if values := self._rounds(stmt, frame):
                self.merged.append((stmt, FateKind.MERGED, "its rounds are hooks, one after the other"))
                return [entry for value in values for entry in self.flatten(round_of(stmt, frame, value), stmt.body)]
        return None

    def _enables_gradients(self, stmt: ast.With, frame: Frame) -> bool:
        """``with torch.set_grad_enabled(phase == "train"):`` where it trains."""
        for item in stmt.items:
            call = item.context_expr
            fact = fact_of(call, frame, self.program) if isinstance(call, ast.Call) else None
            if not isinstance(fact, GradSwitch) or decided(fact.enabled, frame) is not True:
                return False
        return self.in_batch or self.reach.trains(stmt, frame)

    def _rounds(self, stmt: ast.For, frame: Frame) -> list[ast.expr]:
        """The values of ``for phase in ["train", "val"]:``, when batches are trained on in one of its rounds."""
        loops = [n for s in stmt.body for n in nodes_of(s) if isinstance(n, ast.For)]
        trains = any(self._iterates(n, frame) and self.reach.trains(n, frame) for n in loops)
        return written_values(stmt, frame, self.program) if trains else []

    def _touching_call(self, stmt: ast.stmt, frame: Frame) -> ast.Call | None:
        """A bare call of a function that zeroes gradients or steps, as ``reset_grad()``, without a loop over data."""
        if (
            not isinstance(stmt, ast.Expr)
            or not isinstance(stmt.value, ast.Call)
            or not isinstance(stmt.value.func, ast.Name)
        ):
            return None
        target = frame.function(stmt.value.func.id)
        if target is None:
            return None
        nodes = list(own_nodes(target[0]))
        calls = [n.func.attr for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
        looping = any(isinstance(n, (ast.For, ast.While)) for n in nodes)
        return stmt.value if not looping and {"zero_grad", "step"} & set(calls) else None

    def _check_wrapped(self, stmt: ast.stmt, frame: Frame) -> None:
        """A loop inside ``with``, ``if`` or ``try`` inside the nest cannot be cut into hooks."""
        for node in nodes_of(stmt):
            if (
                isinstance(node, (ast.For, ast.While))
                and node is not stmt
                and self.reach.trains(node, frame)
                and self._iterates(node, frame)
            ):
                if isinstance(stmt, ast.With) and all(is_bar(i.context_expr, frame, self.program) for i in stmt.items):
                    raise Refuse(
                        "TL103",
                        "The bar around the batch loop does more than show: it is read, or its text changes something.",
                        stmt,
                        "Count with enumerate() instead of reading the bar, and compute its text in front of that.",
                    )
                raise Refuse(
                    "TL103",
                    f"The batch loop stands inside a '{type(stmt).__name__.lower()}' in line {stmt.lineno}.",
                    node,
                    "Take the loop out of that statement.",
                )

    def _iterates(self, loop: ast.For | ast.While, frame: Frame) -> bool:
        return not counts(loop, frame, self.judge)

    def follow(self, stmt: ast.stmt, call: ast.Call, frame: Frame, func: FunctionNode, outer: Frame) -> list[Entry]:
        """The statements of a called function, then the calling statement with a hole where the call stood."""
        inner, binds = bind_call(call, frame, func, outer)
        self.followed.append(func)
        body, value = split_return(func)
        merged = bind_returned(stmt, call, frame, inner, value)
        out: list[Entry] = [*binds, *self.flatten(inner, body)]
        if merged:
            return out
        hole = Hole("__returned__", call, value, inner)
        if not isinstance(stmt, ast.Expr) or stmt.value is not call:
            if value is None:
                raise Refuse("TL104", f"{func.name}() returns nothing but is used as a value.", stmt, "Call it alone.")
            out.append(Item(stmt, frame, (hole,)))
        elif value is not None and any(isinstance(n, ast.Call) for n in walk(value)):
            out.append(Item(stmt, frame, (hole,)))
        return out


def _refuse_inner_loops(entries: list[Entry], over_data_only: bool, around: LoopEntry | None = None) -> None:
    """One batch is one step: a loop over data inside a batch, or several inside an epoch, is not known."""
    for entry in entries:
        if isinstance(entry, LoopEntry) and not (over_data_only and is_small(entry.stmt)):
            phases = around or entry
            refuse_phases(phases.stmt, phases.frame)
            refuse_calls(entry.stmt, entry.frame, [e.stmt for e in entries if isinstance(e, LoopEntry)])
            raise Refuse(
                "TL102",
                "Another loop that trains stands inside this one, and both go over batches.",
                entry.stmt,
                "Keep one epoch loop with one batch loop in it: for epoch in range(...): for batch in loader.",
            )


def _counted_by_trainer(count: Counted | None) -> list[tuple[ast.stmt, FateKind, str]]:
    return [(count.step, FateKind.TRAINER, "Trainer: counts")] if count is not None else []


def _steps(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "step"


def _items(entries: list[Entry]) -> tuple[Item, ...]:
    """The entries as statements; loops among them stay whole."""
    return tuple(e if isinstance(e, Item) else Item(e.stmt, e.frame) for e in entries)
