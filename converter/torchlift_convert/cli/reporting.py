"""What ``torchlift convert`` prints: the product to standard output, the report beside it or to standard error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import typer

from torchlift_convert.cli.arguments import Format
from torchlift_convert.cli.conversion import Done, Mode
from torchlift_convert.cli.exits import ExitCode
from torchlift_convert.cli.many import IDLE
from torchlift_convert.report import (
    Outcome,
    counted,
    diagnostic_line,
    headline,
    json_report,
    sorted_diagnostics,
    text_report,
)
from torchlift_convert.sidebyside import Row
from torchlift_convert.types import Status


def version() -> str | None:
    """torchlift's version, None when it runs from a checkout."""
    from importlib import metadata

    try:
        return metadata.version("torchlift")
    except metadata.PackageNotFoundError:
        return None


def document(
    outcomes: Sequence[Outcome],
    exit: ExitCode,
    format: Format,
    *,
    patches: Sequence[str] = (),
    rows: Sequence[Sequence[Row]] = (),
) -> str:
    """The report of all scripts in a format for programs and pages; with the patches or the rows of a comparison."""
    if format is Format.SARIF:
        from torchlift_convert.report_sarif import sarif_report

        return sarif_report(outcomes, exit, version())
    if format is Format.MARKDOWN:
        from torchlift_convert.report_markdown import markdown_report

        return markdown_report(outcomes, patches).rstrip("\n")
    return json_report(outcomes, exit, rows)


def product(done: Done) -> None:
    """Code or a patch, on standard output, and the traceback of a bug of ours, on standard error."""
    if done.trace:
        typer.echo(done.trace, nl=False, err=True)
    if done.product is not None:
        typer.echo(done.product, nl=False)


def show(done: Done, format: Format, *, quiet: bool) -> None:
    """All that there is to print of the only script of a command."""
    product(done)
    if format is Format.TEXT:
        tell(done, quiet=quiet, among_others=False)
    else:
        typer.echo(document([done.outcome], done.exit, format), err=done.product is not None)


def tell(done: Done, *, quiet: bool, among_others: bool) -> None:
    """One script's report as text: whole when it is the only one, else its headline and what there is to tell."""
    failed = done.exit is not ExitCode.DONE and done.outcome.status is not Status.CONVERTED
    aside = done.product is not None or failed or done.outcome.problem is not None
    if not among_others:
        typer.echo(text_report(done.outcome, quiet=quiet), err=aside)
    elif done.outcome.problem is not None or done.outcome.status not in IDLE:
        typer.echo(short_report(done.outcome, quiet=quiet), err=aside)


def short_report(outcome: Outcome, *, quiet: bool) -> str:
    """A script among others: what became of it in a line, and a line for each thing to tell."""
    result = outcome.result
    if outcome.problem is None and result is not None and result.status is Status.REFUSED:
        return "\n".join(diagnostic_line(outcome.name, d) for d in sorted_diagnostics(result.diagnostics))
    if outcome.problem is not None or result is None or result.status is not Status.CONVERTED:
        return text_report(outcome, quiet=True)
    told = [] if quiet else [diagnostic_line(outcome.name, d) for d in sorted_diagnostics(result.diagnostics)]
    return "\n".join([headline(outcome), *told])


def summary(dones: Sequence[Done], mode: Mode) -> str:
    """The last line over several scripts: '12 scripts: 3 converted, 2 refused, 7 with nothing to convert.'"""
    counts = Counter(_kind(done, mode) for done in dones)
    parts = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    return f"{counted(len(dones), 'script')}: {parts}."


KINDS = ("converted", "to convert", "up to date", "refused", "with nothing to convert", "with a problem")


def _kind(done: Done, mode: Mode) -> str:
    outcome = done.outcome
    if outcome.problem is not None or outcome.status is Status.UNREADABLE:
        return "with a problem"
    if outcome.status in IDLE:
        return "with nothing to convert"
    if outcome.status is Status.REFUSED:
        return "refused"
    if mode in (Mode.CHECK, Mode.DIFF):
        return "to convert"
    return "converted" if outcome.written else "up to date"
