"""A whole folder through ``torchlift convert``: each script in it, and what is told of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torchlift_convert.cli import tree
from torchlift_convert.cli.conversion import Done, Job, Mode, Prover, run
from torchlift_convert.cli.exits import ExitCode
from torchlift_convert.cli.many import run_all, workers_for
from torchlift_convert.files import FileProblem
from torchlift_convert.report import Answer, Outcome
from torchlift_convert.types import Status

MEANT = (Status.CONVERTED, Status.REFUSED)  # files that train


@dataclass(frozen=True)
class FolderDone:
    """The outcome of each script that trains, or that could not be read, and of the folder as a whole.

    ``modules``: files with a loop that nothing of their own leads to, which are no scripts.
    ``left``: links that were not copied.
    """

    folder: str
    outcomes: tuple[Outcome, ...]
    exit: ExitCode
    output: str | None = None
    modules: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    product: bytes | None = None
    problem: FileProblem | None = None
    traces: tuple[str, ...] = ()  # of bugs of ours


def run_folder(
    root: Path,
    goal: Path | None,
    mode: Mode,
    preparing: Callable[[str, Mode, str | None], Job | Done],
    jobs: int | None = None,
    running: Callable[[tuple[Path, Path]], Prover] | None = None,
    *,
    force: bool = False,
) -> FolderDone:
    """Convert the scripts of a folder.

    Args:
        root: the folder.
        goal: a folder for a converted copy; None: each result stands where ``mode`` puts it.
        mode: what to do with each result.
        preparing: the job of a script by its name, what to do, and where; or why it cannot begin.
        jobs: how many processes; None: as it is worth it.
        running: what compares two scripts, one in each of two folders; None when the user did not ask for it.
        force: files of ``goal`` may be replaced.
    """
    left: list[Path] = []
    try:
        if goal is not None:
            tree.check_copy(root, goal, force=force)
        found = _tried(root, preparing, jobs)
        modules = _modules(found)
        meant = [(p, d) for p, d in found if d.outcome.status in MEANT and p not in modules]
        if goal is not None and any(d.outcome.status is Status.CONVERTED for _, d in meant):
            left = tree.copy(root, goal)
        prove = running((root, goal or root)) if running is not None else None
        done = [_written(root, goal, mode, p, d, preparing, prove) for p, d in meant]
    except FileProblem as problem:
        return FolderDone(str(root), (), ExitCode.UNUSABLE, problem=problem)
    unreadable = [d for _, d in found if d.outcome.status is Status.UNREADABLE]
    products = [d.product for d in done if d.product is not None]
    return FolderDone(
        str(root),
        tuple(d.outcome for d in [*done, *unreadable]),
        _exit(mode, [*done, *(d for d in unreadable if d.exit is ExitCode.BUG)]),
        str(goal) if goal is not None and any(d.outcome.written for d in done) else None,
        tuple(str(p) for p in modules),
        tuple(map(str, left)),
        b"".join(products) if products else None,
        traces=tuple(d.trace for d in unreadable if d.trace),
    )


def _tried(
    root: Path, preparing: Callable[[str, Mode, str | None], Job | Done], jobs: int | None
) -> list[tuple[Path, Done]]:
    """What would become of each file that holds something; nothing is written."""
    plain = [path for path in tree.scripts(root) if (root / path).read_bytes().strip()]
    work = [preparing(str(root / path), Mode.CHECK, None) for path in plain]
    ready = [replace(job, root=root) for job in work if isinstance(job, Job)]
    outcomes = run_all(ready, workers_for(jobs, len(ready)))
    return [(path, one if isinstance(one, Done) else next(outcomes)) for path, one in zip(plain, work, strict=True)]


def _written(
    root: Path,
    goal: Path | None,
    mode: Mode,
    path: Path,
    tried: Done,
    preparing: Callable[[str, Mode, str | None], Job | Done],
    prove: Prover | None,
) -> Done:
    """Do with a script what was asked for."""
    result = tried.outcome.result
    if mode is Mode.CHECK or result is None or result.status is not Status.CONVERTED:
        return tried
    job = preparing(str(root / path), mode, str(goal / path) if goal is not None else None)
    if isinstance(job, Done):
        return job
    force = job.force or goal is not None  # the copy of the original gives way
    return run(replace(job, force=force, root=root), lambda data, options: result, prove)


def _modules(found: Sequence[tuple[Path, Done]]) -> list[Path]:
    """Files with a loop that nothing of their own leads to, where other files train: they are no scripts."""
    trains = (Status.CONVERTED, Status.ALREADY, Status.REFUSED)
    results = [(p, d.outcome.result) for p, d in found if d.outcome.result is not None]
    hidden = [p for p, r in results if r.hidden]
    scripts = [p for p, r in results if r.status in trains and not r.hidden]
    return hidden if scripts else []


def _exit(mode: Mode, done: Sequence[Done]) -> ExitCode:
    """The worst of the scripts': unusable, then something left; a folder without a script to convert is no input."""
    if any(d.exit is ExitCode.BUG for d in done):
        return ExitCode.BUG
    if any(d.outcome.problem is not None for d in done):
        return ExitCode.UNUSABLE
    if mode is Mode.CHECK:
        return ExitCode.LEFT if done else ExitCode.DONE
    if not done:
        return ExitCode.UNUSABLE
    proved = all(d.outcome.verdict is None or d.outcome.verdict.answer is Answer.EXACT for d in done)
    converted = all(d.outcome.status is Status.CONVERTED for d in done)
    return ExitCode.DONE if proved and converted else ExitCode.LEFT
