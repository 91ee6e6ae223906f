"""The comparison is pure: a trace equals itself, and a change of any one value is found where it is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlift.verify.compare import compare
from torchlift.verify.records import Event, File, Outcome, Site, Step, Trace, Weights, to_json, trace_from
from torchlift.verify.verdict import Answer

digests = st.text("0123456789abcdef", min_size=4, max_size=4)
finite = st.floats(allow_nan=False, allow_infinity=False)
sites = st.none() | st.builds(Site, st.just("train.py"), st.integers(1, 99), st.text(max_size=9))
PARAMETERS = 2
FINISHED, BOUND, TIMEOUT = Outcome("finished"), Outcome("bound"), Outcome("timeout")


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """A run of a few steps, each with a loss, and now and then a line, a saved object or a scalar."""
    events: list[Event] = []
    steps: list[Step] = []
    for index in range(draw(st.integers(2, 5))):
        events.append(Event("backward", index, "", draw(digests), draw(finite), draw(digests), draw(sites)))
        events.append(Event("step", index, "SGD", "", None, draw(digests), draw(sites)))
        pair = st.tuples(*[digests] * PARAMETERS)
        rest = tuple(
            sorted(draw(st.lists(st.tuples(st.sampled_from(["weight", "running_mean"]), digests), max_size=3)))
        )
        rng = (("torch", draw(digests)), ("python", draw(digests)))
        steps.append(Step(index, len(events) - 1, 0, (draw(finite).hex(),), draw(pair), draw(pair), rest, rng))
        for kind in draw(st.lists(st.sampled_from(["print", "save", "scalar"]), max_size=3)):
            events.append(Event(kind, index + 1, draw(digests), draw(digests), None, draw(digests), draw(sites)))
    files = tuple(File(name, draw(digests)) for name in draw(st.sets(st.sampled_from("abc"))))
    return Trace(
        "train.py",
        tuple(events),
        tuple(steps),
        (Weights(0, "SGD", ("a", "b"), ("start", "start"), ("end", "end")),),
        files,
        around=tuple(draw(st.lists(digests, max_size=2))),
    )


@given(traces())
def test_a_trace_equals_itself(run: Trace) -> None:
    verdict = compare(run, run)
    assert verdict.answer is Answer.EXACT
    assert verdict.exit_code == 0
    assert verdict.counts.steps == len(run.steps)
    assert verdict.sentence.startswith(f"exact over the whole run: {len(run.steps)} steps")


@given(traces())
def test_json_keeps_everything(run: Trace) -> None:
    assert trace_from(json.loads(json.dumps(to_json(run)))) == run


def changed(values: tuple, at: int, new: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:at], new, *values[at + 1 :])


STEP_CHANGES = {
    "learning rate": lambda step: replace(step, lrs=("0x1.8p-3",) if step.lrs != ("0x1.8p-3",) else ("0x1p-3",)),
    "gradient": lambda step: replace(step, grads=changed(step.grads, 1, "?")),
    "parameter": lambda step: replace(step, params=changed(step.params, 1, "?")),
    "other state": lambda step: (
        replace(step, rest=changed(step.rest, 0, (step.rest[0][0], "?"))) if step.rest else None
    ),
    "random state": lambda step: replace(step, rng=changed(step.rng, 1, ("python", "?"))),
    "optimizer": lambda step: replace(step, optimizer=7),
}


@given(traces(), st.sampled_from(sorted(STEP_CHANGES)), st.data())
def test_a_changed_step_is_found_at_that_step(run: Trace, category: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(run.steps) - 1))
    step = STEP_CHANGES[category](run.steps[at])
    if step is None:
        return
    verdict = compare(run, replace(run, steps=changed(run.steps, at, step)))
    assert verdict.answer is Answer.DIFFERS
    assert verdict.exit_code == 1
    assert (verdict.differences[0].category, verdict.differences[0].step) == (category, at)


CATEGORY = {"backward": "loss", "print": "printed line", "save": "saved object", "scalar": "scalar"}


@given(traces(), st.data())
def test_a_changed_value_is_found_where_it_is(run: Trace, data: st.DataObject) -> None:
    at = data.draw(st.sampled_from([i for i, event in enumerate(run.events) if event.kind in CATEGORY]))
    event = run.events[at]
    verdict = compare(run, replace(run, events=changed(run.events, at, replace(event, value="?"))))
    assert verdict.answer is Answer.DIFFERS
    assert [(d.category, d.step) for d in verdict.differences] == [(CATEGORY[event.kind], event.step)]


@given(traces(), st.data())
def test_a_missing_or_an_extra_event_is_found(run: Trace, data: st.DataObject) -> None:
    chosen = [i for i, event in enumerate(run.events) if event.kind in ("print", "save", "scalar")]
    if not chosen:
        return
    at = data.draw(st.sampled_from(chosen))
    kept = tuple(replace(event, value=f"{i}") for i, event in enumerate(run.events))  # all unlike, so a shift shows
    whole = replace(run, events=kept)
    shorter = replace(run, events=kept[:at] + kept[at + 1 :], steps=_renumbered(run, at))
    for pair in ((whole, shorter), (shorter, whole)):
        verdict = compare(*pair)
        assert verdict.answer is Answer.DIFFERS
        assert verdict.differences[0].category == CATEGORY[run.events[at].kind]


def _renumbered(run: Trace, dropped: int) -> tuple[Step, ...]:
    return tuple(replace(step, event=step.event - (dropped < step.event)) for step in run.steps)


@given(traces())
def test_a_file_an_output_and_a_final_weight_are_found(run: Trace) -> None:
    changes = {
        "file": replace(run, files=(*run.files, File("d", "?"))),
        "output": replace(run, around=(*run.around, "?")),
        "final parameter": replace(run, weights=(replace(run.weights[0], final=("end", "?")),)),
        "outcome": replace(run, outcome=Outcome("raised", 1, "ValueError: no")),
    }
    for category, other in changes.items():
        verdict = compare(run, other)
        assert [difference.category for difference in verdict.differences] == [category]
        assert verdict.answer is Answer.DIFFERS


@given(traces())
def test_one_step_less_differs(run: Trace) -> None:
    shorter = replace(run, steps=run.steps[:-1])
    for pair in ((run, shorter), (shorter, run)):
        assert "number of steps" in {difference.category for difference in compare(*pair).differences}


@given(traces())
def test_more_state_in_after_is_no_difference(run: Trace) -> None:
    more = tuple(replace(step, rest=(*step.rest, ("extra", "?"))) for step in run.steps)
    assert compare(run, replace(run, steps=more)).answer is Answer.EXACT
    lacking = compare(replace(run, steps=more), run)
    assert lacking.differences[0].category == "other state"


def plain(steps: int, outcome: Outcome = FINISHED, lines: tuple[tuple[int, str], ...] = ()) -> Trace:
    """A run in which the line (n, text) is printed after n steps."""
    events: list[Event] = []
    made: list[Step] = []
    for index in range(steps + 1):
        events += [Event("print", index, value=text) for at, text in lines if at == index]
        if index < steps:
            events += [Event("backward", index, value=f"{index}", number=0.5), Event("step", index, "SGD")]
            made.append(Step(index, len(events) - 1, 0, params=(f"{index}",)))
    return Trace("train.py", tuple(events), tuple(made), (Weights(0, "SGD", ("w",), ("start",)),), outcome=outcome)


def test_bounded_runs_say_over_how_many_steps() -> None:
    assert compare(plain(3, BOUND), plain(3, BOUND)).sentence.startswith("exact over 3 steps")


def test_a_run_that_ended_is_compared_as_a_whole_despite_a_limit() -> None:
    assert compare(plain(3), plain(3)).sentence.startswith("exact over the whole run: 3 steps")


@pytest.mark.parametrize("steps", [2, 3])
def test_a_run_that_ends_where_the_other_goes_on_differs(steps: int) -> None:
    verdict = compare(plain(steps), plain(3, BOUND))
    assert verdict.differences[0].category == "number of steps"


def test_what_one_bounded_run_has_already_done_for_the_next_step_is_no_difference() -> None:
    early = plain(3, BOUND, ((1, "a"), (3, "b")))
    assert compare(plain(3, BOUND, ((1, "a"),)), early).answer is Answer.EXACT
    assert compare(plain(3, BOUND), early).answer is Answer.DIFFERS


def test_a_timeout_counts_one_step_less_than_it_made() -> None:
    verdict = compare(plain(5, TIMEOUT), plain(4, BOUND))
    assert verdict.answer is Answer.EXACT
    assert "exact over the 4 steps that both completed within the timeout" in verdict.sentence
    assert verdict.counts.steps == 4


def test_a_timeout_before_the_second_step_proves_nothing() -> None:
    verdict = compare(plain(1, TIMEOUT), plain(1, TIMEOUT))
    assert (verdict.answer, verdict.exit_code) == (Answer.ERROR, 2)


def with_loss(number: float) -> Trace:
    run = plain(3)
    events = tuple(replace(event, number=number) if event.kind == "backward" else event for event in run.events)
    return replace(run, events=events)


@pytest.mark.parametrize(
    ("run", "word"),
    [
        (Trace("train.py"), "no optimizer step"),
        (with_loss(float("nan")), "nan"),
        (with_loss(float("inf")), "inf"),
        (replace(plain(3), steps=tuple(replace(s, params=("start",)) for s in plain(3).steps)), "never move"),
        (Trace("train.py", outcome=Outcome("raised", 1, "NameError: x")), "NameError"),
        (Trace("train.py", outcome=Outcome("died", -9)), "signal 9"),
        (replace(plain(3), outcome=Outcome("tracer", 1, "KeyError: 1")), "tracer"),
    ],
)
def test_what_proves_nothing_is_an_error_and_never_exact(run: Trace, word: str) -> None:
    verdict = compare(run, run)
    assert (verdict.answer, verdict.exit_code) == (Answer.ERROR, 2)
    assert word in verdict.sentence


def test_both_ending_alike_in_an_exception_is_noted() -> None:
    run = plain(3, Outcome("raised", 1, "RuntimeError: display"))
    verdict = compare(run, run)
    assert verdict.answer is Answer.EXACT
    assert "RuntimeError: display" in verdict.notes[0]


def test_durations_do_not_differ_and_numbers_do() -> None:
    def line(text: str) -> Trace:
        return plain(3, lines=((1, text),))

    assert compare(line("loss 0.5  1.2s"), line("loss 0.5 13.2s")).answer is Answer.EXACT
    verdict = compare(line("loss 0.5  1.2s"), line("loss 0.6  1.2s"))
    assert verdict.differences[0].before.text == "'loss 0.5  1.2s'"


def test_text_files_may_carry_clocks_and_names_too() -> None:
    def wrote(name: str, text: str) -> Trace:
        return replace(plain(3), files=(File(name, text, text),))

    one = wrote("log-2024-11-22_22-14-10.txt", "2024-11-22 22:14:10,123 start\nloss 1\n")
    same = wrote("log-2025-01-02_03-04-05.txt", "2025-01-02 03:04:05,006 start\nloss 1\n")
    other = wrote("log-2025-01-02_03-04-05.txt", "2025-01-02 03:04:05,006 start\nloss 2\n")
    assert compare(one, same).answer is Answer.EXACT
    assert compare(one, other).differences[0].before.text == "line 2: 'loss 1'"


def test_an_unfinished_file_may_be_the_beginning_of_the_other() -> None:
    def wrote(text: str, outcome: Outcome) -> Trace:
        return replace(plain(3, outcome), files=(File("log.txt", text, text),))

    assert compare(wrote("a\nb\n", BOUND), wrote("a\n", BOUND)).answer is Answer.EXACT
    assert compare(wrote("a\nb\n", BOUND), wrote("a\nc\n", BOUND)).answer is Answer.DIFFERS
    assert compare(wrote("a\nb\n", Outcome("finished")), wrote("a\n", Outcome("finished"))).answer is Answer.DIFFERS


def explained(kinds: list[str], rng: str = "r", evaluating: str = "") -> Trace:
    """One equal step, then one whose events are these, and whose loss is as different as `rng`."""
    first = plain(1)
    events = [*first.events, *(Event(kind, 1, rng=rng, site=Site("t.py", 9, kind)) for kind in kinds)]
    events.append(Event("backward", 1, value=repr((kinds, rng, evaluating)), number=0.5, rng=rng))
    events.append(Event("step", 1, "SGD", rng=rng))
    step = Step(1, len(events) - 1, 0, params=("1",), evaluating=evaluating)
    return replace(first, events=tuple(events), steps=(*first.steps, step))


@pytest.mark.parametrize(
    ("other", "category"),
    [
        (explained([]), "zero_grad"),
        (explained(["zero_grad", "iter"]), "iter"),
        (explained(["zero_grad", "scheduler"]), "scheduler"),
        (explained(["zero_grad"], rng="s"), "random draw"),
        (explained(["zero_grad"], evaluating="Dropout x1"), "mode"),
    ],
)
def test_the_first_difference_is_explained_by_the_event_that_differs(other: Trace, category: str) -> None:
    verdict = compare(explained(["zero_grad"]), other)
    assert (verdict.differences[0].category, verdict.differences[0].step) == ("loss", 1)
    assert category in [cause.category for cause in verdict.causes]


def test_the_order_of_events_is_no_difference() -> None:
    run = plain(3)
    cleared = replace(
        run,
        events=tuple(
            dataclasses.replace(event) for pair in run.events for event in (pair, Event("mode", pair.step, "eval()"))
        ),
        steps=tuple(replace(step, event=2 * step.event) for step in run.steps),
    )
    assert compare(run, cleared).answer is Answer.EXACT
