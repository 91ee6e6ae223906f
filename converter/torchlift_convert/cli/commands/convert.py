"""``torchlift convert PATH...``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from torchlift_convert.cli.arguments import (
    FAIL_ON,
    IGNORE,
    ISOLATED,
    SELECT,
    STEPS,
    TARGET,
    TIMEOUT,
    Codes,
    Format,
    Steps,
    Timeout,
    WithScriptArguments,
    given_settings,
    script_arguments,
)
from torchlift_convert.types import Target

if TYPE_CHECKING:
    from torchlift_convert.cli.conversion import Done, Job, Mode, Prover
    from torchlift_convert.cli.settings import Settings

STDIN = "-"  # standard output as well, after -o


def register(app: typer.Typer) -> None:
    app.command("convert", cls=WithScriptArguments, short_help="Convert training scripts; they are read, never run.")(
        convert
    )


def convert(
    ctx: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Python scripts, patterns, or a folder; - reads standard input.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write there (of a folder: a copy); - is standard output."),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace PATH, keeping the original as PATH.bak (numbered if taken).")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the change as a patch; write nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether there is something to convert.")] = False,
    target: Annotated[Target | None, TARGET] = None,
    select: Annotated[Codes, SELECT] = None,
    ignore: Annotated[Codes, IGNORE] = None,
    fail_on: Annotated[Codes, FAIL_ON] = None,
    isolated: Annotated[bool, ISOLATED] = False,
    format: Annotated[Format, typer.Option(help="How to report.")] = Format.TEXT,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=0, metavar="N", help="Convert N scripts at a time; 0, and many scripts: one a core."
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Then RUN both scripts (with the arguments after --) and compare them.")
    ] = False,
    steps: Annotated[Steps, STEPS] = None,
    timeout: Annotated[Timeout, TIMEOUT] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace an output file that says something else.")
    ] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Ask where a decision is yours, instead of refusing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report in one line a script.")] = False,
) -> None:
    """Convert plain PyTorch training scripts to a LightningModule, a LightningDataModule and a short main.

    Writes PATH's name with _lightning beside it, never over the original. Scripts are read, not run, unless --verify
    is given. The report goes to standard output, or to standard error when the code or a patch goes there. Of a folder,
    each script that trains is converted; with -o, into a copy of the folder.

    \b
    Exit codes (of several scripts, the highest; one without a training loop counts only when all are):
      0  converted; with --check: nothing to convert
      1  something is left to do by hand: refused, told under a code of --fail-on, or --verify
         found a difference or no answer; with --check: there is something to convert
      2  the input could not be read or used (no such file, not Python, no training loop, Lightning
         already), or the output could not be written; nothing was changed
      3  torchlift itself failed; nothing was changed
    """
    from torchlift_convert.cli.bugs import our_bugs
    from torchlift_convert.cli.conversion import Mode
    from torchlift_convert.cli.many import workers_for
    from torchlift_convert.cli.paths import expand

    arguments = script_arguments(ctx)
    names = expand(paths)
    mode = choose_mode(names, output, in_place=in_place, diff=diff, check=check)
    if verify and (mode not in (Mode.WRITE, Mode.IN_PLACE) or STDIN in names):
        raise typer.BadParameter("needs a script in a folder and a result that is written.", param_hint="--verify")
    if verify and len(names) > 1:
        raise typer.BadParameter("runs one script; name one, with its arguments.", param_hint="--verify")
    if not verify and (arguments or steps is not None or timeout is not None):
        raise typer.BadParameter("go with --verify, which runs the script.", param_hint="--steps, --timeout and --")
    if interactive:
        check_terminal(names)
    given = given_settings(target, select, ignore, fail_on)
    prove = None
    if verify:
        from torchlift_convert.cli import verifier

        prove = verifier.prover(arguments, steps, timeout)
    if len(names) == 1 and os.path.isdir(names[0]):
        running = None if prove is None else partial(verifier.prover, arguments, steps, timeout)
        with our_bugs(names[0]):
            preparing = partial(prepare, given=given, force=force, isolated=isolated)
            code = convert_folder(names[0], output, mode, preparing, jobs, running, format, force=force, quiet=quiet)
        raise typer.Exit(code)
    work = [prepare(name, mode, output, given, force=force, isolated=isolated) for name in names]
    with our_bugs(names[0] if len(names) == 1 else "these scripts"):
        code = carry_out(work, workers_for(jobs, len(work)), mode, prove, format, interactive=interactive, quiet=quiet)
    raise typer.Exit(code)


def convert_folder(
    folder: str,
    output: str | None,
    mode: Mode,
    preparing: Callable[[str, Mode, str | None], Job | Done],
    jobs: int | None,
    running: Callable[[tuple[Path, Path]], Prover] | None,
    format: Format,
    *,
    force: bool,
    quiet: bool,
) -> int:
    """Each script of a folder, with a summary of all of them; the exit code."""
    from torchlift_convert.cli import reporting
    from torchlift_convert.cli.conversion import Mode
    from torchlift_convert.cli.exits import ExitCode
    from torchlift_convert.cli.folder import run_folder
    from torchlift_convert.cli.summary import json_summary, summary

    if mode is Mode.STDOUT:
        raise typer.BadParameter("a folder is written to a folder.", param_hint="--output -")
    done = run_folder(
        Path(folder), Path(output) if output is not None else None, mode, preparing, jobs, running, force=force
    )
    if done.product is not None:
        typer.echo(done.product, nl=False)
    for trace in done.traces:
        typer.echo(trace, err=True)
    failed = not done.outcomes or done.exit not in (ExitCode.DONE, ExitCode.LEFT)
    aside = done.product is not None or (failed and format is Format.TEXT)
    if format is Format.TEXT:
        text = summary(done, quiet=quiet)
    elif format is Format.JSON:
        text = json_summary(done)
    else:
        text = reporting.document(done.outcomes, done.exit, format)
    typer.echo(text, err=aside)
    return done.exit


def choose_mode(paths: Sequence[str], output: str | None, *, in_place: bool, diff: bool, check: bool) -> Mode:
    """The one thing to do with the result.

    Raises:
        typer.BadParameter: the options ask for two things at once.
    """
    from torchlift_convert.cli.conversion import Mode

    asked = [f"--{mode}" for mode, on in ((Mode.IN_PLACE, in_place), (Mode.DIFF, diff), (Mode.CHECK, check)) if on]
    if output is not None:
        asked.append("--output")
    if len(asked) > 1:
        raise typer.BadParameter("ask for different things; choose one.", param_hint=" and ".join(asked))
    if in_place and STDIN in paths:
        raise typer.BadParameter("standard input has no place to put the result in.", param_hint="--in-place")
    if len(paths) > 1 and (output is not None or STDIN in paths):
        hint = "--output" if output is not None else STDIN
        raise typer.BadParameter("goes with one script, and there are several.", param_hint=hint)
    if in_place or diff or check:
        return Mode(asked[0].removeprefix("--"))
    return Mode.STDOUT if output == STDIN or (paths == [STDIN] and output is None) else Mode.WRITE


def prepare(name: str, mode: Mode, output: str | None, given: Settings, *, force: bool, isolated: bool) -> Job | Done:
    """The job of one script, or why it cannot begin: what its project wants cannot be read."""
    from torchlift_convert.cli.conversion import Job
    from torchlift_convert.cli.many import with_problem
    from torchlift_convert.cli.settings import settings_for
    from torchlift_convert.files import FileProblem

    try:
        wanted = given.over(settings_for(name, isolated=isolated))
    except FileProblem as problem:
        return with_problem(Job(name), problem)
    return Job(name, mode, output, force, wanted.target or Target.TORCHLIFT, choice=wanted.choice)


def check_terminal(names: Sequence[str]) -> None:
    """Somebody has to be there to ask.

    Raises:
        typer.BadParameter: nobody is; it says what to do instead.
    """
    from torchlift_convert.cli.asking import has_terminal

    if STDIN in names or not has_terminal():
        ways = "--force replaces an output, and # torchlift: ignore[CODE] in the script is your word (docs/cli.md)."
        raise typer.BadParameter(f"needs a terminal to ask on. Without one, {ways}", param_hint="--interactive")


def carry_out(
    work: Sequence[Job | Done],
    workers: int,
    mode: Mode,
    prove: Prover | None,
    format: Format,
    *,
    interactive: bool = False,
    quiet: bool = False,
) -> int:
    """Do the work and report on it, in order; the exit code."""
    from torchlift_convert.cli import reporting
    from torchlift_convert.cli.asking import on_terminal, settle_all
    from torchlift_convert.cli.conversion import Done, Job
    from torchlift_convert.cli.many import Progress, attempt, run_all, total

    several = len(work) > 1
    jobs = [job for job in work if isinstance(job, Job)]
    if interactive:
        outcomes = settle_all(jobs, lambda job: attempt(job, prove), on_terminal)
    else:
        outcomes = run_all(jobs, workers, prove)
    progress = Progress(len(work), wanted=format is Format.TEXT and not interactive)
    dones: list[Done] = []
    try:
        for one in work:
            progress.show(len(dones))
            done = one if isinstance(one, Done) else next(outcomes)
            progress.clear()
            dones.append(done)
            reporting.product(done)
            if format is Format.TEXT:
                reporting.tell(done, quiet=quiet, among_others=several)
    finally:
        progress.clear()
    code = total(dones, mode) if several else dones[0].exit
    aside = any(done.product is not None for done in dones)
    if format is not Format.TEXT:
        typer.echo(reporting.document([done.outcome for done in dones], code, format), err=aside)
    elif several:
        typer.echo(reporting.summary(dones, mode), err=aside)
    return code
