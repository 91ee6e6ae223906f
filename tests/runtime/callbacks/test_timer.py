"""Timer: durations, clocks that stop and go on, and the end of a run whose time is up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from torchlift.callbacks import Timer, timer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    time = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(timer.time, "monotonic", lambda: time.now)
    return time


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("01:02:03:04", 93784.0), (timedelta(minutes=1), 60.0), ({"weeks": 1, "days": 1}, 691200.0), (None, None)],
)
def test_durations_are_read(duration: Any, seconds: float | None) -> None:
    assert Timer(duration).time_remaining() == seconds


@pytest.mark.parametrize(
    ("arguments", "message"), [(("1h",), "DD:HH:MM:SS"), ((None, "hour"), "Possible choices are: step, epoch")], ids=str
)
def test_what_cannot_be_read_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        Timer(*arguments)


def test_stages_are_timed_and_training_goes_on_after_a_restart(clock: SimpleNamespace) -> None:
    first = Timer("00:00:01:00")
    first.on_train_start(None, None)  # type: ignore[arg-type]
    clock.now += 20
    first.on_validation_start(None, None)  # type: ignore[arg-type]
    clock.now += 5
    first.on_validation_end(None, None)  # type: ignore[arg-type]
    state = first.state_dict()
    assert state["time_elapsed"] == {"train": 25, "sanity_check": 0, "validate": 5, "test": 0, "predict": 0}
    resumed = Timer("00:00:01:00")
    resumed.load_state_dict(state)
    clock.now += 1000  # while nothing ran
    resumed.on_train_start(None, None)  # type: ignore[arg-type]
    clock.now += 10
    assert (resumed.time_elapsed(), resumed.time_remaining()) == (35, 25)
    resumed.on_train_end(None, None)  # type: ignore[arg-type]
    clock.now += 10
    assert resumed.time_elapsed("train") == 35


@pytest.mark.parametrize(("interval", "steps"), [("step", 3), ("batch", 3), ("epoch", 4)])
def test_a_run_ends_when_its_time_is_up(
    harness: Any, kind: str, tmp_path: Path, clock: SimpleNamespace, interval: str, steps: int
) -> None:
    def tick(*_: Any) -> None:
        clock.now += 1

    watch = harness.callback_class(kind, "LambdaCallback")(on_train_batch_start=tick)
    limit = harness.callback_class(kind, "Timer")({"seconds": 3}, interval)
    trained = harness.run(kind, [watch, limit], tmp_path, max_epochs=3, module_options={"validates": False})
    assert trained.global_step == steps and trained.should_stop


def test_a_run_whose_time_was_up_before_does_not_train(harness: Any, kind: str, tmp_path: Path) -> None:
    limit = harness.callback_class(kind, "Timer")({"seconds": 3})
    limit.load_state_dict({"time_elapsed": {"train": 5.0}})
    trained = harness.run(kind, [limit], tmp_path, max_epochs=3)
    assert trained.should_stop and trained.global_step <= 4
