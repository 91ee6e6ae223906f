"""``torchlift verify BEFORE AFTER [OPTIONS] [-- ARGS]``."""

from __future__ import annotations

import typer

from torchlift_convert.cli.arguments import PassedOn, all_arguments


def register(app: typer.Typer) -> None:
    settings = {"help_option_names": [], "ignore_unknown_options": True}
    app.command(
        "verify",
        cls=PassedOn,
        add_help_option=False,
        context_settings=settings,
        short_help="RUN a script before and after, and compare every number they produce.",
    )(verify)


def verify(ctx: typer.Context) -> None:
    """Hand the whole command line to ``python -m torchlift.verify``, and its exit code back."""
    from torchlift_convert.cli import verifier

    raise typer.Exit(verifier.pass_on(all_arguments(ctx)))
