"""``torchlift explain [CODE]...``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from torchlift_convert.cli.arguments import SwiftCommand

if TYPE_CHECKING:
    from torchlift_convert.explain import Page


class Format(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def register(app: typer.Typer) -> None:
    app.command("explain", cls=SwiftCommand, short_help="Explain a code such as TL302, or list all of them.")(explain)


def explain(
    codes: Annotated[
        list[str] | None,
        typer.Argument(metavar="CODE", help="A code, or how some start (TL3).", show_default=False),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to print.")] = Format.TEXT,
) -> None:
    """Print the page of a code: what it means, why it matters for the numbers, an example, and what to do.

    The start of a code lists all that begin so; without one, every code is listed. As markdown or json, the pages
    themselves are printed.

    \b
    Exit codes:
      0  explained
      2  there is no such code
    """
    from torchlift_convert import explain as book

    chosen = [page for code in codes or [""] for page in found(code)]
    if format is Format.JSON:
        import json

        records = [book.record(page) for page in chosen]
        typer.echo(json.dumps({"schema": book.JSON_SCHEMA, "codes": records}, indent=2, ensure_ascii=False))
    elif format is Format.MARKDOWN:
        typer.echo(document(chosen) if not codes else book.markdown(chosen), nl=False)
    else:
        from torchlift_convert.cli import pages

        whole = [page for page in chosen if page.code in {code.upper() for code in codes or ()}]
        pages.show(whole, [page for page in chosen if page not in whole])


def found(code: str) -> list[Page]:
    """The pages that a word of the command line asks for; an error that helps when there is none."""
    from torchlift_convert import explain as book

    pages = book.matching(code)
    if not pages:
        near = book.nearest(code)
        hint = f"did you mean {' or '.join(near)}?" if near else "`torchlift explain` lists all."
        raise typer.BadParameter(f"there is no code {code!r}; {hint}", param_hint="CODE")
    return pages


def document(pages: list[Page]) -> str:
    """docs/codes.md."""
    from torchlift_convert import explain as book

    head = (
        "# What the converter says\n\n"
        "`torchlift explain TL302` prints one of these pages. This file is made by `make codes` from the same source; "
        "do not edit it.\n\n"
    )
    rows = [f"| [{p.code}](#{anchor(p)}) | {', '.join(p.severities)} | {p.title} |" for p in pages]
    return (
        head + "\n".join(["| code | kind | meaning |", "|---|---|---|", *rows]) + "\n\n" + book.markdown(pages, level=2)
    )


def anchor(page: Page) -> str:
    """How GitHub calls a heading."""
    words = f"{page.code} {page.title}".lower().split()
    return "-".join("".join(c for c in word if c.isalnum() or c in "-_") for word in words)
