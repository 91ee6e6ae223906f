"""The command line, in fresh processes as users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from torchlift.verify.__main__ import main
from torchlift.verify.launch import PACKAGES
from torchlift.verify.records import trace_from

SCRIPT = """
import argparse, torch
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--steps", type=int, default=3)
args = parser.parse_args()
w = torch.nn.Parameter(torch.randn(3))
optimizer = torch.optim.SGD([w], lr=args.lr)
for _ in range(args.steps):
    optimizer.zero_grad()
    (w ** 2).sum().backward()
    optimizer.step()
print(f"norm {w.norm().item():.4f}")
"""


@pytest.fixture
def scripts(folder: Path) -> tuple[str, str]:
    (folder / "a.py").write_text(SCRIPT)
    (folder / "b.py").write_text(SCRIPT.replace("default=0.1", "default=0.2"))
    return str(folder / "a.py"), str(folder / "b.py")


def test_equal_with_the_same_arguments(
    scripts: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "report.json"
    assert main([*scripts, "--report", str(saved), "--", "--lr", "0.3", "--steps", "4"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("verify runs a.py twice and b.py once")
    assert said[-1].startswith("exact over the whole run: 4 steps, 4 losses, 1 printed line")
    data = json.loads(saved.read_text())
    assert (data["format"], data["verdict"]["answer"], data["verdict"]["exit_code"]) == (1, "exact", 0)
    assert [event.number for event in trace_from(data["before"]).of("backward")] == [
        event["number"] for event in data["after"]["events"] if event["kind"] == "backward"
    ]


def test_different_as_json(scripts: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*scripts, "--format", "json", "--steps", "2"]) == 1
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert (data["answer"], data["differences"][0]["category"]) == ("differs", "learning rate")
    assert "verify runs" in captured.err


def test_bad_input_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "missing.py"), str(tmp_path / "missing.py")]) == 2
    assert capsys.readouterr().out == f"error: {tmp_path / 'missing.py'} is no file.\n"


@pytest.mark.parametrize("options", [["--steps", "0"], ["--timeout", "-1"], ["--target", "keras"], []])
def test_bad_arguments_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["only_one.py", *options] if not options else ["a.py", "b.py", *options])
    assert stopped.value.code == 2


def test_a_bug_of_ours_is_not_taken_for_a_difference(scripts: tuple[str, str], folder: Path) -> None:
    broken = (
        "import runpy, sys, torchlift.verify.prove as prove\n"
        "prove.prove = None\n"
        "sys.argv = ['verify', *sys.argv[1:]]\n"
        "runpy.run_module('torchlift.verify', run_name='__main__')\n"
    )
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    ended = subprocess.run([sys.executable, "-c", broken, *scripts], env=environment, capture_output=True, text=True)
    assert ended.returncode == 3
    assert "TypeError" in ended.stderr
