"""``torchlift run --as-lightning SCRIPT [ARGS]``."""

from __future__ import annotations

import os
import sys

import typer

from torchlift_convert.cli.arguments import PassedOn, all_arguments
from torchlift_convert.cli.exits import ExitCode

USAGE = """\
Usage: torchlift run --as-lightning [--fall-back] (SCRIPT | -m MODULE) [ARGS]...

Run a script written for Lightning on torchlift's runtime, untouched: in its process, `import lightning`,
`lightning.pytorch` and `pytorch_lightning` give torchlift. ARGS are the script's own.

--fall-back: where the script asks for GPUs or several devices that are not there, take one device that is, and say so.

Exit code: the script's; 2 when there is no such script.
"""


def register(app: typer.Typer) -> None:
    settings = {"help_option_names": [], "ignore_unknown_options": True}
    app.command(
        "run",
        cls=PassedOn,
        add_help_option=False,
        context_settings=settings,
        short_help="Run a script written for Lightning on torchlift's runtime.",
    )(run)


def run(ctx: typer.Context) -> None:
    """Become ``python -m torchlift.compat``: the script has this process, its terminal, its signals, its exit code."""
    from torchlift_convert.cli import lightning

    match all_arguments(ctx):
        case ("--as-lightning", "--fall-back", *script) if script and not script[0].startswith("-h"):
            os.environ["TORCHLIFT_FALLBACK"] = "1"
            raise typer.Exit(lightning.become(script))
        case ("--as-lightning", *script) if script and script[0] not in ("-h", "--help"):
            raise typer.Exit(lightning.become(script))
        case ("-h" | "--help", *_) | ("--as-lightning", "-h" | "--help", *_):
            typer.echo(USAGE, nl=False)
        case _:
            typer.echo(USAGE, nl=False, err=True)
            typer.echo("error: say how, and what: torchlift run --as-lightning SCRIPT", err=True)
            sys.exit(ExitCode.UNUSABLE)
