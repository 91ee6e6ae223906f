"""``torchlift scaffold``: a project is written whole, or a sentence says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from torchlift_convert.cli import app
from torchlift_templates import available

Snapshot = Callable[[], dict[str, bytes]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def scaffold(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["scaffold", *arguments])


def test_a_project_is_written_and_the_next_steps_are_shown(snapshot: Snapshot) -> None:
    result = scaffold("my-digits")
    assert (result.exit_code, result.stderr) == (0, "")
    written = [line.strip() for line in result.stdout.split("\n\n")[0].splitlines()[1:]]
    assert sorted(f"my-digits/{path}" for path in written) == sorted(snapshot())
    assert "my-digits/train.py" in snapshot()
    steps = result.stdout.split("Next:\n")[1].splitlines()
    assert steps[0] == "  cd my-digits"
    assert len(steps) > 1


def test_folder_and_options_are_the_users(snapshot: Snapshot) -> None:
    assert scaffold("my-digits", "-d", "a folder", "-o", "target=lightning").exit_code == 0
    files = snapshot()
    assert all(name.startswith("a folder/") for name in files)
    assert b"lightning" in files["a folder/train.py"]
    assert b"torchlift" not in files["a folder/train.py"]


def test_the_list_shows_every_template_and_its_options(snapshot: Snapshot) -> None:
    result = scaffold("--list")
    assert result.exit_code == 0
    for template in available():
        assert f"{template.name}: {template.summary}" in result.stdout
        for option in template.options:
            assert f"-o {option.name}={'|'.join(option.choices)}" in result.stdout
    assert snapshot() == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../evil"], "cannot be a project's name"),
        (["torch"], "already means something else"),
        (["my-digits", "-t", "nothing"], "There is no template 'nothing'"),
        (["my-digits", "-o", "target=keras"], "'keras' is none of them"),
        (["my-digits", "-o", "colour=red"], "no option 'colour'"),
        (["my-digits", "-o", "destination=/"], "no option 'destination'"),  # an argument of the function behind it
        (["my-digits", "-o", "target"], "write KEY=VALUE"),
        (["my-digits", "-d", "missing/folder"], "is not a folder"),
        ([], "or use --list"),
    ],
)
def test_what_will_not_do_is_said_and_nothing_is_written(arguments: list[str], said: str, snapshot: Snapshot) -> None:
    result = scaffold(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert snapshot() == {}


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, snapshot: Snapshot) -> None:
    (tmp_path / "my-digits").mkdir()
    (tmp_path / "my-digits" / "thesis.tex").write_text("years")
    result = scaffold("my-digits")
    assert result.exit_code == 2
    assert "not empty" in result.stderr
    assert snapshot() == {"my-digits/thesis.tex": b"years"}
