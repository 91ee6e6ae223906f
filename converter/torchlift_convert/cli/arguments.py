"""Command lines that carry another command line: what stands after ``--`` belongs to the user's script."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

SCRIPT_ARGUMENTS = "torchlift.script_arguments"
ALL_ARGUMENTS = "torchlift.all_arguments"

# The verifier's bounds, wherever a command runs it.
Steps = int | None
Timeout = float | None
STEPS = typer.Option("--steps", min=1, metavar="N", help="Run and compare only the first N optimizer steps.")
TIMEOUT = typer.Option("--timeout", min=0, metavar="S", help="Seconds that each run may take.")


class WithScriptArguments(TyperCommand):
    """A command that takes ``... -- ARGS``: ARGS are set aside untouched, options among them included."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        ctx.meta[SCRIPT_ARGUMENTS] = tuple(args[cut + 1 :])
        return super().parse_args(ctx, args[:cut])


class PassedOn(TyperCommand):
    """A command that reads nothing itself: the whole rest of the line, ``--help`` included, is set aside."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[ALL_ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, [])


def script_arguments(ctx: typer.Context) -> tuple[str, ...]:
    return ctx.meta.get(SCRIPT_ARGUMENTS, ())


def all_arguments(ctx: typer.Context) -> tuple[str, ...]:
    return ctx.meta.get(ALL_ARGUMENTS, ())
