"""What the user is told about a conversion, as text to read and as JSON to process. Pure: records in, text out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from torchlift_convert.files import FileProblem
from torchlift_convert.types import (
    Became,
    Diagnostic,
    Direction,
    Fate,
    FateKind,
    Proof,
    Result,
    Severity,
    Span,
    Status,
    Target,
)

# Raised when a field changes its meaning or goes away; new fields may join at any time.
JSON_SCHEMA = 1

DONE_WORDS = {Direction.CONVERT: "converted", Direction.EJECT: "ejected"}

KIND_WORDS = {
    FateKind.KEPT: "kept",
    FateKind.MOVED: "moved",
    FateKind.MERGED: "merged",
    FateKind.TRAINER: "done by the Trainer",
    FateKind.REFUSED: "refused",
}

PROOF_WORDS = {
    Proof.EXACT: "both were run and compared, bit for bit",
    Proof.BY_CONSTRUCTION: "each step of the conversion keeps the numbers; nothing was run",
    Proof.VOUCHED: "the numbers are kept if the author is right, which the script checks when it runs",
    Proof.REORDERED: "the same mathematics, other random draws",
    Proof.REFUSED: "nothing was written",
}

SECTIONS = (
    (Severity.REFUSAL, "To be done by hand"),
    (Severity.FINDING, "Findings (kept as the original has them)"),
    (Severity.NOTE, "Notes"),
)


class Answer(StrEnum):
    """What running both scripts has shown."""

    EXACT = "exact"
    DIFFERS = "differs"
    NO_ANSWER = "no-answer"  # could not be run, or not reproducible by itself


@dataclass(frozen=True)
class Verdict:
    """Verify's answer. ``sentence`` is its own last word, 'exact over 71 steps, 71 losses, 6 printed lines' or what
    differs first or why there is no answer; ``steps`` counts the optimizer steps that were compared.
    """

    answer: Answer
    sentence: str
    steps: int | None = None


@dataclass(frozen=True)
class Outcome:
    """All that happened to one script on its way through the command line.

    ``result`` is None when the file could not be read, and then ``problem`` says why. ``output`` and ``backup`` are
    names as the user would type them; ``written`` is False in a dry run, and when the output was up to date.
    """

    name: str
    target: Target = Target.TORCHLIFT
    result: Result | None = None
    problem: FileProblem | None = None
    output: str | None = None
    backup: str | None = None
    written: bool = False
    verdict: Verdict | None = None
    direction: Direction = Direction.CONVERT

    @property
    def status(self) -> Status:
        return Status.UNREADABLE if self.result is None else self.result.status

    @property
    def proof(self) -> Proof | None:
        """What the conversion promises, until a run has proved it (``exact``) or disproved it (None)."""
        if self.result is None or self.result.status is not Status.CONVERTED:
            return Proof.REFUSED
        match self.verdict:
            case Verdict(answer=Answer.EXACT):
                return Proof.EXACT
            case Verdict(answer=Answer.DIFFERS):
                return None
        return self.result.proof


# --- text ---------------------------------------------------------------------------------------------------------


def text_report(outcome: Outcome, *, quiet: bool = False) -> str:
    """The report that ``torchlift convert`` prints: a headline, what became what, the ledger, the proof, the findings.

    ``quiet`` leaves the headline and what has to be done by hand.
    """
    result = outcome.result
    if outcome.problem is not None or result is None or result.status is not Status.CONVERTED:
        return "\n".join(failure_lines(outcome))
    blocks = [[headline(outcome)]]
    if not quiet:
        blocks += [became_lines(result.became), fact_lines(outcome, result)]
    for severity, title in SECTIONS:
        chosen = [d for d in sorted_diagnostics(result.diagnostics) if d.severity is severity]
        if chosen and (severity is Severity.REFUSAL or not quiet):
            blocks.append([f"{title}:", *(diagnostic_line(outcome.name, d) for d in chosen)])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def headline(outcome: Outcome) -> str:
    """One sentence: which file, into what."""
    name, output, word = outcome.name, outcome.output, DONE_WORDS[outcome.direction]
    if not outcome.written:
        if output is None:
            return f"{name} can be {word}; nothing was written."
        return f"{output} is up to date with {name}; it was left as it is."
    if outcome.backup is not None:
        return f"{word.capitalize()} {name} in place; the original is now {outcome.backup}."
    return f"{word.capitalize()} {name} to {output}."


def fact_lines(outcome: Outcome, result: Result) -> list[str]:
    """The module, the data, the ledger's sum and the proof, one line each."""
    how = f"{result.optimization} optimization" if result.optimization else ""
    module = ", ".join(filter(None, [result.module or "", how]))
    forth = outcome.direction is Direction.CONVERT
    facts = [
        ("module", module),
        ("data", result.datamodule or ("no DataModule; the data stays where it was" if forth else "")),
        ("cells", result.cells.order if result.cells is not None else ""),
        ("ledger", ledger_sum(result.fates)),
        ("proof", proof_words(outcome)),
    ]
    facts += [
        ("word", f"{v.span if v.span.cell else f'line {v.span.first}'}: {v.code}: {sentence(v.claim)}")
        for v in result.vouched
    ]
    return [f"{key + ':':<8} {value}" for key, value in facts if value]


def proof_words(outcome: Outcome) -> str:
    """The proof level and what it rests on, in one line."""
    proof, verdict = outcome.proof, outcome.verdict
    if proof is None:
        return f"DISPROVED by running both: {verdict.sentence if verdict else ''}"
    if verdict is None:
        return f"{proof} ({PROOF_WORDS[proof]})"
    if verdict.answer is Answer.NO_ANSWER:
        return f"{proof} (running both gave no answer: {verdict.sentence})"
    return verdict.sentence


def became_lines(became: Sequence[Became]) -> list[str]:
    """What became what, in three columns: lines of the original, what stood there, where it is now."""
    rows = [(f"{b.file}:{b.span}" if b.file else str(b.span), b.source, b.target) for b in became]
    if not rows:
        return []
    lines = max(len(r[0]) for r in rows)
    source = max(len(r[1]) for r in rows)
    return [f"  {r[0]:>{lines}}  {r[1]:<{source}}  ->  {r[2]}" for r in rows]


def ledger_sum(fates: Iterable[Fate]) -> str:
    """'41 statements: 20 kept, 14 moved, 7 done by the Trainer'; '' without a ledger."""
    counts = ledger(fates)
    total = sum(counts.values())
    parts = ", ".join(f"{number} {KIND_WORDS[kind]}" for kind, number in counts.items() if number)
    return f"{counted(total, 'statement')}: {parts}" if total else ""


def ledger(fates: Iterable[Fate]) -> dict[FateKind, int]:
    """How many statements had each fate, in the order in which fates are declared."""
    counts = Counter(fate.kind for fate in fates)
    return {kind: counts[kind] for kind in FateKind}


def diagnostic_line(name: str, diagnostic: Diagnostic) -> str:
    """``train.py:41: TL302: sentence. Remedy: ...``"""
    line = f"{located(diagnostic.file or name, diagnostic.span)}: {diagnostic.code}: {sentence(diagnostic.message)}"
    if diagnostic.remedy:
        line += f" Remedy: {sentence(diagnostic.remedy)}"
    if diagnostic.claim:
        line += f" Or vouch that {diagnostic.claim}, which the result checks: # torchlift: ignore[{diagnostic.code}]"
    return line


def located(name: str, span: Span) -> str:
    """``train.py:41``, or ``train.ipynb: cell 7, line 3``."""
    return f"{name}: {span.begins}" if span.cell else f"{name}:{span.begins}"


def sorted_diagnostics(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    return sorted(diagnostics, key=lambda d: (d.span.order, d.code, d.message))


def failure_lines(outcome: Outcome) -> list[str]:
    """Why nothing was converted: one clear sentence, or one for each thing that has to be done by hand."""
    if outcome.problem is not None:
        return [str(outcome.problem)]
    assert outcome.result is not None
    found = [diagnostic_line(outcome.name, d) for d in sorted_diagnostics(outcome.result.diagnostics)]
    name = outcome.name
    match outcome.status:
        case Status.REFUSED:
            return [*found, f"{name} was not {DONE_WORDS[outcome.direction]}; nothing was written."]
        case Status.SKIPPED:
            return [f"{name}: a comment asks torchlift to leave this file alone (skip-file); nothing was written."]
        case Status.ALREADY:
            return found or [f"{name}: this is Lightning code already; nothing was written."]
        case Status.NO_LOOP:
            why = "no training loop was found (one that reaches a backward() and an optimizer's step())"
            if outcome.direction is Direction.EJECT:
                why = "no call of a Trainer of Lightning or torchlift was found"
            return found or [f"{name}: {why}; nothing was written."]
        case _:
            return found or [f"{name}: this is not Python that can be parsed; nothing was written."]


def sentence(text: str) -> str:
    """End a message with a full stop unless it ends with a mark of its own."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def counted(number: int | None, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- JSON ---------------------------------------------------------------------------------------------------------


def json_report(outcomes: Sequence[Outcome], exit_code: int, rows: Sequence[Sequence[Any]] = ()) -> str:
    """The same as JSON: ``{"schema": 1, "exit_code": 0, "files": [...]}``; docs/cli.md names each field.

    ``rows``: of each file the rows of a comparison (``sidebyside.Row``).
    """
    records = [outcome_record(o) for o in outcomes]
    for record, held in zip(records, rows, strict=False):
        record["rows"] = [row_record(row) for row in held]
    report = {"schema": JSON_SCHEMA, "exit_code": exit_code, "files": records}
    return json.dumps(report, indent=2, ensure_ascii=False)


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    result = outcome.result or Result(Status.UNREADABLE)
    problem = outcome.problem
    return {
        "input": outcome.name,
        "output": outcome.output,
        "backup": outcome.backup,
        "written": outcome.written,
        "target": outcome.target,
        "status": outcome.status,
        "optimization": result.optimization,
        "module": result.module,
        "datamodule": result.datamodule,
        "proof": outcome.proof,
        "verdict": outcome.verdict
        and {"answer": outcome.verdict.answer, "sentence": outcome.verdict.sentence, "steps": outcome.verdict.steps},
        "ledger": {"statements": len(result.fates)} | ledger(result.fates),
        "became": [
            {"source": b.source, **lines(b.span), "target": b.target, "file": b.file or None} for b in result.became
        ],
        "fates": [fate_record(fate) for fate in result.fates],
        "vouched": [{"code": v.code, **lines(v.span), "claim": v.claim} for v in result.vouched],
        "diagnostics": [diagnostic_record(d) for d in sorted_diagnostics(result.diagnostics)],
        "message": text_report(outcome, quiet=True),
        "problem": problem and {"message": problem.message, "line": problem.line, "remedy": problem.remedy},
    }


def row_record(row: Any) -> dict[str, Any]:
    sides = {"before": row.before, "after": row.after}
    texts = {side: line and {"line": line.number, "text": line.text} for side, line in sides.items()}
    fate = None if row.fate is None else row.fate.kind
    return {**texts, "fate": fate, "generated": row.generated, "counterpart": [plain(s) for s in row.counterpart]}


def fate_record(fate: Fate) -> dict[str, Any]:
    return {
        **lines(fate.source),
        "kind": fate.kind,
        "where": fate.where,
        "targets": [plain(target) for target in fate.targets],
        **({"target_cells": [target.cell for target in fate.targets]} if fate.source.cell else {}),
        "note": fate.note,
        "file": fate.file or None,
    }


def diagnostic_record(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **lines(diagnostic.span),
        "remedy": diagnostic.remedy,
        "claim": diagnostic.claim or None,
        "file": diagnostic.file or None,
    }


def lines(span: Span) -> dict[str, Any]:
    """Where something is: its lines; of a notebook the cells that the first and the last of them are in, too."""
    return {"lines": plain(span)} | ({"cells": [span.cell, span.to]} if span.cell else {})


def plain(span: Span) -> list[int]:
    return [span.first, span.last]
