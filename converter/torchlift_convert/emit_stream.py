"""Write where the batches of a stream come from: ``train_dataloader``, and the generator that it hands over."""

from __future__ import annotations

import ast

import libcst as cst

from torchlift_convert.blocks import Block, Statement, function
from torchlift_convert.environment import Environment
from torchlift_convert.kept import walk
from torchlift_convert.plan import Plan
from torchlift_convert.regions import Header, Region, Stream
from torchlift_convert.remarks import Remarks
from torchlift_convert.rewrite import Edits, Origins, source_of, unbracketed

STREAM = '''class Batches:
    """What a loop goes over, made anew for each epoch at its first batch; it ends early when told to stop.

    How many batches there are shows at their end: the length is a bound. Without one, a Trainer would fetch ahead.
    """

    def __init__(self, make):
        self.make = make
        self.stopped = False

    def __len__(self):
        return 2**31 - 1

    def __iter__(self):
        self.stopped = False
        for batch in self.make():
            yield batch
            if self.stopped:
                return
'''


BATCHES = '''class Batches:
    """The batches of a loader. Its iterator is made at the first batch, and it ends early when told to stop."""

    def __init__(self, loader):
        self.loader = loader
        self.stopped = False

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        self.stopped = False
        for batch in self.loader:
            yield batch
            if self.stopped:
                return
'''


def written_wrapper(plan: Plan) -> Statement:
    """The class around the batches."""
    text = STREAM if plan.regions.stream is not None else BATCHES
    made = cst.parse_statement(text.replace("class Batches:", f"class {plan.wrapper}:"))
    assert isinstance(made, cst.BaseCompoundStatement)
    return made


class StreamWriter:
    """Writes the stream of one class, in the names of a place in it."""

    def __init__(self, plan: Plan, origins: Origins, remarks: Remarks, env: Environment, owner: str) -> None:
        self.plan, self.origins, self.remarks, self.env, self.owner = plan, origins, remarks, env, owner

    def methods(self) -> list[Statement]:
        """``train_dataloader``, and the generator where there is one; nothing without a stream."""
        stream = self.plan.regions.stream
        if stream is None:
            return []
        block = self._block("train_dataloader")
        if stream.generated:
            block.line(f"return {self.plan.wrapper}(self.{self.plan.generator})")
            return [function("train_dataloader", (), block), self._generator(stream)]
        header = self.plan.regions.batches
        assert header is not None
        block.line(f"return {self.plan.wrapper}(lambda: {source_of(header.iterable, header.source, self.env)})")
        return [function("train_dataloader", (), block)]

    def _block(self, method: str) -> Block:
        return Block(self.plan.program.script, self.origins, f"{self.owner}.{method}")

    def _generator(self, stream: Stream) -> cst.FunctionDef:
        plan, block, inside = self.plan, self._block(self.plan.generator), self._block(self.plan.generator)
        bound = sorted(v.name for v in plan.storage.pinned if v in plan.storage.flows[Region.FETCH].may)
        if bound:
            block.line(f"global {', '.join(bound)}")
        for item in stream.fetching:
            self.remarks.leave_before(inside, item)
            inside.carry(item, self.env, Edits())
        inside.line(f"yield {self._given()}")
        loop = cst.parse_statement(f"{self._head(stream)}:\n    pass\n")
        assert isinstance(loop, (cst.For, cst.While))
        block.add(loop.with_changes(body=inside.block()))
        return function(plan.generator, (), block)

    def _head(self, stream: Stream) -> str:
        if isinstance(stream.loop, ast.While):
            return f"while {source_of(stream.loop.test, stream.frame, self.env)}"
        header = stream.source
        assert header is not None
        target, iterable = self._target(header), source_of(header.iterable, header.source, self.env)
        if stream.counted is None:
            return f"for {target} in {iterable}"
        index = self.env.name(stream.frame, stream.counted) or stream.counted
        target = f"({target})" if isinstance(header.target, ast.Tuple) else target
        start = f", {header.start}" if header.start else ""
        return f"for {index}, {target} in enumerate({iterable}{start})"

    def _target(self, header: Header) -> str:
        return unbracketed(source_of(header.target, header.frame, self.env))

    def _given(self) -> str:
        """What the step takes: a stream without data gives a number, for a Trainer passes over batches of None."""
        header = self.plan.regions.batches
        assert header is not None
        names = [n.id for n in walk(header.target) if isinstance(n, ast.Name)]
        if not names:
            return "0  # the step finds its data itself"
        return ", ".join(self.env.name(header.frame, n) or n for n in names)
