"""The trace of a running script, written line by line, so that a killed run leaves what it had reached.

One JSON object a line: {"event": ...}, {"step": ...}, {"weights": ...} and last {"end": the outcome}.
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import random
import sys
from dataclasses import replace
from typing import Any, NoReturn

import torch

from torchlift.verify import digest
from torchlift.verify.live import LiveModules
from torchlift.verify.origin import Origin
from torchlift.verify.records import Event, Outcome, Site, Step, Weights, to_json

BY_HAND = -1  # the optimizer's number of a weight update without any torch optimizer


class Stream:
    """Counts events and steps, and writes them down. Everything happens in the process that made it: in a forked
    child (a DataLoader's worker) `active` is false and nothing is recorded."""

    def __init__(self, path: str, origin: Origin, modules: LiveModules, limit: int | None) -> None:
        self.origin = origin
        self.modules = modules
        self.limit = limit
        self.steps = 0
        self.events = 0
        # by line: a run that is ended loses nothing that it has seen
        self._file = open(path, "w", buffering=1, encoding="utf-8")  # noqa: SIM115 (lives as long as the process)
        self._process = os.getpid()
        self._tensors: dict[int, list[torch.Tensor]] = {}
        self._weights: dict[int, Weights] = {}
        self._busy = False
        self._ended = False

    @property
    def active(self) -> bool:
        return os.getpid() == self._process and not self._busy and not self._ended

    def event(
        self, kind: str, what: str = "", value: str = "", number: float | None = None, site: Site | None = None
    ) -> None:
        rng = digest.short(torch.get_rng_state().numpy().data)
        self._write("event", Event(kind, self.steps, what, value, number, rng, site or self.origin.site()))
        self.events += 1

    def at_limit(self) -> bool:
        return self.limit is not None and self.steps >= self.limit

    def first_step(self, number: int, cls: str, tensors: list[torch.Tensor]) -> None:
        """Before the first step of an optimizer: remember its tensors, so that they can be looked at in the end."""
        self._tensors[number] = tensors
        labels = self.modules.labels(tensors)
        self._weights[number] = Weights(number, cls, labels, tuple(map(digest.of_tensor, tensors)))

    def step(self, number: int, cls: str, lrs: list[Any], tensors: list[torch.Tensor]) -> None:
        """After a step: everything that the next step depends on."""
        self.event("step", cls)
        params = tuple(map(digest.of_tensor, tensors))
        grads = tuple(digest.of_gradient(tensor.grad) for tensor in tensors)
        rest = self.modules.rest({id(tensor) for tensor in tensors})
        rates = tuple(float(rate).hex() for rate in lrs)
        evaluating = self.modules.evaluating()
        record = Step(self.steps, self.events - 1, number, rates, params, grads, rest, random_states(), evaluating)
        self._tensors[number] = tensors
        self._write("step", record)
        self.steps += 1

    def stop(self) -> NoReturn:
        """End the process at the step limit, with everything on disk that the script has written so far."""
        self.end(Outcome("bound"))
        flush_open_files()
        os._exit(0)

    def end(self, outcome: Outcome) -> None:
        if not self.active:
            return
        for number, tensors in self._tensors.items():
            final = tuple(map(digest.of_tensor, tensors))
            self._write("weights", replace(self._weights[number], final=final))
        self._write("end", outcome)
        self._ended = True

    def _write(self, kind: str, record: Any) -> None:
        self._busy = True
        try:
            self._file.write(json.dumps({kind: to_json(record)}) + "\n")
        finally:
            self._busy = False


def random_states() -> tuple[tuple[str, str], ...]:
    """Digests of the global random states that training code draws from."""
    states = [("torch", digest.short(torch.get_rng_state().numpy().data))]
    _, words, gauss = random.getstate()
    states.append(("python", digest.short(repr((words, gauss)).encode())))
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        _, keys, *rest = numpy.random.get_state()
        states.append(("numpy", hashlib.sha256(keys.tobytes() + repr(rest).encode()).hexdigest()[: digest.LENGTH]))
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        cuda = b"".join(state.numpy().tobytes() for state in torch.cuda.get_rng_state_all())
        states.append(("cuda", digest.short(cuda)))
    return tuple(states)


def flush_open_files() -> None:
    """Flush every file that the script holds open, so that what it wrote can be compared.

    For a process that ends without the interpreter's own clean-up.
    """
    for found in gc.get_objects():
        if isinstance(found, io.TextIOBase | io.BufferedWriter | io.BufferedRandom):
            try:
                if not found.closed and found.writable():
                    found.flush()
            except (ValueError, OSError):
                continue  # detached or broken: nothing of it can be on disk
