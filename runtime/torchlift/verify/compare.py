"""`compare(before, after) -> Verdict`: pure, on two traces. Every value decides; the order of events only explains.

A plain loop and a Trainer do harmless things in another order (gradients cleared before or after the forward pass,
schedulers stepped before or after evaluation), so events are not compared with each other, but everything that they
lead to is: see docs/verify.md for the list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torchlift.verify.explain import causes
from torchlift.verify.logged import agreements
from torchlift.verify.records import Trace
from torchlift.verify.sequences import differing_around, differing_files, differing_sequences
from torchlift.verify.state import differing_end, differing_steps
from torchlift.verify.verdict import Answer, Counts, Difference, Verdict

# Of what differs at the same step, the first of these comes first: it is the nearest to the cause.
CATEGORIES = (
    "optimizer",
    "number of losses",
    "loss",
    "gradient",
    "learning rate",
    "parameter",
    "other state",
    "random state",
    "number of steps",
    "scalar",
    "saved object",
    "printed line",
    "logged value",
    "final parameter",
    "output",
    "file",
    "outcome",
)


def compare(before: Trace, after: Trace, names: tuple[str, str] = ("BEFORE", "AFTER")) -> Verdict:
    """Compare two runs over the whole, or over the steps that both are known to have completed with all that belongs
    to them: a run stopped before step N + 1 is compared over N steps, a run that ran into its timeout over one step
    less than it made, because what follows its last step may be missing. `names` are those of the runs in messages."""
    scope = scope_of(before, after)
    if sentence := _failed(before, names[0]) or _failed(after, names[1]):
        return Verdict(Answer.ERROR, sentence)
    found = sorted(_differences(before, after, scope), key=_place)
    differences = tuple({difference.category: difference for difference in reversed(found)}.values())[::-1]
    differences = tuple(sorted(differences, key=_place))
    counts = _counts(before, after, scope)
    if differences:
        first = differences[0]
        where = "" if first.step is None else f" at step {first.step + 1}"
        sentence = f"differs: {first.what}{where}"
        return Verdict(Answer.DIFFERS, sentence, counts, differences, causes(before, after, first))
    if sentence := _vacuous(before, counts):
        return Verdict(Answer.ERROR, sentence, counts)
    return Verdict(Answer.EXACT, _exact(before, after, scope, counts), counts, notes=_notes(before, after))


def scope_of(before: Trace, after: Trace) -> int | None:
    """The number of steps to compare; None for the whole runs."""
    known = []
    for run in (before, after):
        if run.outcome.kind == "bound":
            known.append(len(run.steps))
        elif run.outcome.kind == "timeout":
            known.append(max(len(run.steps) - 1, 0))
    return min(known, default=None)


def _differences(before: Trace, after: Trace, scope: int | None) -> Iterator[Difference]:
    yield from differing_steps(before, after, scope)
    yield from differing_sequences(before, after, scope)
    yield from differing_files(before, after, scope)
    if scope is None:
        yield from differing_around(before, after)
        yield from differing_end(before, after)
    yield from agreements(after).contradictions


def _place(difference: Difference) -> tuple[float, int]:
    step = math.inf if difference.step is None else difference.step
    return step, CATEGORIES.index(difference.category)


def _counts(before: Trace, after: Trace, scope: int | None) -> Counts:
    limit = len(before.steps) if scope is None else scope

    def number(kind: str) -> int:
        return sum(event.step < limit or scope is None for event in before.of(kind))

    return Counts(
        steps=min(len(before.steps), limit),
        losses=number("backward"),
        lines=number("print"),
        saves=number("save"),
        scalars=number("scalar"),
        files=len(before.files),
        logged=agreements(after).compared,
    )


def _failed(run: Trace, name: str) -> str:
    """A run that came to nothing, or through no fault of its own to an end: nothing can be said about it."""
    if run.outcome.kind == "tracer":
        return f"error: {name} {run.outcome}"
    if run.steps or run.of("backward"):
        return ""
    if run.outcome.kind == "raised":
        place = f" at {run.outcome.site}" if run.outcome.site else ""
        return f"error: {name} failed before it trained: {run.outcome.error}{place}"
    if run.outcome.kind == "died" or run.outcome.code:
        return f"error: {name} {run.outcome} before it trained"
    if run.outcome.kind == "timeout":
        return f"error: {name} made no step within the timeout; raise it with --timeout"
    return ""


def _vacuous(before: Trace, counts: Counts) -> str:
    """Why two equal runs prove nothing; "" when they do prove something."""
    if not before.steps and not before.of("backward"):
        return "error: no optimizer step and no backward() was seen, so there is nothing to compare"
    if not counts.steps:
        return "error: no step was completed by both within the limits; raise --timeout"
    for event in before.of("backward"):
        if event.number is not None and not math.isfinite(event.number):
            place = f" ({event.site})" if event.site else ""
            return f"error: the loss at step {event.step + 1} is {event.number}, in both runs{place}"
    if not _moves(before):
        return f"error: the weights never move over {_steps(counts.steps)}, so equal weights prove nothing"
    return ""


def _moves(run: Trace) -> bool:
    for weights in run.weights:
        states = {weights.initial, *(step.params for step in run.steps if step.optimizer == weights.optimizer)}
        if weights.final:
            states.add(weights.final)
        if len(states) > 1:
            return True
    return not run.weights and len({step.params for step in run.steps}) > 1  # ended without a last word


def _exact(before: Trace, after: Trace, scope: int | None, counts: Counts) -> str:
    kinds = {run.outcome.kind for run in (before, after)}
    if scope is None:
        return f"exact over the whole run: {_steps(counts.steps)}, {_summary(counts)}"
    if "timeout" in kinds:
        return f"exact over the {_steps(counts.steps)} that both completed within the timeout, {_summary(counts)}"
    return f"exact over {_steps(counts.steps)}, {_summary(counts)}"


def _steps(number: int) -> str:
    return f"{number} step{'s' * (number != 1)}"


def _summary(counts: Counts) -> str:
    names = {
        "losses": ("loss", "losses"),
        "lines": ("printed line", "printed lines"),
        "saves": ("saved object", "saved objects"),
        "scalars": ("written scalar", "written scalars"),
        "files": ("file", "files"),
        "logged": ("logged value that is also printed", "logged values that are also printed"),
    }
    parts = [f"{n} {names[key][n != 1]}" for key in names if (n := getattr(counts, key))]
    return ", ".join(parts)


def _notes(before: Trace, after: Trace) -> tuple[str, ...]:
    notes = []
    if before.outcome.kind in ("raised", "died") or before.outcome.code:
        notes.append(f"both runs {before.outcome} in the end")
    return tuple(notes)
