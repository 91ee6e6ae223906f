"""``optimizer.step(closure)``: the closure's body is what training_step does, once per evaluation.

What stands before it in the batch runs once, in ``on_train_batch_start``; what stands after it, in
``on_train_batch_end``.
"""

from __future__ import annotations

import ast

from torchlift_convert import facts as F
from torchlift_convert.definitions import add_definitions
from torchlift_convert.kept import walk
from torchlift_convert.names import declared_outer
from torchlift_convert.program import Frame, Item, Var
from torchlift_convert.regions import (
    BACKWARD,
    OPT_STEP,
    ZERO_GRAD,
    Gone,
    Header,
    NotAutomatic,
    Region,
    Regions,
    call_fact,
)
from torchlift_convert.roles import variable
from torchlift_convert.stepping import Stepping
from torchlift_convert.syntax import exits_of
from torchlift_convert.types import FateKind, Optimization


def closure_regions(stepping: Stepping, body: list[Item], header: Header | None) -> Regions | None:
    """The regions of a batch that hands its optimizer a closure; None when it does not, or not in a known shape."""
    found = _closure(stepping, body)
    if found is None:
        return None
    at, function = found
    early, late = body[: at - 1], body[at + 1 :]
    frame = Frame(function, body[at].frame)
    inside = [Item(s, frame) for s in function.body if not isinstance(s, (ast.Global, ast.Nonlocal))]
    optimizing = [*inside[:-1], body[at]]  # as if the step stood behind the backward, in one straight body
    try:
        marks = stepping.marks(optimizing, closure=True)
    except NotAutomatic:
        return None
    returned = inside[-1].stmt
    if (
        not isinstance(returned, ast.Return)
        or returned.value is None
        or ast.dump(returned.value) != ast.dump(marks.loss)
    ):
        return None
    between = optimizing[marks.backward + 1 : marks.step]
    if marks.scaled or marks.zero > marks.backward or between or any(exits_of(i.stmt) for i in inside):
        return None
    judge, batch = stepping.judge, _batch_names(header)
    if any(judge.reads(i) & batch or exits_of(i.shape) for i in early) or (early and declared_outer(function)):
        return None
    add_definitions(stepping.roles.definitions, frame)
    for index, fate in ((marks.zero, ZERO_GRAD), (marks.backward, BACKWARD), (marks.step, OPT_STEP)):
        stepping.gone[optimizing[index].stmt] = fate
    stepping.gone[function] = Gone(FateKind.MERGED, "training_step: the optimizer calls it as its closure")
    kept = [i for n, i in enumerate(optimizing) if n not in (marks.zero, marks.backward, marks.step)]
    leaving = any(isinstance(e, ast.Break) for i in late for e in exits_of(i.shape))
    return Regions(
        Optimization.AUTOMATIC,
        {Region.BATCH_START: tuple(early), Region.STEP: tuple(kept), Region.BATCH_END: tuple(late)},
        header,
        loss=(marks.loss, frame),
        stops=header is not None and leaving,
    )


def _closure(stepping: Stepping, body: list[Item]) -> tuple[int, ast.FunctionDef] | None:
    """Where the one ``optimizer.step(closure)`` stands, with the function defined right before it."""
    optimizers = stepping.roles.optimizers
    if len(optimizers) != 1:
        return None
    for at, item in enumerate(body):
        fact = call_fact(item, stepping.program)
        if not isinstance(fact, F.Step) or variable(fact.receiver, item.frame) not in optimizers or at == 0:
            continue
        function = body[at - 1].stmt
        match fact.node.args:
            case [ast.Name(id=name)] if isinstance(function, ast.FunctionDef) and function.name == name:
                return at, function
    return None


def _batch_names(header: Header | None) -> frozenset[Var]:
    """The parts of the batch that a loop header binds, its counter aside."""
    if header is None:
        return frozenset()
    names = {n.id for n in walk(header.target) if isinstance(n, ast.Name)}
    return frozenset(header.frame.resolve(n) for n in names)
