"""What ``torchlift convert`` does with files, whatever the converter says: nothing of the user's is ever lost.

The converters here are small functions of the test's own, so that each answer can be had at will; the real one goes
through the real command line in test_convert.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from torchlift_convert.cli.conversion import Job, Mode, run
from torchlift_convert.cli.exits import ExitCode
from torchlift_convert.report import Answer, Verdict
from torchlift_convert.types import Diagnostic, Options, Proof, Result, Severity, Span, Status, Target

Snapshot = Callable[[], dict[str, bytes]]
BEFORE = "import torch\n\nprint('ä')\n"
AFTER = "import torch\nimport torchlift as L\n\nprint('ä')\n"
EXACT = Verdict(Answer.EXACT, "exact over 3 steps", 3)
DIFFERS = Verdict(Answer.DIFFERS, "step 1: the loss differs")
NO_ANSWER = Verdict(Answer.NO_ANSWER, "not reproducible by itself")


def converter(source: bytes, options: Options) -> Result:
    """Writes AFTER, naming the target as the real one does."""
    code = AFTER.replace("torchlift", options.target)
    return Result(Status.CONVERTED, Proof.BY_CONSTRUCTION, code)


def refuser(source: bytes, options: Options) -> Result:
    return Result(Status.REFUSED, diagnostics=(Diagnostic("TL105", Severity.REFUSAL, "no", Span(1, 1)),))


def never(source: bytes, options: Options) -> Result:
    raise AssertionError("nothing should be converted")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(BEFORE)
    path.chmod(0o755)
    return path


def test_the_result_is_written_beside_the_original(script: Path, tmp_path: Path, snapshot: Snapshot) -> None:
    done = run(Job(str(script)), converter)
    assert snapshot() == {"train.py": BEFORE.encode(), "train_lightning.py": AFTER.encode()}
    assert (tmp_path / "train_lightning.py").stat().st_mode == script.stat().st_mode
    assert (done.exit, done.product) == (ExitCode.DONE, None)
    assert done.outcome.output == str(tmp_path / "train_lightning.py")
    assert done.outcome.written


def test_the_target_reaches_the_converter(script: Path, tmp_path: Path) -> None:
    run(Job(str(script), target=Target.LIGHTNING), converter)
    assert "import lightning as L" in (tmp_path / "train_lightning.py").read_text()


def test_the_same_result_again_changes_nothing(script: Path, tmp_path: Path) -> None:
    run(Job(str(script)), converter)
    stamp = (tmp_path / "train_lightning.py").stat()
    done = run(Job(str(script)), converter)
    assert (done.exit, done.outcome.written) == (ExitCode.DONE, False)
    assert (tmp_path / "train_lightning.py").stat() == stamp


def test_an_output_that_says_something_else_is_left_alone(script: Path, tmp_path: Path, snapshot: Snapshot) -> None:
    (tmp_path / "train_lightning.py").write_text("weeks of work")
    before = snapshot()
    done = run(Job(str(script)), converter)
    assert done.exit is ExitCode.UNUSABLE
    assert "--force" in str(done.outcome.problem)
    assert snapshot() == before


def test_force_replaces_it(script: Path, tmp_path: Path) -> None:
    (tmp_path / "train_lightning.py").write_text("an older result")
    done = run(Job(str(script), force=True), converter)
    assert (done.exit, done.outcome.written) == (ExitCode.DONE, True)
    assert (tmp_path / "train_lightning.py").read_text() == AFTER


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("link", ["train.py", "soft.py", "hard.py", "./folder/../train.py"])
def test_the_original_is_never_the_output(
    link: str, force: bool, script: Path, tmp_path: Path, snapshot: Snapshot
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "soft.py").symlink_to(script)
    (tmp_path / "hard.py").hardlink_to(script)
    before = snapshot()
    done = run(Job(str(script), output=str(tmp_path / link), force=force), never)
    assert done.exit is ExitCode.UNUSABLE
    assert "never overwritten" in str(done.outcome.problem)
    assert snapshot() == before


def test_in_place_keeps_a_backup(script: Path, tmp_path: Path, snapshot: Snapshot) -> None:
    (tmp_path / "train.py.bak").write_text("an older backup")
    done = run(Job(str(script), Mode.IN_PLACE), converter)
    assert done.exit is ExitCode.DONE
    assert done.outcome.backup == str(tmp_path / "train.py.bak1")
    assert snapshot() == {
        "train.py": AFTER.encode(),
        "train.py.bak": b"an older backup",
        "train.py.bak1": BEFORE.encode(),
    }


def test_bytes_in_bytes_out(script: Path, tmp_path: Path) -> None:
    script.write_bytes(BEFORE.replace("\n", "\r\n").encode("utf-8-sig"))
    run(Job(str(script)), converter)
    assert (tmp_path / "train_lightning.py").read_bytes() == AFTER.replace("\n", "\r\n").encode("utf-8-sig")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("status", [Status.REFUSED, Status.NO_LOOP, Status.ALREADY, Status.UNREADABLE])
def test_whatever_is_not_converted_touches_no_file(
    mode: Mode, status: Status, script: Path, snapshot: Snapshot
) -> None:
    before = snapshot()
    done = run(Job(str(script), mode), lambda source, options: Result(status))
    assert snapshot() == before
    assert done.product is None
    nothing_to_do = mode is Mode.CHECK and status in (Status.NO_LOOP, Status.ALREADY)
    expected = ExitCode.DONE if nothing_to_do else ExitCode.LEFT if status is Status.REFUSED else ExitCode.UNUSABLE
    assert done.exit is expected


@pytest.mark.parametrize(
    ("mode", "exit_code"),
    [(Mode.CHECK, ExitCode.LEFT), (Mode.DIFF, ExitCode.DONE), (Mode.STDOUT, ExitCode.DONE)],
)
def test_dry_runs_touch_no_file(mode: Mode, exit_code: ExitCode, script: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    done = run(Job(str(script), mode), converter)
    assert done.exit is exit_code
    assert snapshot() == before


def test_the_patch_can_be_applied(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(Job("train.py", Mode.DIFF), converter)
    assert done.product is not None
    assert done.product.decode() == (
        "--- train.py\n+++ train_lightning.py\n@@ -1,3 +1,4 @@\n import torch\n+import torchlift as L\n \n print('ä')\n"
    )


def test_a_patch_marks_a_missing_last_newline(script: Path) -> None:
    script.write_text(BEFORE.rstrip())
    done = run(Job(str(script), Mode.DIFF), converter)
    assert done.product is not None
    assert done.product.decode().splitlines()[3:] == [
        " import torch",
        "+import torchlift as L",
        " ",
        "-print('ä')",
        "\\ No newline at end of file",
        "+print('ä')",
    ]


@pytest.mark.parametrize("mode", [Mode.WRITE, Mode.IN_PLACE])
def test_a_full_disk_loses_nothing(
    mode: Mode, script: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = run(Job(str(script), mode), converter)
    assert done.exit is ExitCode.UNUSABLE
    assert "no space left on device" in str(done.outcome.problem)
    assert snapshot() == before


def test_an_in_place_write_that_breaks_off_after_the_backup_leaves_the_original(
    script: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", broken)
    done = run(Job(str(script), Mode.IN_PLACE), converter)
    assert done.exit is ExitCode.UNUSABLE
    assert snapshot() == {"train.py": BEFORE.encode(), "train.py.bak": BEFORE.encode()}


@pytest.mark.parametrize(
    ("verdict", "exit_code"), [(EXACT, ExitCode.DONE), (DIFFERS, ExitCode.LEFT), (NO_ANSWER, ExitCode.LEFT)]
)
def test_a_new_file_stays_to_be_looked_at_whatever_verify_says(
    verdict: Verdict, exit_code: ExitCode, script: Path, snapshot: Snapshot
) -> None:
    asked: list[tuple[str, str]] = []

    def prove(before: Path, after: Path) -> Verdict:
        asked.append((before.read_text(), after.read_text()))
        return verdict

    done = run(Job(str(script)), converter, prove)
    assert asked == [(BEFORE, AFTER)]
    assert (done.exit, done.outcome.verdict) == (exit_code, verdict)
    assert snapshot() == {"train.py": BEFORE.encode(), "train_lightning.py": AFTER.encode()}


@pytest.mark.parametrize("verdict", [DIFFERS, NO_ANSWER])
def test_the_original_is_not_replaced_by_what_is_not_proved(verdict: Verdict, script: Path, snapshot: Snapshot) -> None:
    done = run(Job(str(script), Mode.IN_PLACE), converter, lambda before, after: verdict)
    assert snapshot() == {"train.py": BEFORE.encode()}
    assert (done.exit, done.outcome.written) == (ExitCode.LEFT, False)


def test_the_original_is_replaced_by_what_is_proved(script: Path, snapshot: Snapshot) -> None:
    def prove(before: Path, after: Path) -> Verdict:
        assert (before.read_text(), after.read_text()) == (BEFORE, AFTER)
        return EXACT

    done = run(Job(str(script), Mode.IN_PLACE), converter, prove)
    assert snapshot() == {"train.py": AFTER.encode(), "train.py.bak": BEFORE.encode()}
    assert done.outcome.proof is Proof.EXACT


def test_an_edit_during_the_proof_is_not_overwritten(script: Path, snapshot: Snapshot) -> None:
    def prove(before: Path, after: Path) -> Verdict:
        before.write_text("edited meanwhile")
        return EXACT

    done = run(Job(str(script), Mode.IN_PLACE), converter, prove)
    assert done.exit is ExitCode.UNUSABLE
    assert snapshot() == {"train.py": b"edited meanwhile"}


def test_nothing_is_proved_when_nothing_was_converted(script: Path) -> None:
    def prove(before: Path, after: Path) -> Verdict:
        raise AssertionError("nothing to run")

    assert run(Job(str(script)), refuser, prove).exit is ExitCode.LEFT


def test_the_place_is_checked_before_any_work(script: Path, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing" / "out.py", script / "out.py"):
        assert run(Job(str(script), output=str(place)), never).exit is ExitCode.UNUSABLE


def test_a_name_that_only_starts_with_a_dash_is_a_file(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-v.py").write_text(BEFORE)
    done = run(Job("-v.py"), converter)
    assert done.outcome.output == "-v_lightning.py"
