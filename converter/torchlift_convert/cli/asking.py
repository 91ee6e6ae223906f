"""``torchlift convert --interactive``: the decisions that are the user's, asked for on the terminal.

Two things are left open by a conversion: whether the author vouches for what a script cannot show, and whether an
output that says something else may be replaced. No is what both are without an answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torchlift_convert.cli.conversion import Done, Job
from torchlift_convert.files import Taken
from torchlift_convert.report import diagnostic_line

Ask = Callable[[str], bool]


def has_terminal() -> bool:
    """Is there somebody to ask?"""
    return sys.stdin.isatty() and sys.stderr.isatty()


def on_terminal(question: str) -> bool:
    """Ask on standard error, so that code on standard output stays code."""
    import typer

    return typer.confirm(question, default=False, err=True)


def settle_all(jobs: Sequence[Job], attempt: Callable[[Job], Done], ask: Ask) -> Iterator[Done]:
    """Each job's outcome when every question that it left open has its answer."""
    for job in jobs:
        done = attempt(job)
        while (settled := answered(job, done, ask)) is not None:
            job, done = settled, attempt(settled)
        yield done


def answered(job: Job, done: Done, ask: Ask) -> Job | None:
    """The job with the user's answer to what stands in its way; None when nothing can be asked, or the answer is no."""
    outcome = done.outcome
    if isinstance(outcome.problem, Taken) and not job.force:
        return (
            replace(job, force=True)
            if ask(f"{outcome.problem.name} exists and says something else. Replace it?")
            else None
        )
    for told in outcome.result.refusals if outcome.result is not None else ():
        word = (told.code, told.span.first)
        if told.claim and not told.file and not told.span.cell and word not in job.vouched:
            said = diagnostic_line(outcome.name, replace(told, claim=""))
            if ask(f"{said}\nDo you know that {told.claim}? The result checks it when it runs."):
                return replace(job, vouched=job.vouched | {word})
    return None
