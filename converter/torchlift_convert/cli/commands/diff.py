"""``torchlift diff PATH [AFTER]``."""

from __future__ import annotations

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
    from torchlift_convert.cli.comparison import Seen
    from torchlift_convert.cli.settings import Settings


def register(app: typer.Typer) -> None:
    app.command(
        "diff", cls=WithScriptArguments, short_help="Show before and after side by side, each statement with its fate."
    )(diff)


def diff(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="The original script.")],
    after: Annotated[
        str | None,
        typer.Argument(metavar="AFTER", help="The converted script; default: convert in memory.", show_default=False),
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=40, metavar="COLUMNS", help="How wide; default: the terminal's width.")
    ] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not run the scripts.")] = False,
    steps: Annotated[Steps, STEPS] = None,
    timeout: Annotated[Timeout, TIMEOUT] = None,
    target: Annotated[Target | None, TARGET] = None,
    select: Annotated[Codes, SELECT] = None,
    ignore: Annotated[Codes, IGNORE] = None,
    fail_on: Annotated[Codes, FAIL_ON] = None,
    isolated: Annotated[bool, ISOLATED] = False,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.TEXT,
) -> None:
    """Show before and after side by side, each statement with its fate, then RUN both and say whether they are equal.

    Arguments for the scripts stand after --. Nothing is written.

    \b
    Exit codes:
      0  equal; with --no-verify: converted
      1  something is left to do by hand, or is told under a code of --fail-on, or the two scripts differ
      2  an input could not be read or used, or verify could not answer
      3  torchlift itself failed
    """
    from dataclasses import replace

    from torchlift_convert.cli import verifier
    from torchlift_convert.cli.bugs import our_bugs
    from torchlift_convert.cli.comparison import document, exit_code, verdict_of

    arguments = script_arguments(ctx)
    if no_verify and (arguments or steps is not None or timeout is not None):
        raise typer.BadParameter("have no use with --no-verify.", param_hint="--steps, --timeout and --")
    given = given_settings(target, select, ignore, fail_on)
    with our_bugs(path):
        seen = seen_as_wanted(path, after, given, isolated=isolated)
        verdict = None
        prove = None if no_verify or not seen.runnable else verifier.prover(arguments, steps, timeout)
        if format is not Format.TEXT:
            verdict = prove and verdict_of(seen, prove)
            typer.echo(document(seen, verdict, exit_code(seen, verdict), format))
        elif seen.view is None:
            typer.echo(seen.failure, err=True)
        else:
            from torchlift_convert.cli import screen

            console = screen.console(width)
            screen.show(screen.rows(seen.view, console.width), console)
            verdict = prove and verdict_of(seen, prove)
            screen.show(screen.verdict(replace(seen.view, verdict=verdict)), console)
    raise typer.Exit(exit_code(seen, verdict))


def seen_as_wanted(path: str, after: str | None, given: Settings, *, isolated: bool) -> Seen:
    """The comparison, as the command line and the script's project want it."""
    from torchlift_convert.cli.comparison import Seen, compare
    from torchlift_convert.cli.conversion import real_converter
    from torchlift_convert.cli.exits import ExitCode
    from torchlift_convert.cli.settings import settings_for
    from torchlift_convert.files import FileProblem
    from torchlift_convert.report import Outcome

    try:
        wanted = given.over(settings_for(path, isolated=isolated))
    except FileProblem as problem:
        return Seen(None, ExitCode.UNUSABLE, str(problem), outcome=Outcome(path, problem=problem))
    return compare(path, after, wanted.target or Target.TORCHLIFT, real_converter, wanted.choice)
