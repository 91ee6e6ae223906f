"""The report as Markdown, short enough for a comment on a pull request: a table, what there is to tell, the details."""

from __future__ import annotations

from collections.abc import Sequence

from torchlift_convert.report import (
    Outcome,
    counted,
    failure_lines,
    ledger_sum,
    located,
    proof_words,
    sentence,
    sorted_diagnostics,
)
from torchlift_convert.types import Became, Diagnostic, Result, Status

TITLE = "### torchlift"
HEAD = ("| script | result | module | data | proof |", "|---|---|---|---|---|")
WORDS = {
    Status.REFUSED: "**not converted**",
    Status.NO_LOOP: "no training loop",
    Status.ALREADY: "Lightning already",
    Status.SKIPPED: "skipped by a comment",
    Status.UNREADABLE: "**could not be read**",
}


def markdown_report(outcomes: Sequence[Outcome], patches: Sequence[str] = ()) -> str:
    """All outcomes. ``patches``: for each the change as a unified diff, '' where there is none."""
    lines = [TITLE, "", *HEAD, *(row(outcome) for outcome in outcomes), ""]
    for number, outcome in enumerate(outcomes):
        lines += details(outcome, patches[number] if number < len(patches) else "")
    return "\n".join(lines).rstrip() + "\n"


def row(outcome: Outcome) -> str:
    """One script in the table."""
    result = outcome.result
    if outcome.problem is not None or result is None or result.status is not Status.CONVERTED:
        word = "**could not be used**" if outcome.problem is not None else WORDS[outcome.status]
        return f"| {code(outcome.name)} | {word} | | | |"
    into = f"converted to {code(outcome.output)}" if outcome.output else "can be converted"
    module = f"{code(result.module or '')}, {result.optimization} optimization"
    data = code(result.datamodule) if result.datamodule else "as it was"
    proof = "**disproved**" if outcome.proof is None else str(outcome.proof)
    return f"| {code(outcome.name)} | {into} | {module} | {data} | {proof} |"


def details(outcome: Outcome, patch: str) -> list[str]:
    """What there is to tell of one script, and folded away what became what."""
    result = outcome.result
    if outcome.problem is not None or result is None:
        return [f"- {text(line)}" for line in failure_lines(outcome)] + [""]
    told = [f"- {diagnostic(outcome.name, d)}" for d in sorted_diagnostics(result.diagnostics)]
    words = [(code(located(outcome.name, v.span)), v) for v in result.vouched]
    told += [f"- {place} **{v.code}** on your word: {text(sentence(v.claim))}" for place, v in words]
    if outcome.verdict is not None:
        told.append(f"- {code(outcome.name)} verify: {text(proof_words(outcome))}")
    return [*told, *([""] if told else []), *became(outcome, result), *folded("Patch", fenced("diff", patch), patch)]


def diagnostic(name: str, told: Diagnostic) -> str:
    remedy = f" *{text(sentence(told.remedy))}*" if told.remedy else ""
    if told.claim:
        remedy += f" Or vouch that {text(told.claim)}: {code(f'# torchlift: ignore[{told.code}]')}"
    place = code(located(told.file or name, told.span))
    return f"{place} **{told.code}** ({told.severity}): {text(sentence(told.message))}{remedy}"


def became(outcome: Outcome, result: Result) -> list[str]:
    rows = [f"| {place(b)} | {text(b.source)} | {code(b.target)} |" for b in result.became]
    summary = f"{code(outcome.name)}: {ledger_sum(result.fates) or counted(len(rows), 'part')}"
    return folded(summary, ["| lines | part | became |", "|---|---|---|", *rows], rows)


def place(part: Became) -> str:
    return f"{code(part.file)} {part.span}" if part.file else str(part.span)


def folded(summary: str, lines: Sequence[str], wanted: object) -> list[str]:
    shown = summary.replace("`", "")
    return ["<details>", f"<summary>{shown}</summary>", "", *lines, "", "</details>", ""] if wanted else []


def fenced(language: str, block: str) -> list[str]:
    """A block of code, its fence longer than any inside."""
    fence = "```"
    while fence in block:
        fence += "`"
    return [f"{fence}{language}", block.rstrip("\n"), fence]


def code(words: str | None) -> str:
    """Inline code, also inside a table."""
    shown = (words or "").replace("|", "\\|").replace("\n", " ")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def text(words: str) -> str:
    """Words that must not turn into markup, names of the script's code among them."""
    for mark in ("\\", "`", "*", "_", "<", "|", "["):
        words = words.replace(mark, f"\\{mark}")
    return words.replace("\n", " ")
