"""Turn the measurements of a corpus of public scripts into ``docs/corpus.md``. Pure: records in, Markdown out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import zip_longest
from typing import Any

# More steps than this in one call of training_step: the loop was copied whole into the hook.
MOST_STEPS_IN_A_CALL = 12


class Outcome(Enum):
    """What happened to one script; the value is the wording of the summary."""

    EXACT = "exact: every loss and weight equal bit for bit"
    DIFFERS = "differs: converts and runs, other numbers"
    TOY = "toy: imports the framework, trains outside of it"
    FAILED = "fails: converts, the result does not run"
    CRASH = "crash: the converter broke"
    REFUSED = "refused, with a reason"
    NOT_RUN = "converted, not run (the original cannot run here)"
    UNCHANGED = "unchanged: nothing of the framework in the result"

    @property
    def is_alarm(self) -> bool:
        """Nothing of this kind may ever happen."""
        return self in (Outcome.DIFFERS, Outcome.TOY, Outcome.FAILED, Outcome.CRASH, Outcome.UNCHANGED)


@dataclass(frozen=True)
class Details:
    """What the converter itself says about a script, beyond what a comparison of two runs shows."""

    optimization: str = ""  # 'automatic', 'manual' or '' where unknown
    datamodule: bool | None = None
    refusal: str = ""  # 'TL105 line 42: message'


@dataclass(frozen=True)
class Row:
    """One script of the corpus: a line of the table."""

    id: str
    where: str  # owner/name: path
    commit: str
    tags: tuple[str, ...]
    expect: str  # convert, manual, either, refuse or any
    outcome: Outcome
    said: str  # the outcome in words: how many steps, which differ, why refused
    optimization: str = ""
    datamodule: bool | None = None
    printed: str = ""  # 'yes', 'no: line N', or '' where nothing was run
    buffers: bool | None = None

    @property
    def as_expected(self) -> bool:
        """Does the outcome agree with what a right converter does with this script?"""
        converted = self.outcome in (Outcome.EXACT, Outcome.NOT_RUN)
        if self.outcome is Outcome.REFUSED:
            return self.expect != "convert" and self.expect != "manual"
        return converted and self.expect != "refuse"

    @property
    def alarms(self) -> tuple[str, ...]:
        """What must not stay as it is, in words."""
        found = []
        if self.outcome.is_alarm:
            found.append(self.said)
        if self.outcome is Outcome.EXACT and self.buffers is False:
            found.append("buffers (running statistics) differ at the end")
        if self.outcome is Outcome.EXACT and self.printed.startswith("no"):
            found.append(f"printed lines differ ({self.printed})")
        if self.expect == "refuse" and self.outcome in (Outcome.EXACT, Outcome.NOT_RUN):
            found.append("converted although the corpus expects a refusal")
        return tuple(found)


def outcome_of(result: Mapping[str, Any], backwards: int = 0) -> tuple[Outcome, str]:
    """Judge one entry of compare.py's JSON.

    Args:
        result: the entry.
        backwards: how often the original calls ``backward()``; said instead of the number of steps where the script
            has no optimizer.

    Returns:
        The outcome and a few words on it.
    """
    verdict = result["verdict"]
    if verdict == "refused":
        if result.get("convert_rc") not in (1, 2):
            return Outcome.CRASH, f"exit code {result.get('convert_rc')} and no file written"
        return Outcome.REFUSED, result.get("message") or "no reason given"
    if verdict != "converted":
        return Outcome.CRASH, f"{verdict}: {result.get('message', '')}"
    if result.get("syntax"):
        return Outcome.FAILED, f"the result does not parse: {result['syntax']}"
    if not result.get("lit"):
        return Outcome.UNCHANGED, "the result imports neither torchlift nor lightning"
    if "cmp" not in result:
        return Outcome.NOT_RUN, "converted, not run"
    return _compared(result, backwards)


def _compared(result: Mapping[str, Any], backwards: int) -> tuple[Outcome, str]:
    compared = result["cmp"]
    if not result.get("ran"):
        return Outcome.FAILED, f"the result stops with exit code {result.get('run_rc')}: {result.get('run_error', '')}"
    if compared["outside_fit"]:
        return Outcome.TOY, f"toy: {compared['outside_fit']} optimizer steps outside the Trainer's fit"
    if compared["per_call"] > MOST_STEPS_IN_A_CALL:
        return Outcome.TOY, f"toy: {compared['per_call']} optimizer steps in one call of training_step"
    before, after = compared["steps"]
    if not compared["identical"]:
        where = f"{compared['what']} at step {compared['first_div']}"
        return Outcome.DIFFERS, f"differs: {where} ({before} -> {after} steps)"
    if not before:
        return Outcome.EXACT, f"exact, {backwards} backward calls (no optimizer: a toy would not show)"
    return Outcome.EXACT, f"exact, {before} steps"


def printed_verdict(original: Sequence[str], again: Sequence[str], converted: Sequence[str]) -> str:
    """Are the printed lines equal, those aside that the original itself does not repeat?

    Args:
        original: lines of one run of the original.
        again: lines of a second run of the original.
        converted: lines of the converted script.
    """
    own = {i for i, (a, b) in enumerate(zip(original, again)) if a != b}
    for number, (a, b) in enumerate(zip_longest(original, converted)):
        if a != b and (number not in own or a is None or b is None):
            return f"no: line {number + 1}"
    return f"yes, but for {len(own)} that never repeat" if own else "yes"


def build_row(
    entry: Mapping[str, Any], result: Mapping[str, Any], details: Details = Details(), printed: str | None = None
) -> Row:
    """Put together the manifest's entry, compare.py's result and what the converter says."""
    outcome, said = outcome_of(result, (entry.get("original") or {}).get("backwards", 0))
    if outcome is Outcome.REFUSED and details.refusal:
        said = details.refusal
    compared = result.get("cmp") or {}
    if printed is None:
        printed = {True: "yes", False: "no", None: ""}[compared.get("printed")]
    root = entry.get("root", ".")
    path = entry["script"] if root == "." else f"{root}/{entry['script']}"
    converted = outcome in (Outcome.EXACT, Outcome.DIFFERS, Outcome.NOT_RUN, Outcome.FAILED)
    traced = ("manual" if compared.get("manual") else "automatic") if any(compared.get("steps", ())) else ""
    return Row(
        id=entry["id"],
        where=f"{entry['repo']}: {path}",
        commit=entry.get("commit", ""),
        tags=tuple(entry.get("tags") or ()),
        expect=entry.get("expect") or "any",
        outcome=outcome,
        said=said,
        optimization=(traced or details.optimization) if converted else "",
        datamodule=details.datamodule if converted else None,
        printed=printed if compared and result.get("ran") else "",
        buffers=compared.get("buffers"),
    )


def markdown(rows: Sequence[Row]) -> str:
    """The whole page."""
    parts = [_head(rows), _alarms(rows), _summary(rows), _table(rows), _sources(rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(rows: Sequence[Row]) -> str:
    return (
        "# Public training scripts, converted and compared\n\n"
        f"{len(rows)} scripts from {len({_repository(r) for r in rows})} public repositories, none of them written "
        "with this tool in mind. Each is converted, run before and after on the CPU with small fake data, and every "
        "loss given to `backward()`, every learning rate, weight and buffer and every printed line is compared. "
        "The scripts themselves are not part of this repository. `make corpus` writes this page."
    )


def _alarms(rows: Iterable[Row]) -> str:
    lines = [f"- **{r.id}**: {_cell(alarm)}" for r in rows for alarm in r.alarms]
    if not lines:
        return "## Wrong results\n\nNone: no other numbers, no toy, no crash, no broken file."
    return "## Wrong results\n\n" + "\n".join(lines)


def _summary(rows: Sequence[Row]) -> str:
    counts = Counter((r.outcome, r.optimization if r.outcome is Outcome.EXACT else "") for r in rows)
    lines = ["## Summary", "", "| outcome | scripts | as expected |", "|---|---|---|"]
    for outcome in Outcome:
        for optimization in ("automatic", "manual", ""):
            if n := counts[outcome, optimization]:
                met = sum(
                    r.as_expected
                    for r in rows
                    if r.outcome is outcome and (outcome is not Outcome.EXACT or r.optimization == optimization)
                )
                name = f"{outcome.value}, {optimization} optimization" if optimization else outcome.value
                lines.append(f"| {name} | {n} | {met} |")
    lines.append(f"| all | {len(rows)} | {sum(r.as_expected for r in rows)} |")
    exact = [r for r in rows if r.outcome is Outcome.EXACT]
    lines += ["", f"With a DataModule: {sum(r.datamodule is True for r in exact)} of {len(exact)} exact ones."]
    return "\n".join(lines)


def _table(rows: Iterable[Row]) -> str:
    lines = [
        "## Script by script",
        "",
        "| script | shape | outcome | optimization | DataModule | printed lines equal | expected |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        mark = "" if r.as_expected else " (not met)"
        datamodule = {True: "yes", False: "no", None: ""}[r.datamodule]
        cells = (
            f"**{r.id}** {r.where}", ", ".join(r.tags), r.said, r.optimization, datamodule, r.printed, r.expect + mark
        )  # fmt: skip
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _sources(rows: Iterable[Row]) -> str:
    commits = sorted({(_repository(r), r.commit) for r in rows})
    return "## Sources\n\n" + "\n".join(f"- `{repository}` at `{commit[:12]}`" for repository, commit in commits)


def _repository(row: Row) -> str:
    return row.where.split(":")[0]


def _cell(text: str) -> str:
    """Text that a table's cell can hold."""
    return " ".join(text.split()).replace("|", "\\|")
