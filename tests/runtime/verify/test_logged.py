"""A value logged under the name that is printed has to round to the printed digits."""

from __future__ import annotations

import pytest

from torchlift.verify.logged import agreements, agrees, labelled
from torchlift.verify.records import Event, Site, Trace


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.12345, "0.1234", True),
        (0.12345, "0.1235", True),
        (0.12345, "0.1236", False),
        (0.971, "97.1", True),
        (0.971, "97", True),
        (0.971, "98", False),
        (1.0, "1", True),
        (1234.5, "1.2345e3", True),
        (1234.5, "1.2346e3", False),
        (-0.5, "-0.5", True),
        (-0.5, "0.5", False),
    ],
)
def test_agrees(value: float, digits: str, expected: bool) -> None:
    assert agrees(value, digits) is expected


def test_labels_are_the_words_before_a_number() -> None:
    assert list(labelled("Epoch [3/10], Test set: Average loss: 0.25, accuracy=97.1%")) == [
        ("epoch", "3"),
        ("averageloss", "0.25"),
        ("accuracy", "97.1"),
    ]


def told(*events: tuple[str, str, float | None, int, str]) -> Trace:
    def event(kind: str, text: str, number: float | None, step: int, function: str) -> Event:
        site = Site("t.py", 1, "", function)
        return Event(kind, step, "" if kind == "print" else text, text, number, site=site)

    return Trace("t.py", tuple(event(*given) for given in events))


def test_one_function_that_logs_and_prints_the_same_name() -> None:
    good = agreements(told(("print", "test loss 0.25", None, 4, "f"), ("log", "test_loss", 0.2501, 4, "f")))
    assert (good.compared, good.contradictions) == (1, ())
    bad = agreements(told(("print", "test loss 0.25", None, 4, "f"), ("log", "test_loss", 0.26, 4, "f")))
    assert [(d.category, d.step) for d in bad.contradictions] == [("logged value", 4)]


@pytest.mark.parametrize(
    "events",
    [
        [("print", "loss 0.25", None, 4, "f"), ("log", "loss", 0.9, 4, "g")],
        [("print", "loss 0.25", None, 4, "f"), ("log", "loss", 0.9, 5, "f")],
        [("print", "loss 0.25", None, 4, "f"), ("log", "loss", 0.9, 4, "f"), ("log", "loss", 0.8, 4, "f")],
        [("print", "loss 0.25", None, 4, "f"), ("log", "val_loss", 0.9, 4, "f")],
    ],
)
def test_what_does_not_belong_together_is_left_alone(events: list[tuple[str, str, float | None, int, str]]) -> None:
    assert agreements(told(*events)).compared == 0
