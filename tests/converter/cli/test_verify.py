"""Running the verifier from the command line: its answer comes through, and a failure is never taken for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from torchlift_convert.cli import verifier
from torchlift_convert.report import Answer

Snapshot = Callable[[], dict[str, bytes]]
SAMPLES = Path(__file__).parents[3] / "samples"
SCRIPT = """\
import sys
import torch

torch.manual_seed(int(sys.argv[1]))
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
for step in range(4):
    loss = model(torch.ones(3, 2)).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, loss.item())
"""


def torchlift(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*filter(None, [environment.pop("FIRST", "")]), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "torchlift_convert", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    (tmp_path / "before.py").write_text(SCRIPT.replace("RATE", "0.1"))
    (tmp_path / "after.py").write_text(SCRIPT.replace("RATE", "0.1000001"))
    return tmp_path


@pytest.fixture
def broken_torch(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "torch.py").write_text("raise ImportError('libtorch.so: cannot open shared object file')\n")
    return str(folder)


def test_the_command_line_and_the_exit_code_are_passed_on(scripts: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    done = torchlift("verify", "before.py", "after.py", "--steps", "2", "--", "3", cwd=scripts)
    assert done.returncode == 1, done.stderr
    assert "2 steps" in done.stdout
    assert "differs" in done.stdout.splitlines()[-1]
    assert snapshot() == before


def test_diff_ends_with_the_verdict(scripts: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    (scripts / "same.py").write_text((scripts / "before.py").read_text() + "# the same\n")
    done = torchlift("diff", "before.py", "same.py", "--steps", "2", "--", "3", cwd=scripts)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("verify: exact over 2 steps")
    assert "verify runs before.py" in done.stderr  # said beforehand
    (scripts / "same.py").unlink()
    assert snapshot() == before


def test_a_script_is_replaced_by_a_result_that_was_run(tmp_path: Path, snapshot: Snapshot) -> None:
    original = (SAMPLES / "wine_module" / "train.py").read_bytes()
    (tmp_path / "train.py").write_bytes(original)
    done = torchlift("convert", "train.py", "--in-place", "--verify", "--steps", "2", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)["files"]
    assert (record["proof"], record["written"], record["backup"]) == ("exact", True, "train.py.bak")
    assert (record["verdict"]["answer"], record["verdict"]["steps"]) == ("exact", 2)
    assert "verify runs train.py" in done.stderr  # said beforehand
    files = snapshot()
    assert sorted(files) == ["train.py", "train.py.bak"]
    assert files["train.py.bak"] == original
    assert b"import torchlift as L" in files["train.py"]


def test_the_verifiers_own_help_is_shown(tmp_path: Path) -> None:
    done = torchlift("verify", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "BEFORE" in done.stdout
    assert "--steps" in done.stdout


def test_a_broken_torch_is_not_taken_for_a_difference(scripts: Path, broken_torch: str) -> None:
    done = torchlift("verify", "before.py", "after.py", cwd=scripts, FIRST=broken_torch)
    assert done.returncode == 2
    assert "cannot import torch" in done.stdout
    assert "libtorch.so" in done.stdout
    assert "Traceback" not in done.stderr
    done = torchlift("diff", "before.py", "after.py", cwd=scripts, FIRST=broken_torch)
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1].startswith("verify: error: verify runs both scripts with")


def test_a_verifier_that_dies_has_given_no_answer(scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "BOOT", "import os; print('half a', flush=True); os.abort()")
    verdict = verifier.compare(scripts / "before.py", scripts / "after.py", [], [])
    assert (verdict.answer, verdict.sentence) == (Answer.NO_ANSWER, "half a")
    monkeypatch.setattr(verifier, "BOOT", "import sys; sys.exit(0)")
    verdict = verifier.compare(scripts / "before.py", scripts / "after.py", [], [])
    assert verdict.answer is Answer.NO_ANSWER
    assert "exit code 0" in verdict.sentence
    monkeypatch.setattr(verifier, "BOOT", "import os; os.abort()")
    assert verifier.pass_on([]) == 2


def test_a_module_beside_the_scripts_does_not_shadow_the_librarys(scripts: Path) -> None:
    (scripts / "random.py").write_text("raise RuntimeError('the wrong random')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(verifier.command(["--help"]), cwd=scripts, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
