"""What happens when torchlift itself is wrong: the traceback, a sentence, and an exit code of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from torchlift_convert.cli.exits import ExitCode


@contextmanager
def our_bugs(path: str) -> Iterator[None]:
    """Show an unexpected exception as the bug it is; never as a refusal, which would blame the user's script."""
    try:
        yield
    except (typer.Exit, typer.BadParameter, typer.Abort, BrokenPipeError):
        raise
    except Exception:
        import traceback

        traceback.print_exc()
        typer.echo(f"{path}: torchlift itself failed here. Please report this with the lines above.", err=True)
        raise typer.Exit(ExitCode.BUG) from None
