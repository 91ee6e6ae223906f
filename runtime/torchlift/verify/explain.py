"""Why the first differing step differs: what happened since the step before, in both runs, and where in the code."""

from __future__ import annotations

from collections.abc import Iterator

from torchlift.verify.records import Event, Trace
from torchlift.verify.verdict import Difference, Side

# Called a different number of times since the last step: worth a word, the likeliest cause first.
_COUNTED = {
    "iter": "an iterator over a loader is made",
    "backward": "backward() is called",
    "scheduler": "a scheduler is stepped",
}
_NUMERIC = {
    "number of losses",
    "loss",
    "gradient",
    "learning rate",
    "parameter",
    "other state",
    "random state",
    "optimizer",
}


def causes(before: Trace, after: Trace, first: Difference) -> tuple[Difference, ...]:
    """The events that differ between the last equal step and the first that is not; empty where none explains it."""
    if first.step is None or first.category not in _NUMERIC:
        return ()
    return tuple(_causes(before, after, first.step))


def _causes(before: Trace, after: Trace, step: int) -> Iterator[Difference]:
    ours, theirs = _window(before, step), _window(after, step)
    yield from _modes(before, after, step)
    yield from _clearing(ours, theirs, step)
    for kind, said in _COUNTED.items():
        left, right = _of(ours, kind), _of(theirs, kind)
        if len(left) != len(right):
            yield Difference(kind, step, said, _times(left), _times(right))
    yield from _draws(ours, theirs, step)


def _window(run: Trace, step: int) -> list[Event]:
    """The events after step `step` - 1 (or the start), up to and with step `step`."""
    return [event for event in run.events if event.step == step]


def _of(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event.kind == kind]


def _times(events: list[Event]) -> Side:
    count = len(events)
    said = {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
    return Side(said, events[-1].site if events else None)


def _modes(before: Trace, after: Trace, step: int) -> Iterator[Difference]:
    if step >= min(len(before.steps), len(after.steps)):
        return
    states = [run.steps[step].evaluating for run in (before, after)]
    if states[0] != states[1]:
        switches = [[event for event in run.of("mode") if event.step <= step] for run in (before, after)]
        sides = [
            Side(state or "nothing", events[-1].site if events else None) for state, events in zip(states, switches)
        ]
        yield Difference("mode", step, "what is in eval mode", *sides)


def _clearing(ours: list[Event], theirs: list[Event], step: int) -> Iterator[Difference]:
    left, right = _of(ours, "zero_grad"), _of(theirs, "zero_grad")
    if bool(left) != bool(right):  # once or twice makes no difference
        yield Difference("zero_grad", step, "the gradients are cleared", _times(left), _times(right))


def _draws(ours: list[Event], theirs: list[Event], step: int) -> Iterator[Difference]:
    """The first pair of corresponding events with different random states: something was drawn before it."""
    kinds = ("iter", "backward", "step")
    left, right = ([event for event in side if event.kind in kinds] for side in (ours, theirs))
    for a, b in zip(left, right):
        if a.kind != b.kind:
            return
        if a.rng != b.rng:
            said = f"the random state at this {a.kind}"
            yield Difference("random draw", step, said, Side(a.rng, a.site), Side(b.rng, b.site))
            return
