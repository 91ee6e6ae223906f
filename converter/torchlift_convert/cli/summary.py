"""What the user is told about a folder: a line for each script, then what has to be done by hand."""

from __future__ import annotations

import json
from pathlib import Path

from torchlift_convert.cli.folder import FolderDone
from torchlift_convert.report import (
    JSON_SCHEMA,
    Outcome,
    counted,
    diagnostic_line,
    outcome_record,
    sorted_diagnostics,
)
from torchlift_convert.types import Severity, Status


def summary(done: FolderDone, *, quiet: bool = False) -> str:
    """A headline, the table, and what there is to tell of each script."""
    if done.problem is not None:
        return str(done.problem)
    if not done.outcomes:
        why = "no script in it reaches a backward() and an optimizer's step()"
        return f"{done.folder}: there is nothing to convert: {why}."
    blocks = [[_headline(done)], _table(done)]
    if not quiet:
        blocks += [
            [f"{title}:", *lines]
            for severity, title in (
                (Severity.FINDING, "Findings (kept as the originals have them)"),
                (Severity.NOTE, "Notes"),
            )
            if (lines := [line for o in done.outcomes for line in _said(o, severity, done.folder)])
        ]
        names = ", ".join(done.modules)
        blocks.append([f"Loops in {names} are for other files to run; those stay as they are."] if names else [])
    blocks.append([f"{name} leads out of {done.folder}; the link was not copied." for name in done.left])
    blocks.append([str(o.problem) for o in done.outcomes if o.problem is not None])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _headline(done: FolderDone) -> str:
    scripts = [o for o in done.outcomes if o.status is not Status.UNREADABLE]
    converted = [o for o in scripts if o.status is Status.CONVERTED]
    of = counted(len(scripts), "training script")
    folder = "this folder" if done.folder == "." else done.folder
    if converted and not any(o.written for o in converted) and all(o.output for o in converted):
        return f"Converted {len(converted)} of {of} in {folder}; what is there already says the same."
    if not any(o.written for o in converted):
        return f"{len(converted)} of {of} in {folder} can be converted; nothing was written."
    where = f" to {done.output}" if done.output is not None else ""
    return f"Converted {len(converted)} of {of} in {folder}{where}."


def _table(done: FolderDone) -> list[str]:
    rows = [_row(o, done.folder) for o in done.outcomes]
    widths = [max(len(row[n]) for row in rows) for n in range(2)]
    return [f"  {name:<{widths[0]}}  {status:<{widths[1]}}  {what}".rstrip() for name, status, what in rows]


def _row(outcome: Outcome, folder: str) -> tuple[str, str, str]:
    """The script, what became of it, and how, or why not."""
    name = _inside(outcome.name, folder)
    result = outcome.result
    if result is None or outcome.problem is not None:
        return name, "unusable", outcome.problem.message if outcome.problem is not None else ""
    if result.status is not Status.CONVERTED:
        refusals = [d for d in sorted_diagnostics(result.diagnostics) if d.severity is Severity.REFUSAL]
        return name, str(result.status), diagnostic_line(name, refusals[0]) if refusals else ""
    classes = ", ".join(filter(None, [result.module, result.datamodule]))
    proof = outcome.verdict.sentence if outcome.verdict is not None else str(outcome.proof)
    return name, "converted", f"{result.optimization}: {classes}; {proof}"


def _said(outcome: Outcome, severity: Severity, folder: str) -> list[str]:
    found = sorted_diagnostics(outcome.result.diagnostics) if outcome.result is not None else []
    return [diagnostic_line(_inside(outcome.name, folder), d) for d in found if d.severity is severity]


def _inside(name: str, folder: str) -> str:
    """A name of the folder without that in front."""
    path = Path(name)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else name


def json_summary(done: FolderDone) -> str:
    """The report of one file, with all of them; docs/cli.md names each field."""
    report = {
        "schema": JSON_SCHEMA,
        "exit_code": done.exit,
        "files": [outcome_record(o) for o in done.outcomes],
        "folder": done.folder,
        "output": done.output,
        "modules": list(done.modules),
        "left": list(done.left),
        "problem": done.problem and str(done.problem),
    }
    return json.dumps(report, indent=2, ensure_ascii=False)
