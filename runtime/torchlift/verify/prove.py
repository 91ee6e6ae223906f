"""`prove`: run BEFORE twice and AFTER once, and say whether they are equal."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torchlift.verify import launch, scratch
from torchlift.verify.compare import compare
from torchlift.verify.records import Trace
from torchlift.verify.run import Run, trace
from torchlift.verify.verdict import Answer, Verdict


@dataclass(frozen=True, slots=True)
class Limits:
    """`steps` optimizer steps and `timeout` seconds for each run; None for no limit."""

    steps: int | None = None
    timeout: float | None = 600.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict and the traces that it rests on; `after` is None where AFTER was not run."""

    verdict: Verdict
    before: Trace | None = None
    after: Trace | None = None


def plan(
    before: Path,
    after: Path,
    args: tuple[str, ...] = (),
    limits: Limits = Limits(),
    root: Path | None = None,
    links: tuple[Path, ...] = (),
    target: str | None = None,
    root_after: Path | None = None,
) -> tuple[Run, Run]:
    """The two runs. What is copied is `root`, or the folder of the script; the working folder is the current one where
    that lies inside, else the script's own. `root_after` is for an AFTER in a tree of its own: its run stands there
    where the first one stands in its tree."""
    first = _run(before, args, limits, root, links)
    if root_after is not None and root_after.resolve() != first.root:
        second = _run(after, args, limits, root_after, links)
        folder = second.root / first.folder.relative_to(first.root)
        return first, replace(second, folder=folder, called=first.root.name, target=target)
    inside = after.resolve().is_relative_to(first.root)
    second = _run(after, args, limits, first.root if inside else root, links)
    if inside:
        second = replace(second, folder=first.folder)
    return first, replace(second, target=target)


def _run(script: Path, args: tuple[str, ...], limits: Limits, root: Path | None, links: tuple[Path, ...]) -> Run:
    script = script.resolve()
    base = (root or script.parent).resolve()
    if not script.is_relative_to(base):
        raise scratch.ScratchError(f"{script} does not lie in {base}. Remedy: give --root a folder above the script.")
    here = Path.cwd()
    folder = here if here.is_relative_to(base) else script.parent
    linked = frozenset(base / link for link in links)
    for link in linked:
        if not link.is_dir():
            raise scratch.ScratchError(f"--link {link.name}: {link} is no folder.")
    return Run(script, base, folder, args, limits.seed, limits.steps, limits.timeout, linked=linked)


def prove(
    before: Run, after: Run, launcher: launch.Launcher = launch.fresh, say: Callable[[str], None] = lambda line: None
) -> Proof:
    """Raises `scratch.ScratchError` when a folder cannot be copied."""
    with tempfile.TemporaryDirectory(prefix=scratch.PREFIX) as folder:

        def run(what: Run, name: str) -> Trace:
            started = time.monotonic()
            found = trace(what, launcher, Path(folder))
            found = replace(found, seconds=round(time.monotonic() - started, 2))
            say(f"  {name:14} {what.script.name}: {len(found.steps)} steps, {found.seconds:.1f} s, {found.outcome}")
            return found

        first = run(before, "BEFORE")
        if first.outcome.kind == "timeout":  # what follows its last step may be missing: ask the others for one less
            steps = max(len(first.steps) - 1, 1)
            before, after = replace(before, steps=steps), replace(after, steps=steps)
        alone = compare(first, first, ("BEFORE", "BEFORE"))
        if alone.answer is not Answer.EXACT:
            return Proof(_hinted(alone, first, before), first)
        again = run(before, "BEFORE again")
        repeated = compare(first, again, ("BEFORE", "BEFORE, run again,"))
        if repeated.answer is Answer.DIFFERS:
            sentence = f"not reproducible by itself: BEFORE {repeated.sentence} when it is run again"
            return Proof(replace(repeated, answer=Answer.NOT_REPRODUCIBLE, sentence=sentence), first, again)
        if repeated.answer is not Answer.EXACT:
            return Proof(repeated, first, again)
        second = run(after, "AFTER")
        return Proof(_hinted(compare(first, second), second, after), first, second)


def _hinted(verdict: Verdict, run: Trace, what: Run) -> Verdict:
    """Add the remedy where a script misses a file or a module because only its own folder was copied."""
    missing = ("FileNotFoundError", "ModuleNotFoundError", "NotADirectoryError")
    if verdict.answer is Answer.EXACT or not run.outcome.error.startswith(missing):
        return verdict
    note = f"only {what.root} was copied; name a larger folder with --root if what is missing lies outside"
    return replace(verdict, notes=(*verdict.notes, note))
