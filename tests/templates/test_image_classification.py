"""The project that `scaffold` makes: it is clean code, it trains, and its own tests pass on both runtimes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from torchlift_templates import render

TEMPLATE = "image-classification"


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=project, capture_output=True, text=True, check=False)


def assert_succeeds(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return render(TEMPLATE, "my-digits", tmp_path / "my-digits").destination


def test_project_trains_and_prints_its_accuracy(project: Path) -> None:
    done = run(project, "train.py", "--epochs", "2")
    assert_succeeds(done)
    accuracy = re.fullmatch(r"test accuracy (\d\.\d+)", done.stdout.strip().splitlines()[-1])
    assert accuracy and float(accuracy[1]) > 0.8, done.stdout  # chance is 0.1
    assert (project / "checkpoints" / "best.ckpt").is_file()


def test_project_passes_its_own_tests(project: Path) -> None:
    done = run(project, "-m", "pytest", "-p", "no:cacheprovider")
    assert_succeeds(done)
    assert re.search(r"\b4 passed", done.stdout), done.stdout


def test_project_runs_on_lightning_after_changing_the_import_line(project: Path) -> None:
    for path in project.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("torchlift") == 1, f"{path.name} names torchlift in more than its import"
        path.write_text(text.replace("import torchlift as L", "import lightning as L"), encoding="utf-8")
    assert_succeeds(run(project, "-m", "pytest", "-p", "no:cacheprovider", "-k", "learns"))


@pytest.mark.parametrize(
    "tool", [("ruff", "check", "--select", "B,E,F,I,UP,W"), ("ruff", "format", "--check")], ids=" ".join
)
def test_project_is_clean_code(project: Path, tool: tuple[str, ...]) -> None:
    assert_succeeds(run(project, "-m", *tool, "--no-cache", "."))


def test_target_lightning_names_torchlift_only_to_tell_how_to_change_back(tmp_path: Path) -> None:
    project = render(TEMPLATE, "my-digits", tmp_path / "p", target="lightning").destination
    naming = {path.name for path in project.rglob("*") if path.is_file() and "torchlift" in path.read_text("utf-8")}
    assert naming == {"README.md"}
