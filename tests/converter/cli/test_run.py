"""``torchlift run``: the command line becomes the runtime's, whose own tests say what a script finds there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def torchlift(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "torchlift_convert", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "random.py").write_text("raise SystemExit('not the library')\n")  # what lies here shadows nothing
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text(
        "import sys\nimport lightning as L\nprint(L.Trainer.__module__, sys.argv)\nsys.exit(5)\n"
    )
    return tmp_path


def test_a_script_for_lightning_runs_on_torchlift_with_its_own_arguments(script: Path) -> None:
    done = torchlift("run", "--as-lightning", "scripts/train.py", "--help", "-m", "--", "x", cwd=script)
    assert done.stdout.splitlines() == ["torchlift.trainer ['scripts/train.py', '--help', '-m', '--', 'x']"]
    assert done.returncode == 5, done.stderr


def test_it_shows_how_it_is_used(script: Path) -> None:
    for arguments in (["--help"], ["--as-lightning", "--help"]):
        done = torchlift("run", *arguments, cwd=script)
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: torchlift run --as-lightning")


@pytest.mark.parametrize(
    "arguments", [[], ["--as-lightning"], ["scripts/train.py"], ["--as-ignite", "scripts/train.py"]]
)
def test_a_line_that_does_not_say_what_to_do_is_refused(script: Path, arguments: list[str]) -> None:
    done = torchlift("run", *arguments, cwd=script)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "torchlift run --as-lightning SCRIPT" in done.stderr.splitlines()[-1]


def test_a_script_that_is_not_there_is_named(script: Path) -> None:
    done = torchlift("run", "--as-lightning", "nothing.py", cwd=script)
    assert done.returncode == 2
    assert "nothing.py is no file" in done.stderr


def test_a_script_for_gpus_can_be_tried_without_them(script: Path) -> None:
    (script / "gpus.py").write_text(
        "import lightning as L\nt = L.Trainer(accelerator='tpu', devices=8, strategy='ddp', logger=False)\n"
        "print(t.num_devices, type(t.strategy).__name__)\n"
    )
    without = torchlift("run", "--as-lightning", "gpus.py", cwd=script)
    assert without.returncode == 1 and "MisconfigurationException" in without.stderr
    done = torchlift("run", "--as-lightning", "--fall-back", "gpus.py", cwd=script)
    assert done.stdout.split() == ["1", "SingleDeviceStrategy"], done.stderr
    assert done.stderr.count("falling back") == 3
