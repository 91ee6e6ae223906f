"""``torchlift convert DIR``: each script of a folder that trains, and nothing of the user's is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from torchlift_convert.cli import app

ENGINE = """def train_one_epoch(model, loader, optimizer):
    for x in loader:
        loss = model(x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(loss.item())
"""
SCRIPT = """import torch

from engine import train_one_epoch

torch.manual_seed(0)
loader = torch.utils.data.DataLoader(torch.ones(8, 2), batch_size=4)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    train_one_epoch(model, loader, optimizer)
"""
REFUSED = SCRIPT.replace("    train_one_epoch(", '    {"a": train_one_epoch}["a"](')


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / ".venv").mkdir()
    (folder / "engine.py").write_text(ENGINE)
    (folder / "train.py").write_text(SCRIPT)
    (folder / "empty.py").write_text("")
    (folder / "data" / "rows.csv").write_text("1,2\n")
    (folder / ".venv" / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return folder


def convert(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["convert", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_beside_each_script(project: Path) -> None:
    before = files(project)
    code, said = convert("project")
    assert code == 0
    assert "Converted 1 of 1 training script in project." in said
    assert "Loops in engine.py are for other files to run" in said
    after = files(project)
    assert set(after) - set(before) == {"train_lightning.py"}
    assert {n: after[n] for n in before} == before


def test_a_copy_of_the_folder(project: Path) -> None:
    before = files(project)
    code, _ = convert("project", "-o", "out")
    assert code == 0
    assert files(project) == before
    out = files(project.parent / "out")
    assert set(out) == {"engine.py", "train.py", "empty.py", "data/rows.csv"}
    assert "LightningModule" in out["train.py"]
    assert out["engine.py"] == ENGINE


def test_in_place_keeps_what_was_there(project: Path) -> None:
    assert convert("project", "--in-place")[0] == 0
    assert (project / "train.py.bak").read_text() == SCRIPT
    assert "LightningModule" in (project / "train.py").read_text()
    assert convert("project")[0] == 2  # Lightning already: nothing is left to convert


def test_one_is_refused(project: Path) -> None:
    (project / "other.py").write_text(REFUSED)
    code, said = convert("project", "-o", "out")
    assert code == 1
    assert "Converted 1 of 2 training scripts in project to out." in said
    assert "engine.py:5: TL107:" in said
    assert (project.parent / "out" / "other.py").read_text() == REFUSED


def test_check_and_diff_write_nothing(project: Path) -> None:
    before = files(project)
    assert convert("project", "--check")[0] == 1
    code, said = convert("project", "--diff")
    assert code == 0 and "+++ project/train_lightning.py" in said
    assert files(project) == before


def test_a_folder_without_a_script(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print(1)\n")
    code, said = convert(str(tmp_path))
    assert code == 2 and "nothing to convert" in said


@pytest.mark.parametrize("goal", ["project", "project/inside", "."])
def test_a_folder_is_not_copied_into_itself(goal: str, project: Path) -> None:
    before = files(project.parent)
    assert convert("project", "-o", goal)[0] == 2
    assert files(project.parent) == before


def test_what_the_output_holds_stays(project: Path) -> None:
    out = project.parent / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert convert("project", "-o", "out")[0] == 2
    assert files(out) == {"mine.txt": "mine"}
    assert convert("project", "-o", "out", "--force")[0] == 0
    assert files(out)["mine.txt"] == "mine" and "LightningModule" in files(out)["train.py"]


def test_links_are_not_followed(project: Path) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text(SCRIPT)
    os.symlink(outside, project / "away")
    os.symlink("engine.py", project / "again.py")
    os.symlink(project, project / "round")
    code, said = convert("project", "-o", "out")
    assert code == 0
    assert "Converted 1 of 1" in said and "away leads out of project" in said
    out = project.parent / "out"
    assert os.readlink(out / "again.py") == "engine.py"
    assert not os.path.lexists(out / "away")
    assert not (outside / "secret_lightning.py").exists()


def test_json(project: Path) -> None:
    code, said = convert("project", "-o", "out", "--format", "json")
    report = json.loads(said)
    assert (code, report["exit_code"], report["modules"]) == (0, 0, ["engine.py"])
    (script,) = report["files"]
    assert script["status"] == "converted"
    assert {b["file"] for b in script["became"]} == {None, "engine.py"}


def test_verify_runs_the_copy_in_its_own_place(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "train.py").write_text(SCRIPT + 'print(open("data/rows.csv").read())\n')
    code, said = convert("project", "-o", "out", "--verify")
    assert code == 0, said
    assert "exact over the whole run: 4 steps" in said


def test_standard_output_is_no_folder(project: Path) -> None:
    assert convert("project", "-o", "-")[0] == 2
