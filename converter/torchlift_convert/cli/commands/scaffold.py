"""``torchlift scaffold NAME``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from torchlift_convert.cli.arguments import SwiftCommand

if TYPE_CHECKING:
    from torchlift_templates import RenderResult

DEFAULT_TEMPLATE = "image-classification"


def register(app: typer.Typer) -> None:
    app.command("scaffold", cls=SwiftCommand, short_help="Start a new project from a template.")(scaffold)


def scaffold(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The project's name.", show_default=False)] = None,
    template: Annotated[str, typer.Option("--template", "-t", help="Which template.")] = DEFAULT_TEMPLATE,
    directory: Annotated[
        str | None, typer.Option("--directory", "-d", metavar="DIR", help="The project's folder; default: ./NAME.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", metavar="KEY=VALUE", help="An option of the template.")
    ] = None,
    list_templates: Annotated[bool, typer.Option("--list", help="List the templates and their options.")] = False,
) -> None:
    """Make a small project that runs and passes its own tests.

    \b
    Exit codes:
      0  the project was written, or the templates were listed
      2  the name, the template, an option or the folder will not do; nothing was written
    """
    import torchlift_templates as templates
    from torchlift_convert.cli.exits import ExitCode

    if list_templates:
        for found in templates.available():
            typer.echo(f"{found.name}: {found.summary}")
            for choice in found.options:
                values = "|".join(choice.choices)
                typer.echo(f"  -o {choice.name}={values}  {choice.help} (default: {choice.default})")
        return
    if name is None:
        raise typer.BadParameter("say how the project is called, or use --list.", param_hint="NAME")
    options = dict(split_option(text) for text in option or ())
    destination = Path(directory if directory is not None else name)
    try:
        chosen = templates.find(template).choose(options)  # so that no option can pass for an argument of render
        result = templates.render(template, name, destination, **chosen)
    except templates.TemplateError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.UNUSABLE) from None
    typer.echo(written(result))


def split_option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise typer.BadParameter(f"write KEY=VALUE instead of {text!r}.", param_hint="--option")
    return key, value


def written(result: RenderResult) -> str:
    """What was made and what to do with it."""
    files = "\n".join(f"  {path}" for path in result.files)
    steps = "\n".join(f"  {step}" for step in (f"cd {shlex.quote(str(result.destination))}", *result.next_steps))
    return f"Wrote {result.destination} from the template {result.template}:\n{files}\n\nNext:\n{steps}"
