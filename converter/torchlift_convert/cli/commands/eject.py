"""``torchlift eject PATH``."""

from __future__ import annotations

from typing import Annotated

import typer

from torchlift_convert.cli.arguments import (
    STEPS,
    TIMEOUT,
    Format,
    Steps,
    Timeout,
    WithScriptArguments,
    script_arguments,
)
from torchlift_convert.cli.commands.convert import STDIN, choose_mode


def register(app: typer.Typer) -> None:
    app.command("eject", cls=WithScriptArguments, short_help="Turn a Lightning script into a plain PyTorch loop.")(
        eject
    )


def eject(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A Python script; - reads standard input.")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write there; - is standard output.")
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace PATH, keeping the original as PATH.bak (numbered if taken).")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print the change as a patch; write nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether there is something to eject.")] = False,
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
    """Turn a LightningModule and the Trainer's calls into a plain PyTorch loop: the way back from convert.

    Writes PATH's name with _plain beside it (without _lightning at its end), never over the original. The result
    imports neither Lightning nor torchlift. The script is read, not run, unless --verify is given.

    \b
    Exit codes:
      0  ejected; with --check: nothing to eject
      1  something is left to do by hand: refused, or --verify found a difference or no answer;
         with --check: there is something to eject
      2  the input could not be read or used (no such file, not Python, no Trainer call), or the output could
         not be written; nothing was changed
      3  torchlift itself failed; nothing was changed
    """
    from torchlift_convert.cli.bugs import our_bugs
    from torchlift_convert.cli.conversion import Job, Mode, real_ejector, run
    from torchlift_convert.cli.reporting import show
    from torchlift_convert.types import Direction

    arguments = script_arguments(ctx)
    mode = choose_mode([path], output, in_place=in_place, diff=diff, check=check)
    if verify and (mode not in (Mode.WRITE, Mode.IN_PLACE) or path == STDIN):
        raise typer.BadParameter("needs a script in a folder and a result that is written.", param_hint="--verify")
    if not verify and (arguments or steps is not None or timeout is not None):
        raise typer.BadParameter("go with --verify, which runs the script.", param_hint="--steps, --timeout and --")
    prove = None
    if verify:
        from torchlift_convert.cli import verifier

        prove = verifier.prover(arguments, steps, timeout)
    with our_bugs(path):
        done = run(Job(path, mode, output, force, direction=Direction.EJECT), real_ejector, prove)
        show(done, format, quiet=quiet)
    raise typer.Exit(done.exit)
