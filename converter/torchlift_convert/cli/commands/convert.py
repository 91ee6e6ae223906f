"""``torchlift convert PATH``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from torchlift_convert.cli.arguments import STEPS, TIMEOUT, Steps, Timeout, WithScriptArguments, script_arguments
from torchlift_convert.types import Target

if TYPE_CHECKING:
    from torchlift_convert.cli.conversion import Done, Mode

STDIN = "-"  # standard output as well, after -o


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    app.command("convert", cls=WithScriptArguments, short_help="Convert a training script; it is read, never run.")(
        convert
    )


def convert(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A Python script; - reads standard input.")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write there; - is standard output.")
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace PATH, keeping the original as PATH.bak (numbered if taken).")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the change as a patch; write nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether there is something to convert.")] = False,
    target: Annotated[Target, typer.Option(help="The framework that the result imports.")] = Target.TORCHLIFT,
    format: Annotated[Format, typer.Option(help="How to report.")] = Format.TEXT,
    verify: Annotated[
        bool, typer.Option("--verify", help="Then RUN both scripts (with the arguments after --) and compare them.")
    ] = False,
    steps: Annotated[Steps, STEPS] = None,
    timeout: Annotated[Timeout, TIMEOUT] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace an output file that says something else.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report in one line.")] = False,
) -> None:
    """Convert a plain PyTorch training script to a LightningModule, a LightningDataModule and a short main.

    Writes PATH's name with _lightning beside it, never over the original. The script is read, not run, unless --verify
    is given. The report goes to standard output, or to standard error when the code or a patch goes there.

    \b
    Exit codes:
      0  converted; with --check: nothing to convert
      1  something is left to do by hand: refused, or --verify found a difference or no answer;
         with --check: there is something to convert
      2  the input could not be read or used (no such file, not Python, no training loop, Lightning
         already), or the output could not be written; nothing was changed
      3  torchlift itself failed; nothing was changed
    """
    from torchlift_convert.cli.bugs import our_bugs
    from torchlift_convert.cli.conversion import Job, Mode, real_converter, run

    arguments = script_arguments(ctx)
    mode = choose_mode(path, output, in_place=in_place, diff=diff, check=check)
    if verify and (mode not in (Mode.WRITE, Mode.IN_PLACE) or path == STDIN):
        raise typer.BadParameter("needs a script in a folder and a result that is written.", param_hint="--verify")
    if not verify and (arguments or steps is not None or timeout is not None):
        raise typer.BadParameter("go with --verify, which runs the script.", param_hint="--steps, --timeout and --")
    prove = None
    if verify:
        from torchlift_convert.cli import verifier

        prove = verifier.prover(arguments, steps, timeout)
    with our_bugs(path):
        done = run(Job(path, mode, output, force, target), real_converter, prove)
        show(done, format, quiet=quiet)
    raise typer.Exit(done.exit)


def choose_mode(path: str, output: str | None, *, in_place: bool, diff: bool, check: bool) -> Mode:
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
    if in_place and path == STDIN:
        raise typer.BadParameter("standard input has no place to put the result in.", param_hint="--in-place")
    if in_place or diff or check:
        return Mode(asked[0].removeprefix("--"))
    return Mode.STDOUT if output == STDIN or (path == STDIN and output is None) else Mode.WRITE


def show(done: Done, format: Format, *, quiet: bool) -> None:
    """Product to standard output; the report beside it, or to standard error where it would be in the way."""
    from torchlift_convert.cli.exits import ExitCode
    from torchlift_convert.report import json_report, text_report
    from torchlift_convert.types import Status

    if done.product is not None:
        typer.echo(done.product, nl=False)
    if format is Format.JSON:
        typer.echo(json_report([done.outcome], done.exit), err=done.product is not None)
        return
    failed = done.exit is not ExitCode.DONE and done.outcome.status is not Status.CONVERTED
    aside = done.product is not None or failed or done.outcome.problem is not None
    typer.echo(text_report(done.outcome, quiet=quiet), err=aside)
