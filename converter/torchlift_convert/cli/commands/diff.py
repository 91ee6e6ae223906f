"""``torchlift diff PATH [AFTER]``."""

from __future__ import annotations

from typing import Annotated

import typer

from torchlift_convert.cli.arguments import STEPS, TIMEOUT, Steps, Timeout, WithScriptArguments, script_arguments
from torchlift_convert.types import Target


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
    target: Annotated[Target, typer.Option(help="The framework that the result imports.")] = Target.TORCHLIFT,
) -> None:
    """Show before and after side by side, each statement with its fate, then RUN both and say whether they are equal.

    Arguments for the scripts stand after --. Nothing is written.

    \b
    Exit codes:
      0  equal; with --no-verify: converted
      1  something is left to do by hand, or the two scripts differ
      2  an input could not be read or used, or verify could not answer
      3  torchlift itself failed
    """
    from dataclasses import replace

    from torchlift_convert.cli import verifier
    from torchlift_convert.cli.bugs import our_bugs
    from torchlift_convert.cli.comparison import compare, exit_code, verdict_of
    from torchlift_convert.cli.conversion import real_converter

    arguments = script_arguments(ctx)
    if no_verify and (arguments or steps is not None or timeout is not None):
        raise typer.BadParameter("have no use with --no-verify.", param_hint="--steps, --timeout and --")
    with our_bugs(path):
        seen = compare(path, after, target, real_converter)
        if seen.view is None:
            typer.echo(seen.failure, err=True)
            raise typer.Exit(seen.exit)
        from torchlift_convert.cli import screen

        console = screen.console(width)
        screen.show(screen.rows(seen.view, console.width), console)
        verdict = None
        if seen.runnable and not no_verify:
            verdict = verdict_of(seen, verifier.prover(arguments, steps, timeout))
            screen.show(screen.verdict(replace(seen.view, verdict=verdict)), console)
    raise typer.Exit(exit_code(seen, verdict))
