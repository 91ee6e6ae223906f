"""The report as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), which code hosts show at the lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from torchlift_convert.explain import BUG, Page, markdown, pages
from torchlift_convert.report import Outcome, sentence, sorted_diagnostics
from torchlift_convert.types import Diagnostic, Severity, Span, Vouch

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {Severity.REFUSAL: "error", Severity.FINDING: "warning", Severity.NOTE: "note", BUG: "error"}


def sarif_report(outcomes: Sequence[Outcome], exit_code: int, version: str | None) -> str:
    """One run with the results of all scripts; the rules are the codes that occur."""
    results = [one for outcome in outcomes for one in _results(outcome)]
    order = sorted({one["ruleId"] for one in results})
    for one in results:
        one["ruleIndex"] = order.index(one["ruleId"])
    driver: dict[str, Any] = {"name": "torchlift", "rules": [_rule(pages()[code]) for code in order]}
    if version is not None:
        driver["version"] = version
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": exit_code < 2,
                "exitCode": int(exit_code),
                "toolExecutionNotifications": [_notification(o) for o in outcomes if o.problem is not None],
            }
        ],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _rule(page: Page) -> dict[str, Any]:
    return {
        "id": page.code,
        "shortDescription": {"text": sentence(page.title)},
        "fullDescription": {"text": page.meaning},
        "help": {"text": page.remedy, "markdown": markdown([page])},
        "defaultConfiguration": {"level": LEVELS[page.severities[0]]},
        "properties": {"tags": [page.family]},
    }


def _results(outcome: Outcome) -> list[dict[str, Any]]:
    if outcome.result is None:
        return []
    found = [_result(outcome.name, told) for told in sorted_diagnostics(outcome.result.diagnostics)]
    return found + [_vouched(outcome.name, word) for word in outcome.result.vouched]


def _result(name: str, told: Diagnostic) -> dict[str, Any]:
    text = " ".join(sentence(part) for part in (told.message, told.remedy) if part)
    return {
        "ruleId": told.code,
        "level": LEVELS[told.severity],
        "message": {"text": text},
        "locations": [_location(told.file or name, told.span)],
    }


def _vouched(name: str, word: Vouch) -> dict[str, Any]:
    """A refusal that the author's word has taken back: a result that is suppressed, with the word as the reason."""
    return {
        "ruleId": word.code,
        "level": "error",
        "message": {"text": sentence(f"Converted on the author's word: {word.claim}")},
        "locations": [_location(name, word.span)],
        "suppressions": [{"kind": "inSource", "status": "accepted", "justification": word.claim}],
    }


def _notification(outcome: Outcome) -> dict[str, Any]:
    """A file that could not be read, used or written."""
    problem = outcome.problem
    assert problem is not None
    line = problem.line or 1
    return {
        "level": "error",
        "message": {"text": str(problem)},
        "locations": [_location(problem.name, Span(line, line))],
    }


def _location(name: str, span: Span) -> dict[str, Any]:
    region = {"startLine": max(span.first, 1), "endLine": max(span.last, span.first, 1)}
    where: dict[str, Any] = {"artifactLocation": {"uri": uri(name)}}
    if span.cell:  # the file's own lines are those of its JSON
        return {"physicalLocation": where, "logicalLocations": [{"fullyQualifiedName": span.begins}]}
    return {"physicalLocation": {**where, "region": region}}


def uri(name: str) -> str:
    """A file's name as a URI: one that stays relative, so that a code host finds it in the repository."""
    path = Path(name)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
