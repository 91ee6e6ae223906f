"""The report: what the user reads, and the same as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from torchlift_convert.files import FileProblem
from torchlift_convert.report import Answer, Outcome, Verdict, json_report, ledger_sum, text_report
from torchlift_convert.types import (
    Became,
    Diagnostic,
    Fate,
    FateKind,
    Optimization,
    Proof,
    Result,
    Severity,
    Span,
    Status,
)

FATES = (
    Fate(Span(1, 1), FateKind.KEPT, "module", (Span(1, 1),)),
    Fate(Span(2, 3), FateKind.KEPT, "module", (Span(2, 3),)),
    Fate(Span(9, 9), FateKind.MOVED, "LitNet.training_step", (Span(20, 20), Span(31, 31)), "used twice"),
    Fate(Span(10, 10), FateKind.TRAINER, "Trainer(gradient_clip_val=1.0)"),
)
REFUSAL = Diagnostic("TL105", Severity.REFUSAL, "the loop is left by a return", Span(41, 43), "use break instead")
FINDING = Diagnostic("TL310", Severity.FINDING, "the model is never put back into training mode.", Span(12, 12))
NOTE = Diagnostic("TL901", Severity.NOTE, "plots are drawn after the loop", Span(60, 60))

CONVERTED = Outcome(
    "train.py",
    result=Result(
        Status.CONVERTED,
        Proof.BY_CONSTRUCTION,
        "import torchlift as L\n",
        Optimization.AUTOMATIC,
        "DigitsDataModule",
        "LitNet",
        (
            Became("train(): the batch loop", Span(23, 37), "LitNet.training_step"),
            Became("test()", Span(41, 54), "LitNet.validation_step"),
        ),
        FATES,
        (NOTE, FINDING),
    ),
    output="train_lightning.py",
    written=True,
)


def test_a_conversion_reads_like_this() -> None:
    assert text_report(CONVERTED) == (
        "Converted train.py to train_lightning.py.\n"
        "\n"
        "  23-37  train(): the batch loop  ->  LitNet.training_step\n"
        "  41-54  test()                   ->  LitNet.validation_step\n"
        "\n"
        "module:  LitNet, automatic optimization\n"
        "data:    DigitsDataModule\n"
        "ledger:  4 statements: 2 kept, 1 moved, 1 done by the Trainer\n"
        "proof:   exact-by-construction (each step of the conversion keeps the numbers; nothing was run)\n"
        "\n"
        "Findings (kept as the original has them):\n"
        "train.py:12: TL310: the model is never put back into training mode.\n"
        "\n"
        "Notes:\n"
        "train.py:60: TL901: plots are drawn after the loop."
    )


def test_the_quiet_report_is_one_line() -> None:
    assert text_report(CONVERTED, quiet=True) == "Converted train.py to train_lightning.py."


@pytest.mark.parametrize(
    ("outcome", "headline"),
    [
        (replace(CONVERTED, backup="train.py.bak"), "Converted train.py in place; the original is now train.py.bak."),
        (replace(CONVERTED, written=False), "train_lightning.py is up to date with train.py; it was left as it is."),
        (replace(CONVERTED, written=False, output=None), "train.py can be converted; nothing was written."),
    ],
)
def test_the_headline_says_what_happened_to_the_files(outcome: Outcome, headline: str) -> None:
    assert text_report(outcome).splitlines()[0] == headline


@pytest.mark.parametrize(
    ("verdict", "line", "proof"),
    [
        (
            Verdict(Answer.EXACT, "exact over 71 steps, 71 losses", 71),
            "proof:   exact over 71 steps, 71 losses",
            "exact",
        ),
        (
            Verdict(Answer.DIFFERS, "step 3: the loss differs"),
            "proof:   DISPROVED by running both: step 3: the loss differs",
            None,
        ),
        (
            Verdict(Answer.NO_ANSWER, "not reproducible by itself"),
            "proof:   exact-by-construction (running both gave no answer: not reproducible by itself)",
            "exact-by-construction",
        ),
    ],
)
def test_a_run_proves_or_disproves(verdict: Verdict, line: str, proof: str | None) -> None:
    outcome = replace(CONVERTED, verdict=verdict)
    assert line in text_report(outcome).splitlines()
    assert outcome.proof == proof
    assert json.loads(json_report([outcome], 0))["files"][0]["proof"] == proof


def test_a_refusal_names_the_place_the_reason_and_the_remedy() -> None:
    outcome = Outcome("train.py", result=Result(Status.REFUSED, diagnostics=(FINDING, REFUSAL)))
    assert text_report(outcome).splitlines() == [
        "train.py:12: TL310: the model is never put back into training mode.",
        "train.py:41: TL105: the loop is left by a return. Remedy: use break instead.",
        "train.py was not converted; nothing was written.",
    ]
    assert outcome.proof is Proof.REFUSED


@pytest.mark.parametrize("status", [Status.NO_LOOP, Status.ALREADY, Status.UNREADABLE])
def test_every_other_failure_has_one_sentence_even_without_a_diagnostic(status: Status) -> None:
    (line,) = text_report(Outcome("train.py", result=Result(status))).splitlines()
    assert line.startswith("train.py: ")
    assert line.endswith("nothing was written.")
    diagnosed = Outcome("train.py", result=Result(status, diagnostics=(replace(NOTE, span=Span(7, 7)),)))
    assert text_report(diagnosed) == "train.py:7: TL901: plots are drawn after the loop."


def test_a_file_problem_is_the_whole_report() -> None:
    problem = FileProblem("train.py", "this is a directory.", line=3, remedy="name a file.")
    outcome = Outcome("train.py", problem=problem)
    assert text_report(outcome) == "train.py:3: this is a directory. Remedy: name a file."
    assert text_report(replace(CONVERTED, problem=problem)) == text_report(outcome)  # the write failed at the end


def test_the_ledgers_sum() -> None:
    assert ledger_sum(FATES) == "4 statements: 2 kept, 1 moved, 1 done by the Trainer"
    assert ledger_sum(FATES[:1]) == "1 statement: 1 kept"
    assert ledger_sum(()) == ""


def test_the_json_report_holds_everything() -> None:
    report = json.loads(json_report([CONVERTED], 0))
    assert report["schema"] == 1
    assert report["exit_code"] == 0
    (record,) = report["files"]
    assert record.pop("message") == "Converted train.py to train_lightning.py."
    assert record.pop("fates")[2] == {
        "lines": [9, 9],
        "kind": "moved",
        "where": "LitNet.training_step",
        "targets": [[20, 20], [31, 31]],
        "note": "used twice",
        "file": None,
    }
    assert record == {
        "input": "train.py",
        "output": "train_lightning.py",
        "backup": None,
        "written": True,
        "target": "torchlift",
        "status": "converted",
        "optimization": "automatic",
        "module": "LitNet",
        "datamodule": "DigitsDataModule",
        "proof": "exact-by-construction",
        "verdict": None,
        "ledger": {"statements": 4, "kept": 2, "moved": 1, "merged": 0, "trainer": 1, "refused": 0},
        "became": [
            {"source": "train(): the batch loop", "lines": [23, 37], "target": "LitNet.training_step", "file": None},
            {"source": "test()", "lines": [41, 54], "target": "LitNet.validation_step", "file": None},
        ],
        "diagnostics": [
            {
                "code": "TL310",
                "severity": "finding",
                "message": "the model is never put back into training mode.",
                "lines": [12, 12],
                "remedy": "",
                "claim": None,
                "file": None,
            },
            {
                "code": "TL901",
                "severity": "note",
                "message": "plots are drawn after the loop",
                "lines": [60, 60],
                "remedy": "",
                "claim": None,
                "file": None,
            },
        ],
        "problem": None,
        "vouched": [],
    }


def test_a_problem_and_a_verdict_stand_in_the_json_report() -> None:
    outcome = Outcome("train.py", problem=FileProblem("train.py", "is odd.", line=3, remedy="mend it."))
    (record,) = json.loads(json_report([outcome], 2))["files"]
    assert record["status"] == "unreadable"
    assert record["problem"] == {"message": "is odd.", "line": 3, "remedy": "mend it."}
    assert record["message"] == "train.py:3: is odd. Remedy: mend it."
    proved = replace(CONVERTED, verdict=Verdict(Answer.EXACT, "exact over 71 steps", 71))
    (record,) = json.loads(json_report([proved], 0))["files"]
    assert record["verdict"] == {"answer": "exact", "sentence": "exact over 71 steps", "steps": 71}
