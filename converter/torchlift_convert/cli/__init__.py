"""The command line: ``torchlift convert | eject | verify | diff | run | scaffold``.

Each command is one module in ``commands/`` that has a ``register(app)``; it is found there and stands in no list.
Only typer is imported up front. Everything a command needs it imports when it runs, so that none pays for another.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
from typing import Annotated

import typer

from torchlift_convert.cli import commands
from torchlift_convert.cli.arguments import SwiftGroup

# Trees are large and live to the end of a conversion: looking for garbage in them at every 700 objects costs a tenth.
gc.set_threshold(200_000)

# rich_markup_mode=None keeps rich out of --help and of usage errors: importing it costs more than parsing a script.
app = typer.Typer(
    name="torchlift",
    cls=SwiftGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        try:
            typer.echo(f"torchlift {metadata.version('torchlift')}")
        except metadata.PackageNotFoundError:  # run from a checkout
            typer.echo("torchlift (not installed, so it has no version)")
        raise typer.Exit()


@app.callback()
def torchlift(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Turn plain PyTorch training scripts into Lightning-style code, and prove that both train to the same bits."""


for module in sorted(pkgutil.iter_modules(commands.__path__), key=lambda found: found.name):
    importlib.import_module(f"{commands.__name__}.{module.name}").register(app)
