"""What a traced run consists of: plain records, written by the traced process and read by the comparison.

A record holds digests instead of tensors, so a trace is small, can be kept as JSON and is compared without torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Site:
    """A line of the user's script or of a file beside it; `file` is relative to the folder that was copied."""

    file: str
    line: int
    text: str
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in program order.

    `kind` is one of iter, mode, zero_grad, backward, step, scheduler, print, save, scalar, log, write, own. A "write"
    is a file that the user's code opened for writing, or renamed (its value then says from what); an "own" is the same
    by a framework on its own account. `step` counts the optimizer steps completed before it. `value` is what is
    compared (a digest, or the text of a printed line); `number` is the same as a float where it is one (losses,
    scalars), for curves and messages. `rng` fingerprints torch's global random state at that moment.
    """

    kind: str
    step: int
    what: str = ""
    value: str = ""
    number: float | None = None
    rng: str = ""
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The state right after an optimizer's step; without any optimizer, at a `backward()` (see `Weights.cls`).

    `event` is the position of the step's own event. `params` and `grads` have one digest per tensor of the optimizer,
    in its order; a gradient that is None or all zero is "-". `rest` holds (leaf name, digest) of every other parameter
    and buffer of a live module, sorted. `evaluating` lists the leaf modules in eval mode, for explanations only.
    """

    index: int
    event: int
    optimizer: int
    lrs: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    grads: tuple[str, ...] = ()
    rest: tuple[tuple[str, str], ...] = ()
    rng: tuple[tuple[str, str], ...] = ()
    evaluating: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of one optimizer (numbered by first step) before its first step and when the script ended.

    `cls` is the optimizer's class, or "" for the leaf tensors below a hand-written update.
    """

    optimizer: int
    cls: str
    labels: tuple[str, ...] = ()
    initial: tuple[str, ...] = ()
    final: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file that the script wrote, changed or deleted (`digest` "deleted"); `text` only for text up to 1 MB."""

    path: str
    digest: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run ended: "finished" (with an exit code), "raised", "bound" (--steps), "timeout", "died" (by a signal),
    or "tracer": by an exception of the tracer itself, which is a bug of ours."""

    kind: str
    code: int = 0
    error: str = ""
    site: Site | None = None

    @property
    def complete(self) -> bool:
        """Whether the script came to its own end."""
        return self.kind not in ("bound", "timeout")

    def __str__(self) -> str:
        said = {
            "finished": "finished" if not self.code else f"exited with code {self.code}",
            "raised": f"raised {self.error}",
            "bound": "was stopped at the step limit",
            "timeout": "ran into the timeout",
            "tracer": f"met a bug in verify's own tracer: {self.error}",
            "died": f"was killed by signal {-self.code}",
        }
        return said[self.kind]


@dataclass(frozen=True, slots=True)
class Trace:
    """One run of one script."""

    script: str
    events: tuple[Event, ...] = ()
    steps: tuple[Step, ...] = ()
    weights: tuple[Weights, ...] = ()
    files: tuple[File, ...] = ()
    outcome: Outcome = Outcome("finished")
    around: tuple[str, ...] = ()  # lines on standard output that went around sys.stdout (C code, child processes)
    stderr: str = ""
    seconds: float = 0.0

    def of(self, kind: str) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.kind == kind)


def to_json(record: Any) -> Any:
    """Records as JSON values; a float that JSON has no word for becomes "nan", "inf" or "-inf"."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, tuple | list):
        return [to_json(item) for item in record]
    if isinstance(record, float) and not math.isfinite(record):
        return str(record)
    return record


def site_from(data: Mapping[str, Any] | None) -> Site | None:
    return None if data is None else Site(**data)


def event_from(data: Mapping[str, Any]) -> Event:
    fields = {**data, "site": site_from(data.get("site"))}
    if fields.get("number") is not None:
        fields["number"] = float(fields["number"])
    return Event(**fields)


def step_from(data: Mapping[str, Any]) -> Step:
    fields = {name: tuple(data[name]) for name in ("lrs", "params", "grads")}
    fields |= {name: tuple((a, b) for a, b in data[name]) for name in ("rest", "rng")}
    return Step(**{**data, **fields})


def weights_from(data: Mapping[str, Any]) -> Weights:
    return Weights(data["optimizer"], data["cls"], *(tuple(data[name]) for name in ("labels", "initial", "final")))


def outcome_from(data: Mapping[str, Any]) -> Outcome:
    return Outcome(data["kind"], data["code"], data["error"], site_from(data["site"]))


def trace_from(data: Mapping[str, Any]) -> Trace:
    """The inverse of `to_json` for a whole trace."""
    return Trace(
        script=data["script"],
        events=tuple(map(event_from, data["events"])),
        steps=tuple(map(step_from, data["steps"])),
        weights=tuple(map(weights_from, data["weights"])),
        files=tuple(File(**item) for item in data["files"]),
        outcome=outcome_from(data["outcome"]),
        around=tuple(data["around"]),
        stderr=data["stderr"],
        seconds=data["seconds"],
    )
