"""The statement that a count starts from, where the Trainer counts."""

from __future__ import annotations

from torchlift_convert.planning.context import Context
from torchlift_convert.regions import Gone
from torchlift_convert.roles import assigned
from torchlift_convert.types import FateKind


def drop_counter(ctx: Context) -> None:
    """Drop ``epoch = 0`` in front of ``while epoch < 10:`` when nothing else reads it there."""
    count = ctx.nest.count
    if count is None or count.start not in ctx.pre or ctx.nest.repeated:
        return
    variables = {v for v, _ in assigned(count.start, ctx.home)}
    others = [*ctx.items([s for s in ctx.pre if s is not count.start]), *ctx.around.items]
    if not variables & ctx.pinned and not any(variables & ctx.judge.reads(i) for i in others):
        ctx.dropped[count.start] = Gone(FateKind.TRAINER, "Trainer: counts")
