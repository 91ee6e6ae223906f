"""The verdict for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torchlift.verify.prove import Proof
from torchlift.verify.records import to_json
from torchlift.verify.verdict import Answer, Difference, Side, Verdict

FORMAT = 1


def text(proof: Proof) -> str:
    """Several lines; the last one is the verdict's sentence."""
    return "\n".join([*_details(proof), proof.verdict.sentence])


def _details(proof: Proof) -> Iterator[str]:
    verdict = proof.verdict
    names = ("run 1", "run 2") if verdict.answer is Answer.NOT_REPRODUCIBLE else ("BEFORE", "AFTER")
    for position, difference in enumerate(verdict.differences):
        yield from _told(difference, names, "first difference" if position == 0 else "also differs")
        if position == 0:
            for cause in verdict.causes:
                yield from _told(cause, names, "since the last equal step")
    for note in verdict.notes:
        yield f"note: {note}"
    if verdict.answer is not Answer.EXACT:
        last = proof.after or proof.before
        if last is not None and last.outcome.kind in ("raised", "died") and last.stderr:
            yield f"the end of what {last.script} wrote to standard error:"
            yield from (f"  | {line}" for line in last.stderr.rstrip().splitlines()[-8:])


def _told(difference: Difference, names: tuple[str, str], lead: str) -> Iterator[str]:
    where = "" if difference.step is None else f", step {difference.step + 1}"
    yield f"{lead}{where}: {difference.what}"
    for name, side in zip(names, (difference.before, difference.after)):
        yield f"  {name:7} {_side(side)}"


def _side(side: Side) -> str:
    said = side.text or "nothing"
    return f"{said}   ({side.site})" if side.site else said


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    return {**to_json(verdict), "answer": verdict.answer.value, "exit_code": verdict.exit_code}


def data(proof: Proof) -> dict[str, Any]:
    """Everything, for `--report`: the verdict and both traces (`records.trace_from` reads one back)."""
    return {
        "format": FORMAT,
        "verdict": verdict_data(proof.verdict),
        "before": to_json(proof.before),
        "after": to_json(proof.after),
    }
