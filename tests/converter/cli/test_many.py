"""``torchlift convert`` over several scripts: in order, whatever runs at the same time; ended as the worst of them."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from torchlift_convert.cli import app
from torchlift_convert.cli.many import WORTH_PROCESSES, workers_for
from torchlift_convert.cli.paths import expand
from torchlift_convert.explain import pages
from torchlift_convert.files import FileProblem

Snapshot = Callable[[], dict[str, bytes]]
GOOD, NOTED, REFUSED = pages()["TL310"].instead, pages()["TL302"].example, pages()["TL105"].example
IDLE = "print(1)\n"


def torchlift(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    texts = {"a.py": GOOD, "b.py": REFUSED, "c.py": NOTED, "d.py": IDLE}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


# --- which scripts ------------------------------------------------------------------------------------------------


def test_names_keep_their_order_and_patterns_are_sorted(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "e.py").write_text(IDLE)
    assert expand(["c.py", "*.py"]) == ["c.py", "a.py", "b.py", "d.py"]
    assert expand(["deep/**/*.py"]) == ["deep/er/e.py"]
    assert expand(["./a.py", "a.py", str(folder / "a.py")]) == ["./a.py"]
    assert expand(["-", "nope.py", "x*.py"]) == ["-", "nope.py", "x*.py"]


def test_a_name_that_exists_is_no_pattern(folder: Path) -> None:
    (folder / "[ab].py").write_text(IDLE)
    assert expand(["[ab].py"]) == ["[ab].py"]


# --- what is told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_reports_come_in_order_and_end_in_a_sum(jobs: str, folder: Path) -> None:
    result = torchlift("convert", "c.py", "a.py", "b.py", "d.py", "-j", jobs)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "Converted c.py to c_lightning.py.",
        "c.py:14: TL302: Manual optimization: backward, zero_grad or step depends on a condition.",
        "Converted a.py to a_lightning.py.",
        "4 scripts: 2 converted, 1 refused, 1 with nothing to convert.",
    ]
    (line,) = result.stderr.splitlines()
    assert line.startswith("b.py:10: TL105: ")


def test_several_processes_write_what_one_writes(folder: Path, snapshot: Snapshot) -> None:
    torchlift("convert", "*.py", "-j", "1")
    one = snapshot()
    for name in ("a_lightning.py", "c_lightning.py"):
        (folder / name).unlink()
    torchlift("convert", "a.py", "b.py", "c.py", "d.py", "-j", "4")
    assert snapshot() == one


def test_one_report_holds_all_scripts(folder: Path) -> None:
    report = json.loads(torchlift("convert", "*.py", "--check", "--format", "json", "-j", "2").stdout)
    assert [record["input"] for record in report["files"]] == ["a.py", "b.py", "c.py", "d.py"]
    assert report["exit_code"] == 1


def test_patches_of_several_scripts_stand_one_after_the_other(folder: Path) -> None:
    result = torchlift("convert", "a.py", "c.py", "--diff")
    assert [line for line in result.stdout.splitlines() if line.startswith("--- ")] == ["--- a.py", "--- c.py"]
    assert result.stderr.endswith("2 scripts: 2 to convert.\n")


# --- how it ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["a.py", "c.py"], 0),
        (["a.py", "d.py"], 0),
        (["a.py", "b.py"], 1),
        (["a.py", "b.py", "nope.py"], 2),
        (["d.py", "d2.py"], 2),
        (["d.py", "d2.py", "--check"], 0),
        (["d.py", "a.py", "--check"], 1),
        (["a.py", "c.py", "--fail-on", "TL302"], 1),
        (["a.py", "c.py", "--fail-on", "TL302", "--ignore", "TL3"], 0),
    ],
)
def test_the_worst_decides_how_it_ends(arguments: list[str], code: int, folder: Path) -> None:
    (folder / "d2.py").write_text(IDLE)
    assert torchlift("convert", *arguments).exit_code == code


def test_a_bug_with_one_script_leaves_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchlift_convert import api

    right = api.convert

    def wrong(source: bytes, options: object = None) -> object:
        if b"if loss > 1e-3" in source:
            raise ZeroDivisionError("in the planner")
        return right(source, options)  # type: ignore[arg-type]

    monkeypatch.setattr(api, "convert", wrong)
    result = torchlift("convert", "c.py", "a.py")
    assert result.exit_code == 3
    assert "ZeroDivisionError: in the planner" in result.stderr
    assert (folder / "a_lightning.py").exists() and not (folder / "c_lightning.py").exists()


def test_a_problem_comes_back_from_another_process_as_it_was() -> None:
    problem = FileProblem("x.py", "is odd.", line=3, remedy="mend it.")
    again = pickle.loads(pickle.dumps(problem))
    assert (str(again), again.line, again.remedy) == (str(problem), 3, "mend it.")


def test_processes_are_started_where_they_are_worth_it() -> None:
    assert workers_for(None, WORTH_PROCESSES - 1) == 1
    assert workers_for(3, 2) == 2
    assert workers_for(3, 100) == 3
    assert workers_for(0, 1000) == workers_for(None, 1000) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_the_work_and_leaves_whole_files(jobs: str, tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"s{number:02}.py").write_text(GOOD)
    command = [sys.executable, "-P", "-m", "torchlift_convert", "convert", "s*.py", "-j", jobs]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first one is converted
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    written = list(tmp_path.glob("s*_lightning.py"))
    assert 0 < len(written) < 60
    assert len({path.read_bytes() for path in written}) == 1
    assert not list(tmp_path.glob(".*"))
