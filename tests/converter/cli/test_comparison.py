"""What ``torchlift diff`` lays side by side, and what it runs; the converters here are small functions of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from torchlift_convert.cli.comparison import IN_MEMORY, compare, exit_code, verdict_of
from torchlift_convert.cli.exits import ExitCode
from torchlift_convert.report import Answer, Verdict
from torchlift_convert.types import Diagnostic, Fate, FateKind, Options, Result, Severity, Span, Status, Target

Snapshot = Callable[[], dict[str, bytes]]
BEFORE = "import torch\nloop()\n"
AFTER = "import torch\nimport torchlift as L\ntrainer()\n"
FATES = (
    Fate(Span(1, 1), FateKind.KEPT, "module", (Span(1, 1),)),
    Fate(Span(2, 2), FateKind.TRAINER, "fit"),
)


def converter(source: bytes, options: Options) -> Result:
    return Result(Status.CONVERTED, code=AFTER, fates=FATES)


def refuser(source: bytes, options: Options) -> Result:
    return Result(Status.REFUSED, diagnostics=(Diagnostic("TL105", Severity.REFUSAL, "no", Span(2, 2)),))


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "train.py").write_text(BEFORE)
    return str(tmp_path / "train.py")


def given(tmp_path: Path, text: str) -> str:
    (tmp_path / "after.py").write_text(text)
    return str(tmp_path / "after.py")


def test_a_script_is_converted_in_memory(script: str, snapshot: Snapshot) -> None:
    seen = compare(script, None, Target.TORCHLIFT, converter)
    assert seen.view is not None
    assert (seen.view.before_name, seen.view.after_name) == (script, IN_MEMORY)
    assert [row.fate for row in seen.view.rows] == [FATES[0], FATES[1], None, None]
    assert seen.exit is ExitCode.DONE
    assert list(snapshot()) == ["train.py"]


def test_the_result_in_memory_runs_beside_the_original(script: str, snapshot: Snapshot) -> None:
    before = snapshot()

    def prove(original: Path, candidate: Path) -> Verdict:
        assert (original.read_text(), candidate.read_text()) == (BEFORE, AFTER)
        assert original.parent == candidate.parent
        return Verdict(Answer.EXACT, "exact over 2 steps", 2)

    verdict = verdict_of(compare(script, None, Target.TORCHLIFT, converter), prove)
    assert verdict.answer is Answer.EXACT
    assert snapshot() == before


def test_a_given_result_runs_where_it_is(script: str, tmp_path: Path) -> None:
    after = given(tmp_path, AFTER)
    asked: list[Path] = []

    def prove(original: Path, candidate: Path) -> Verdict:
        asked.extend([original, candidate])
        return Verdict(Answer.DIFFERS, "step 1")

    verdict_of(compare(script, after, Target.TORCHLIFT, converter), prove)
    assert asked == [Path(script), Path(after)]


def test_edits_of_the_result_are_shown(script: str, tmp_path: Path) -> None:
    seen = compare(script, given(tmp_path, "# mine\n" + AFTER), Target.TORCHLIFT, converter)
    assert seen.view is not None
    assert [row.after and row.after.text for row in seen.view.rows if row.after] == ["# mine", *AFTER.splitlines()]
    kept = next(row for row in seen.view.rows if row.before and row.before.number == 1)
    assert kept.after is not None
    assert (kept.after.number, kept.fate and kept.fate.kind) == (2, FateKind.KEPT)


def test_a_result_written_by_hand_is_compared_with_what_cannot_be_converted(script: str, tmp_path: Path) -> None:
    seen = compare(script, given(tmp_path, AFTER), Target.TORCHLIFT, refuser)
    assert seen.view is not None
    assert seen.exit is ExitCode.DONE
    assert seen.runnable
    assert [d.code for d in seen.view.diagnostics] == ["TL105"]
    assert seen.view.counts == {}  # equal lines are no ledger
    assert [row.fate is not None for row in seen.view.rows] == [True, False, False, False]


def test_a_refusal_without_a_result_is_the_report(script: str) -> None:
    seen = compare(script, None, Target.TORCHLIFT, refuser)
    assert (seen.view, seen.exit, seen.runnable) == (None, ExitCode.LEFT, False)
    assert seen.failure.startswith(f"{script}:2: TL105: no.")


@pytest.mark.parametrize("missing", ["train.py", "after.py"])
def test_a_file_that_is_not_there(missing: str, script: str, tmp_path: Path) -> None:
    after = given(tmp_path, AFTER)
    (tmp_path / missing).unlink()
    seen = compare(script, after, Target.TORCHLIFT, converter)
    assert (seen.view, seen.exit) == (None, ExitCode.UNUSABLE)
    assert missing in seen.failure


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer.EXACT, ExitCode.DONE),
        (Answer.DIFFERS, ExitCode.LEFT),
        (Answer.NO_ANSWER, ExitCode.UNUSABLE),
    ],
)
def test_the_verdict_decides_the_exit_code(answer: Answer, expected: ExitCode, script: str) -> None:
    seen = compare(script, None, Target.TORCHLIFT, converter)
    assert exit_code(seen, Verdict(answer, "")) is expected
    assert exit_code(seen, None) is ExitCode.DONE
