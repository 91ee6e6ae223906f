"""Command lines that carry another command line: what stands after ``--`` belongs to the user's script."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from torchlift_convert.types import Target

if TYPE_CHECKING:
    from torchlift_convert.cli.settings import Settings

SCRIPT_ARGUMENTS = "torchlift.script_arguments"
ALL_ARGUMENTS = "torchlift.all_arguments"

# The verifier's bounds, wherever a command runs it.
Steps = int | None
Timeout = float | None
STEPS = typer.Option("--steps", min=1, metavar="N", help="Run and compare only the first N optimizer steps.")
TIMEOUT = typer.Option("--timeout", min=0, metavar="S", help="Seconds that each run may take.")

# What is told, and of which framework the result is; [tool.torchlift] in pyproject.toml says the same for a project.
Codes = list[str] | None
TARGET = typer.Option("--target", help="The framework that the result imports.  [default: torchlift]")
SELECT = typer.Option("--select", metavar="CODES", help="Tell only findings and notes of these codes, as TL302 or TL3.")
IGNORE = typer.Option("--ignore", metavar="CODES", help="Do not tell findings and notes of these codes.")
FAIL_ON = typer.Option("--fail-on", metavar="CODES", help="End with 1 when a finding or note of these codes is told.")
ISOLATED = typer.Option("--isolated", help="Do not look for pyproject.toml.")


class Format(StrEnum):
    """How a command reports."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    SARIF = "sarif"


def given_settings(target: Target | None, select: Codes, ignore: Codes, fail_on: Codes) -> Settings:
    """What the command line says of the things that a project may say too.

    Raises:
        typer.BadParameter: a code that there is none of.
    """
    from torchlift_convert.cli.choice import NoSuchCode, codes
    from torchlift_convert.cli.settings import Settings

    said: dict[str, tuple[str, ...] | None] = {}
    for name, texts in (("select", select), ("ignore", ignore), ("fail-on", fail_on)):
        try:
            said[name] = codes(texts) if texts else None
        except NoSuchCode as error:
            raise typer.BadParameter(str(error), param_hint=f"--{name}") from None
    return Settings(target, said["select"], said["ignore"], said["fail-on"])


class CoercionWhenNeeded:
    """typer's coercion of one parameter, built only for a value that is not of the right type already."""

    def __init__(self, parameter: Any) -> None:
        self.parameter = parameter

    def coerce(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = self.parameter.type_descriptor.annotation
        if value is None or (isinstance(wanted, type) and isinstance(value, wanted)):
            return value
        if wanted == list[str] and isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            return list(value)
        self.parameter._runtime_param = None
        return self.parameter.get_runtime_param().coerce(value, *args, **kwargs)


class Swift:
    """Commands that do not load pydantic, half of the time to start, for values that need no conversion."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            # typer builds this at a parameter's first use; with a version that does not, nothing is lost but time.
            if getattr(parameter, "_runtime_param", None) is None:
                parameter._runtime_param = CoercionWhenNeeded(parameter)
        return parameters


class SwiftGroup(Swift, TyperGroup):
    """The command line as a whole."""


class SwiftCommand(Swift, TyperCommand):
    """One command."""


class WithScriptArguments(SwiftCommand):
    """A command that takes ``... -- ARGS``: ARGS are set aside untouched, options among them included."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        ctx.meta[SCRIPT_ARGUMENTS] = tuple(args[cut + 1 :])
        return super().parse_args(ctx, args[:cut])


class PassedOn(SwiftCommand):
    """A command that reads nothing itself: the whole rest of the line, ``--help`` included, is set aside."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[ALL_ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, [])


def script_arguments(ctx: typer.Context) -> tuple[str, ...]:
    return ctx.meta.get(SCRIPT_ARGUMENTS, ())


def all_arguments(ctx: typer.Context) -> tuple[str, ...]:
    return ctx.meta.get(ALL_ARGUMENTS, ())
