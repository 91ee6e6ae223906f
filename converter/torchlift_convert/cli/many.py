"""Several scripts, one after the other or in several processes, and their outcomes in order."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from torchlift_convert.cli.conversion import Done, Job, Mode, Prover, real_converter, run
from torchlift_convert.cli.exits import ExitCode
from torchlift_convert.files import FileProblem
from torchlift_convert.report import Outcome
from torchlift_convert.types import Status

WORTH_PROCESSES = 8  # with fewer scripts, starting processes takes longer than they save
IDLE = (Status.NO_LOOP, Status.ALREADY, Status.SKIPPED)


def workers_for(asked: int | None, jobs: int) -> int:
    """How many processes: as many as asked for, 0 meaning one for each core; by default these where it is worth it."""
    if asked is None and jobs < WORTH_PROCESSES:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(asked or cores, jobs))


def attempt(job: Job, prove: Prover | None = None) -> Done:
    """Do one job. A bug of ours is an outcome too: the other scripts are not to suffer from it."""
    try:
        return run(job, real_converter, prove)
    except Exception:
        problem = FileProblem(job.path, "torchlift itself failed here. Please report this with the lines above.")
        return Done(Outcome(job.path, job.target, problem=problem), ExitCode.BUG, trace=traceback.format_exc())


def run_all(jobs: Sequence[Job], workers: int, prove: Prover | None = None) -> Iterator[Done]:
    """Outcomes in the order of the jobs, each as soon as those before it are there.

    Ctrl-C lets the scripts in work be written whole, starts no other, and goes on to the caller.
    """
    if workers == 1:
        yield from (attempt(job, prove) for job in jobs)
        return
    with ProcessPoolExecutor(workers, initializer=_leave_interrupts_to_the_parent) as pool:
        try:
            yield from pool.map(attempt, jobs, chunksize=1)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def total(dones: Sequence[Done], mode: Mode) -> ExitCode:
    """How a command ends that was given several scripts: as the worst of them.

    Among several, one without a training loop is nothing to complain of; all of them are.
    """
    counted = [done.exit for done in dones if done.outcome.problem is not None or done.outcome.status not in IDLE]
    nothing = ExitCode.DONE if mode is Mode.CHECK else ExitCode.UNUSABLE
    return max(counted, default=nothing)


class Progress:
    """'12 of 200' on a terminal's last line, gone when the work is done. Nothing where nobody watches."""

    def __init__(self, jobs: int, *, wanted: bool) -> None:
        self.jobs = jobs
        self.on = wanted and jobs >= WORTH_PROCESSES and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, done: int) -> None:
        if self.on:
            print(f"\r\x1b[K{done} of {self.jobs}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def with_problem(job: Job, problem: FileProblem) -> Done:
    """The outcome of a job that could not begin."""
    return Done(replace(Outcome(job.path, job.target), problem=problem), ExitCode.UNUSABLE)
