"""`trace`: run a script once, in a scratch copy of its folder, and return what happened."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torchlift.verify import contents, launch, scratch
from torchlift.verify.child import Job
from torchlift.verify.records import (
    Event,
    Outcome,
    Step,
    Trace,
    Weights,
    event_from,
    outcome_from,
    step_from,
    weights_from,
)

TARGETS = {"torchlift": "lightning", "lightning": "torchlift"}  # target -> the import that is replaced by it


@dataclass(frozen=True, slots=True)
class Run:
    """What to run, and how far.

    `root` is the folder that is copied and `folder` the working folder inside it; both hold in the copy as in the
    original. `steps` stops the script before optimizer step number steps + 1, `timeout` (seconds) ends it. `target`
    replaces the script's `import torchlift as L` by the other runtime's, in the copy.
    """

    script: Path
    root: Path
    folder: Path
    args: tuple[str, ...] = ()
    seed: int = 0
    steps: int | None = None
    timeout: float | None = None
    target: str | None = None
    linked: frozenset[Path] = field(default_factory=frozenset)
    called: str = ""  # what the copy is called; else as the root is


def trace(run: Run, launcher: launch.Launcher = launch.fresh, scratch_root: Path | None = None) -> Trace:
    """Run the script to its end, its step limit or the timeout.

    Raises `scratch.ScratchError` when its folder cannot be copied or a linked folder was written to. Two runs compare
    best with the same `scratch_root`: then both see the same absolute paths.
    """
    with tempfile.TemporaryDirectory(prefix=scratch.PREFIX, dir=scratch_root) as own:
        base = scratch_root or Path(own)
        copied = base / "folder" / (run.called or run.root.name or "root")
        try:
            scratch.copy(run.root, copied, run.linked)
            return _trace_in(run, copied, Path(own), launcher)
        finally:
            shutil.rmtree(base / "folder", ignore_errors=True)


def _trace_in(run: Run, copied: Path, own: Path, launcher: launch.Launcher) -> Trace:
    script = copied / run.script.relative_to(run.root)
    if run.target:
        _retarget(script, run.target)
    linked = {folder: contents.stamps(folder) for folder in run.linked}
    before = contents.stamps(copied)
    job = Job(
        script=str(script),
        shown=os.path.relpath(run.script, run.folder),
        args=run.args,
        original=str(run.root),
        folder=str(copied),
        trace=str(own / "trace.jsonl"),
        seed=run.seed,
        limit=run.steps,
    )
    job.write(str(own / "job.json"))
    out, err = own / "out", own / "err"
    folder = copied / run.folder.relative_to(run.root)
    status = launcher(launch.Launch(str(own / "job.json"), str(folder), str(out), str(err), run.timeout))
    for name, stamps in linked.items():
        if contents.stamps(name) != stamps:
            raise scratch.ScratchError(
                f"{run.script.name} wrote into {name}, which was linked and not copied. "
                "Remedy: leave out --link for it."
            )
    lines = _read(own / "trace.jsonl")
    return Trace(
        script=run.script.name,
        events=tuple(lines.events),
        steps=tuple(lines.steps),
        weights=tuple(lines.weights),
        files=contents.written(copied, before, *_writers(lines.events)),
        outcome=_outcome(status, lines.end),
        around=tuple(out.read_text(encoding="utf-8", errors="replace").splitlines()),
        stderr=err.read_text(encoding="utf-8", errors="replace"),
    )


def _writers(events: list[Event]) -> tuple[set[str], dict[str, str]]:
    """The files that a framework was the last to write; those that hold an object of torch.save, with its digest."""
    owned: dict[str, bool] = {}
    saved: dict[str, str] = {}
    for event in events:
        if event.kind not in ("save", "write", "own"):
            continue
        source = event.value.removeprefix("from ") if event.kind != "save" else ""
        content = event.value if event.kind == "save" else saved.pop(source, "")
        # a renamed file is still that of whoever wrote it
        owned[event.what] = owned.pop(source, event.kind == "own")
        if content:
            saved[event.what] = content
        else:
            saved.pop(event.what, None)
    return {path for path, framework in owned.items() if framework}, saved


def _outcome(status: int | None, end: Outcome | None) -> Outcome:
    if status is None:
        return Outcome("timeout")
    if end is not None and status >= 0:
        return end
    return Outcome("died", status) if status < 0 else Outcome("finished", status)


@dataclass(slots=True)
class _Lines:
    events: list[Event]
    steps: list[Step]
    weights: list[Weights]
    end: Outcome | None = None


def _read(path: Path) -> _Lines:
    lines = _Lines([], [], [])
    for kind, data in _records(path):
        if kind == "event":
            lines.events.append(event_from(data))
        elif kind == "step":
            lines.steps.append(step_from(data))
        elif kind == "weights":
            lines.weights.append(weights_from(data))
        else:
            lines.end = outcome_from(data)
    return lines


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    if not path.exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):  # the run was ended while it wrote this
                return
            yield from json.loads(line).items()


def _retarget(script: Path, target: str) -> None:
    """Point the copied script's runtime import at the other runtime. Raises ScratchError when it has none."""
    other = TARGETS[target]
    text = script.read_text(encoding="utf-8")
    if re.search(rf"^\s*(import|from)\s+{target}\b", text, re.M):
        return
    text, whole = re.subn(rf"^(\s*import\s+){other}\b(?=\s+as\b)", rf"\g<1>{target}", text, flags=re.M)
    text, parts = re.subn(
        rf"^(\s*from\s+){other}(\.pytorch)?(?=[.\s])",
        rf"\g<1>{target}{'.pytorch' if target == 'lightning' else ''}",
        text,
        flags=re.M,
    )
    if not whole and not parts:
        raise scratch.ScratchError(
            f"{script.name} does not import {other}, so it cannot be run on {target}. Remedy: leave out --target."
        )
    script.write_text(text, encoding="utf-8")
