"""Does a value given to `self.log` agree with the number that the script prints under the same name?

The names are the same when their letters and digits are: `self.log("test_loss", ...)` and `print("Test loss: 0.31")`.
The two belong together when one function of the script does both, each once, between the same two optimizer steps: a
loss that is logged for each batch is not the mean that is printed for the epoch. They agree when the logged value, or a
hundred times it, rounds to the printed digits.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from torchlift.verify.records import Event, Trace
from torchlift.verify.verdict import Difference, Side

T = TypeVar("T")
_LABELLED = re.compile(r"([A-Za-z][A-Za-z0-9_/\- ]*?)[\s:=\[(]*(?<![\w.])(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])")


@dataclass(frozen=True, slots=True)
class Agreements:
    compared: int
    contradictions: tuple[Difference, ...]


def agreements(run: Trace) -> Agreements:
    """What the run logs and prints under the same name at the same step; the first contradiction, if any."""
    logged = _grouped((plain(event.what), event, event.number) for event in run.of("log") if event.number is not None)
    names = {name for name, _, _ in logged}
    printed = _grouped(
        (name, event, digits) for event in run.of("print") for name, digits in labelled(event.value) if name in names
    )
    compared, contradictions = 0, []
    for key in logged.keys() & printed.keys():
        if len(logged[key]) != 1 or len(printed[key]) != 1:
            continue
        (log, value), (line, digits) = logged[key][0], printed[key][0]
        compared += 1
        if not agrees(value, digits):
            sides = Side(repr(line.value), line.site), Side(f"self.log({log.what!r}, {value!r})", log.site)
            contradictions.append(
                Difference("logged value", log.step, f"{log.what}, as AFTER prints and logs it,", *sides)
            )
    contradictions.sort(key=lambda difference: (difference.step or 0, difference.what))
    return Agreements(compared, tuple(contradictions[:1]))


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def labelled(line: str) -> Iterator[tuple[str, str]]:
    """(plain name, digits) for each number on the line with words right before it.

    >>> list(labelled("epoch 3: Test loss 0.25, accuracy=97.1%"))
    [('epoch', '3'), ('testloss', '0.25'), ('accuracy', '97.1')]
    """
    for found in _LABELLED.finditer(line):
        yield plain(found[1]), found[2]


def agrees(value: float, digits: str) -> bool:
    """Whether the value, or its percentage, rounds to the printed digits (with the slack of a float32)."""
    mantissa, _, exponent = digits.lower().partition("e")
    places = len(mantissa.partition(".")[2]) - int(exponent or 0)
    half_unit = 0.5 * 10.0**-places
    return any(
        abs(scaled - float(digits)) <= half_unit * 1.000001 + abs(scaled) * 1e-6 for scaled in (value, 100 * value)
    )


def _grouped(found: Iterator[tuple[str, Event, T]]) -> dict[tuple[str, int, str], list[tuple[Event, T]]]:
    groups: dict[tuple[str, int, str], list[tuple[Event, T]]] = defaultdict(list)
    for name, event, value in found:
        if event.site is not None:
            groups[name, event.step, event.site.function].append((event, value))
    return groups
