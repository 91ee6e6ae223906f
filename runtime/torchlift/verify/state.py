"""What differs from step to step: losses, gradients, learning rates, parameters, other state and random state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest

from torchlift.verify.records import Event, Site, Step, Trace
from torchlift.verify.verdict import Difference, Side

_NAMES = {"torch": "torch", "python": "Python's", "numpy": "numpy's", "cuda": "the GPU's"}


def differing_steps(before: Trace, after: Trace, scope: int | None) -> Iterator[Difference]:
    """The differences of the first step that has any, then that of the number of steps."""
    limit = min(len(before.steps), len(after.steps)) if scope is None else scope
    losses = _losses(before), _losses(after)
    for index in range(min(limit, len(before.steps), len(after.steps))):
        found = list(_at_step(before, after, index, losses))
        if found:
            yield from found
            return
    if scope is None:
        trailing = [side.get(len(run.steps), []) for side, run in zip(losses, (before, after))]
        if len(before.steps) == len(after.steps):
            yield from _losses_differ(len(before.steps), *trailing)
    yield from _number_of_steps(before, after, scope)


def differing_end(before: Trace, after: Trace) -> Iterator[Difference]:
    """What is left when both came to their own end: the outcome and the final weights."""
    if (before.outcome.kind, before.outcome.code, before.outcome.error) != (
        after.outcome.kind,
        after.outcome.code,
        after.outcome.error,
    ):
        sides = [Side(str(run.outcome), run.outcome.site) for run in (before, after)]
        yield Difference("outcome", None, "how the runs end", *sides)
    found = {weights.optimizer: weights for weights in after.weights}
    for ours in before.weights:
        theirs = found.get(ours.optimizer)
        if theirs is not None and ours.final != theirs.final:
            what = f"{_which(ours.final, theirs.final, ours.labels)} of optimizer {ours.optimizer + 1} in the end"
            sides = [Side(digest) for digest in _first_pair(ours.final, theirs.final)]
            yield Difference("final parameter", None, what, *sides)


def _number_of_steps(before: Trace, after: Trace, scope: int | None) -> Iterator[Difference]:
    counts = len(before.steps), len(after.steps)
    if scope is None:
        differ = counts[0] != counts[1]
    else:  # a run that came to its end, and one that went further
        differ = any(
            run.outcome.complete and (len(run.steps) < scope or (len(run.steps) == scope and goes_on(other)))
            for run, other in ((before, after), (after, before))
        )
    if differ:
        at = min(counts)
        sides = [
            Side(_made(run), site) for run, site in zip((before, after), (_site_of(before, at), _site_of(after, at)))
        ]
        yield Difference("number of steps", at, "the number of optimizer steps", *sides)


def _made(run: Trace) -> str:
    steps = f"{len(run.steps)} step{'s' * (len(run.steps) != 1)}"
    if not run.outcome.complete:
        return f"{steps} and more"
    return steps if run.outcome.kind == "finished" else f"{steps}, then {run.outcome}"


def goes_on(run: Trace) -> bool:
    return run.outcome.kind == "bound"  # stopped because it was about to make another step


def _site_of(run: Trace, index: int) -> Site | None:
    return run.events[run.steps[index].event].site if index < len(run.steps) else None


def _losses(run: Trace) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    for event in run.of("backward"):
        found.setdefault(event.step, []).append(event)
    return found


def _at_step(
    before: Trace, after: Trace, index: int, losses: tuple[dict[int, list[Event]], dict[int, list[Event]]]
) -> Iterator[Difference]:
    ours, theirs = before.steps[index], after.steps[index]
    sites = [_site_of(before, index), _site_of(after, index)]

    def difference(category: str, what: str, left: str, right: str) -> Difference:
        return Difference(category, index, what, Side(left, sites[0]), Side(right, sites[1]))

    yield from _losses_differ(index, losses[0].get(index, []), losses[1].get(index, []))
    if ours.optimizer != theirs.optimizer:
        numbers = [f"optimizer {step.optimizer + 1}" for step in (ours, theirs)]
        yield difference("optimizer", "which optimizer steps", *numbers)
        return
    labels = next((w.labels for w in before.weights if w.optimizer == ours.optimizer), ())
    if ours.lrs != theirs.lrs:
        rates = [", ".join(f"{float.fromhex(rate)!r}" for rate in step.lrs) for step in (ours, theirs)]
        yield difference("learning rate", "the learning rate", *rates)
    if len(ours.params) != len(theirs.params):
        numbers = [str(len(step.params)) for step in (ours, theirs)]
        yield difference("parameter", "the number of tensors in the optimizer", *numbers)
        return
    if ours.grads != theirs.grads:
        what = f"the gradient of {_which(ours.grads, theirs.grads, labels)}"
        yield difference("gradient", what, *_first_pair(ours.grads, theirs.grads))
    if ours.params != theirs.params:
        what = f"{_which(ours.params, theirs.params, labels)} after it"
        yield difference("parameter", what, *_first_pair(ours.params, theirs.params))
    yield from _rest_differs(ours, theirs, difference)
    for (name, left), (_, right) in zip(ours.rng, _aligned(ours.rng, theirs.rng)):
        if right and left != right:
            yield difference("random state", f"the random state ({_NAMES[name]}) after it", left, right)
            return


def _losses_differ(index: int, ours: list[Event], theirs: list[Event]) -> Iterator[Difference]:
    if len(ours) != len(theirs):
        sides = [Side(f"{len(side)} backward()", side[-1].site if side else None) for side in (ours, theirs)]
        yield Difference("number of losses", index, "the number of losses with backward()", *sides)
        return
    for left, right in zip(ours, theirs):
        if left.value != right.value:
            sides = [Side(_precise(event), event.site) for event in (left, right)]
            yield Difference("loss", index, "the loss", *sides)
            return


def _precise(event: Event) -> str:
    return repr(event.number)


def _rest_differs(
    ours: Step, theirs: Step, difference: Callable[[str, str, str, str], Difference]
) -> Iterator[Difference]:
    # AFTER may hold more: a wrapper, metrics, constants registered as buffers
    missing = Counter(ours.rest) - Counter(theirs.rest)
    if missing:
        name = min(missing)[0]
        others = sorted(leaf for leaf, _ in missing)
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        what = f"'{name}'{more}, a buffer or a parameter outside this optimizer,"
        values = [", ".join(digest for leaf, digest in step.rest if leaf == name) for step in (ours, theirs)]
        yield difference("other state", what, *values)


def _aligned(ours: tuple[tuple[str, str], ...], theirs: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    found = dict(theirs)
    return [(name, found.get(name, "")) for name, _ in ours]


def _first_pair(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, str]:
    return next((pair for pair in zip_longest(ours, theirs, fillvalue="") if pair[0] != pair[1]), ("", ""))


def _which(ours: tuple[str, ...], theirs: tuple[str, ...], labels: tuple[str, ...]) -> str:
    differing = [i for i, (left, right) in enumerate(zip_longest(ours, theirs)) if left != right]
    first = differing[0]
    name = labels[first] if first < len(labels) else "tensor"
    more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    return f"parameter {first + 1} ({name}){more}"
