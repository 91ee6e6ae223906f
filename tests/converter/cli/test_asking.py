"""``torchlift convert --interactive``: what is asked, and what comes of the answers."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from torchlift_convert.cli import app, asking
from torchlift_convert.explain import pages

UNSEEN, PLAIN = pages()["TL702"].example, pages()["TL310"].instead


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train.py"
    path.write_text(UNSEEN)
    return path


def on_a_terminal(typed: str, *arguments: str) -> tuple[int, str, str]:
    """The real command on a real terminal: exit code, standard output, what the terminal showed."""
    mine, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "torchlift_convert", "convert", *arguments, "--interactive"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        os.write(mine, typed.encode())
        shown = b""
        try:
            while chunk := os.read(mine, 4096):
                shown += chunk
        except OSError:  # the other end is closed: Linux says so in this way
            pass
        out, _ = process.communicate()
    os.close(mine)
    return process.returncode, out, shown.decode()


def test_a_word_given_on_the_terminal_counts_as_one_in_the_script(script: Path) -> None:
    code, out, shown = on_a_terminal("y\n", "train.py")
    assert code == 0
    assert "train.py:9: TL702: " in shown and "Do you know that 'loader' is a plain DataLoader" in shown
    assert "on-your-word" in out
    asked = (script.parent / "train_lightning.py").read_text()
    assert "on the author's word (TL702, line 9" in asked
    written = script.parent / "written.py"
    written.write_text(UNSEEN.replace("in loader:", "in loader:  # torchlift: ignore[TL702]"))
    CliRunner().invoke(app, ["convert", "written.py", "-o", "w.py"])
    rest = (script.parent / "w.py").read_text().replace("        # torchlift: ignore[TL702]\n", "")
    assert asked == rest


def test_no_is_the_refusal_as_before(script: Path) -> None:
    for answer in ("n\n", "\n"):
        code, _, shown = on_a_terminal(answer, "train.py")
        assert code == 1
        assert "nothing was written" in shown
        assert not (script.parent / "train_lightning.py").exists()


def test_an_output_is_replaced_when_the_user_says_so(script: Path) -> None:
    script.write_text(PLAIN)
    output = script.parent / "train_lightning.py"
    output.write_text("weeks of work")
    code, _, shown = on_a_terminal("n\n", "train.py")
    assert (code, output.read_text()) == (2, "weeks of work")
    assert "train_lightning.py exists and says something else. Replace it? [y/N]" in shown
    code, _, _ = on_a_terminal("y\n", "train.py")
    assert code == 0 and "LightningModule" in output.read_text()


def test_nothing_is_asked_where_nothing_is_open(script: Path) -> None:
    script.write_text(PLAIN)
    assert on_a_terminal("", "train.py")[0::2] == (0, "")
    script.write_text(pages()["TL105"].example)
    code, _, shown = on_a_terminal("", "train.py")
    assert code == 1 and "[y/N]" not in shown


@pytest.mark.parametrize("arguments", [["train.py"], ["-"]])
def test_without_a_terminal_it_is_an_error_with_a_way_out(arguments: list[str], script: Path) -> None:
    result = CliRunner().invoke(app, ["convert", *arguments, "--interactive"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "needs a terminal" in result.stderr and "ignore[CODE]" in result.stderr
    assert not asking.has_terminal()
