"""Batches that come from no loader: generators, ``zip``, ``next()``, loops that count by themselves.

What the loop goes over is made anew for each epoch, at the first batch, and read one batch at a time: nothing is drawn
earlier or later than in the loop. Where the head of the loop's body fetches a batch or leaves the loop, that head moves
into a generator under the loop's own header; the rest of the body is the step.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert import facts as F
from torchlift_convert.definitions import nest_items
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.effects import Judge
from torchlift_convert.kept import walk
from torchlift_convert.listing import changes_in_place, goes_over_list
from torchlift_convert.loaders import makers_of, oddity_of, unknown_iterables
from torchlift_convert.loops import is_range
from torchlift_convert.nest import Nest
from torchlift_convert.program import Hole, Item, Program, Var, flow_over
from torchlift_convert.promises import PLAIN_LOADER, Promise, promise_of
from torchlift_convert.recognisers import fact_of, facts_of
from torchlift_convert.references import references
from torchlift_convert.regions import Header, Stream, header_of
from torchlift_convert.roles import Roles, variable
from torchlift_convert.surroundings import surroundings
from torchlift_convert.syntax import exits_of, nodes_of

_OPTIMIZING = (F.Backward, F.Step, F.ZeroGrad, F.Mode, F.Clip)


@dataclass(frozen=True, eq=False)
class Batches:
    """How one nest gets its batches. ``fetch``: what is read and run for each batch in front of the step."""

    header: Header | None
    stream: Stream | None
    fetch: tuple[Item, ...]
    body: tuple[Item, ...]


@dataclass(eq=False)
class Streams:
    """Looks at the loop over batches of one nest."""

    program: Program
    nest: Nest
    roles: Roles
    judge: Judge

    def batches(self, body: list[Item]) -> Batches:
        """The header of the batch loop, and the stream that stands for it where that is no plain loop over a loader."""
        loop = self.nest.batches
        if loop is None:
            return Batches(None, None, (), tuple(body))
        fetching = self._fetching(body)
        if isinstance(loop, ast.While):
            fetching = fetching or self._drawing(body)
            head = Item(ast.Expr(loop.test), self.nest.batch_frame)
            return self._generated(None, head, fetching, body)
        header = header_of(loop, self.nest.batch_frame, self.program, self.roles)
        if fetching:
            return self._generated(header, _bound_by(header), fetching, body)
        if self._is_plain(header):
            return Batches(header, None, (), tuple(body))
        self._refuse_bars(header)
        self._refuse_changed(header, body)
        stream = Stream(loop, self.nest.batch_frame, generated=False)
        return Batches(header, stream, (_bound_by(header),), tuple(body))

    def _is_plain(self, header: Header) -> bool:
        """Does a Trainer go through it as the loop does?"""
        if is_range(header.iterable):
            bound = flow_over(nest_items(self.nest)).may | self.nest.counters
            return not {v for v, _ in references(header.iterable, header.source, self.roles)} & bound
        if makers_of(header.iterable, header.source, self.roles, self.program):
            return oddity_of(header.iterable, header.source, self.roles, self.program) is None
        if goes_over_list(self.nest, header, self.roles, self.judge):
            return True
        return word_for(header, self.nest, self.roles, self.program, self.judge) is not None

    def _generated(self, header: Header | None, head: Item, fetching: list[Item], body: list[Item]) -> Batches:
        loop, frame = self.nest.batches, self.nest.batch_frame
        assert loop is not None
        rest = body[len(fetching) :]
        flow, later = flow_over([head, *fetching]), flow_over(rest)
        outside = [*self.nest.after, *self.nest.before, *(Item(s, self.nest.home) for s in self.nest.post)]
        read = surroundings(self.nest, self.judge).live.union(*(self.judge.reads(i) for i in outside))
        needed = later.exposed | (read - later.must)
        counts = flow_over(fetching).exposed | needed
        if any(exits_of(i.stmt) for i in fetching):
            needed -= read  # what a batch that is left has bound shows outside of the loop
        given = [v for v in _in_order(header, fetching) if v in needed and v in flow.must and v not in flow.exposed]
        names: list[ast.expr] = [ast.Name(v.name, ast.Load()) for v in given]
        bundle = names[0] if len(names) == 1 else ast.Tuple(names, ast.Load())
        counted = None
        if header is not None and header.index is not None:
            index = frame.resolve(header.index)
            counted = header.index if index in counts else None
        made = Header(loop, frame, bundle, None, 0, bundle, frame)
        self._refuse_changed(made, rest)
        stream = Stream(loop, frame, generated=True, fetching=tuple(fetching), counted=counted, source=header)
        return Batches(made, stream, (head, *fetching), tuple(rest))

    # -- the head of the body ----------

    def _fetching(self, body: list[Item]) -> list[Item]:
        """The statements at the head of the body up to the last one that fetches a batch or leaves the loop."""
        last = 0
        for n, item in enumerate(body):
            if not self._may_fetch(item):
                break
            if self._fetches(item):
                last = n + 1
        return body[:last]

    def _drawing(self, body: list[Item]) -> list[Item]:
        """Assignments at the head of the body that draw: they make the batch."""
        last = 0
        for n, item in enumerate(body):
            if not isinstance(item.stmt, ast.Assign) or not self._may_fetch(item):
                break
            if self.judge.of_item(item).draws:
                last = n + 1
        return body[:last]

    def _may_fetch(self, item: Item) -> bool:
        """A statement that has nothing to do with what is trained."""
        if item.frame is not self.nest.batch_frame or item.holes or item.synthetic or item.without:
            return False
        if isinstance(item.stmt, (ast.FunctionDef, ast.ClassDef)):
            return False
        if any(isinstance(f, _OPTIMIZING) for f in facts_of(item.stmt, item.frame, self.program)):
            return False
        trained = {*self.roles.trained, *self.roles.optimizers, *self.roles.schedulers}
        return not (self.judge.reads(item) | self.judge.changes(item)) & trained

    def _fetches(self, item: Item) -> bool:
        if exits_of(item.stmt):
            return True
        calls = [n for n in nodes_of(item.stmt) if isinstance(n, ast.Call)]
        return any(self.program.canonical(c.func, item.frame) == "next" for c in calls)

    # -- what cannot be carried ----------

    def _refuse_bars(self, header: Header) -> None:
        var = variable(header.iterable, header.source)
        places = self.roles.definitions.get(var, []) if var is not None else []
        made = [fact_of(p.value, p.frame, self.program) for p in places if isinstance(p.value, ast.Call)]
        if any(isinstance(fact, F.Bar) for fact in made):
            bar = ast.unparse(header.iterable)
            raise Refuse(
                "TL702",
                f"Which bar '{bar}' is, or what it stands at, decides more than what is shown.",
                header.stmt,
                "Loop over the DataLoader under one bar, count with enumerate(), and compute its text before that.",
            )

    def _refuse_changed(self, header: Header, body: list[Item]) -> None:
        """A Trainer hands out copies of the containers in a batch: what changes one in place changes another one."""
        given = frozenset(header.frame.resolve(n.id) for n in walk(header.target) if isinstance(n, ast.Name))
        for item in body:
            if changes_in_place(item, self.judge) & given:
                raise Refuse(
                    "TL702",
                    "The loop changes in place what it is given, of which a Trainer hands out a copy.",
                    header.stmt,
                    "Change a copy of it, or make a torch.utils.data.DataLoader before the loop and iterate that.",
                    claim=_claim(header, self.nest, self.roles, self.program, self.judge),
                )


def word_for(header: Header, nest: Nest, roles: Roles, program: Program, judge: Judge) -> Promise | None:
    """The author's word that a loader which code out of sight has made is a plain one; None where nobody gave it.

    Such a loader may go to the Trainer as it is. Without the word it is a stream like any other, which is as exact.
    """
    claim = _claim(header, nest, roles, program, judge)
    return promise_of("TL702", header.stmt, claim, program.script) if claim else None


def _claim(header: Header, nest: Nest, roles: Roles, program: Program, judge: Judge) -> str:
    """What the author may vouch for; empty where the loader is made in sight, or in the loops."""
    var = variable(header.iterable, header.source)
    if var is None or makers_of(header.iterable, header.source, roles, program):
        return ""
    if var in flow_over(nest_items(nest)).may or var not in unknown_iterables(roles, program, judge):
        return ""
    return f"'{ast.unparse(header.iterable)}' is {PLAIN_LOADER}"


def _bound_by(header: Header) -> Item:
    """What a loop's header does before each batch, as an assignment."""
    names: list[ast.expr] = [ast.Name(n, ast.Store()) for n in _target_names(header)]
    value = header.iterable
    assign = ast.copy_location(ast.Assign([ast.Tuple(names, ast.Store())], value), header.stmt)
    ast.fix_missing_locations(assign)
    return Item(assign, header.frame, (Hole("__argument__", value, value, header.source),), synthetic=True)


def _target_names(header: Header | None) -> list[str]:
    if header is None:
        return []
    names = [n.id for n in walk(header.target) if isinstance(n, ast.Name)]
    return [*([header.index] if header.index is not None else []), *names]


def _in_order(header: Header | None, fetching: list[Item]) -> list[Var]:
    """What the header and the statements bind, in the order in which they do."""
    found: dict[Var, None] = {}
    if header is not None:
        found |= {header.frame.resolve(n): None for n in _target_names(header)}
    for item in fetching:
        names = [n for n in nodes_of(item.stmt) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        names.sort(key=lambda n: (n.lineno, n.col_offset))
        found |= {item.frame.resolve(n.id): None for n in names}
    return list(found)
