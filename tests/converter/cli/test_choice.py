"""--select, --ignore, --fail-on, and the same in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from torchlift_convert.cli import app, settings
from torchlift_convert.cli.choice import Choice, NoSuchCode, codes
from torchlift_convert.cli.settings import Settings, parse
from torchlift_convert.explain import pages
from torchlift_convert.files import FileProblem
from torchlift_convert.types import Diagnostic, Severity, Span, Target

NOTED = pages()["TL302"].example


def told(choice: Choice, *names: str) -> list[str]:
    return [d.code for d in choice.told(Diagnostic(n, Severity.NOTE, "x", Span(1, 1)) for n in names)]


@pytest.mark.parametrize(
    ("select", "ignore", "left"),
    [
        (["TL"], [], ["TL302", "TL310", "TL701"]),
        (["TL"], ["TL3"], ["TL701"]),
        (["TL310"], [], ["TL310"]),
        (["TL310"], ["TL3"], ["TL310"]),
        (["TL3"], ["TL310"], ["TL302"]),
        (["TL3"], ["TL3"], []),
    ],
)
def test_what_names_more_of_a_code_has_the_say(select: list[str], ignore: list[str], left: list[str]) -> None:
    assert told(Choice(tuple(select), tuple(ignore)), "TL302", "TL310", "TL701") == left


def test_a_refusal_is_always_told() -> None:
    refusal = Diagnostic("TL105", Severity.REFUSAL, "x", Span(1, 1))
    assert Choice(("TL3",), ("TL1",)).told([refusal]) == (refusal,)


def test_codes_may_be_divided_by_commas_and_are_checked() -> None:
    assert codes(["tl3, TL310", "TL7"]) == ("TL3", "TL310", "TL7")
    with pytest.raises(NoSuchCode, match="did you mean TL302"):
        codes(["TL3O2"])


# --- pyproject.toml -----------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "train.py").write_text(NOTED)
    monkeypatch.chdir(tmp_path / "src")
    settings._of_folder.cache_clear()
    return tmp_path


def torchlift(*arguments: str) -> Result:
    settings._of_folder.cache_clear()
    return CliRunner().invoke(app, list(arguments))


def test_the_nearest_table_above_the_script_counts(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.torchlift]\ntarget = "lightning"\nignore = ["TL302"]\n')
    (project / "src" / "pyproject.toml").write_text('[project]\nname = "torchlift"\n')  # has no such table
    result = torchlift("convert", "deep/train.py", "-o", "-")
    assert "import lightning as L" in result.stdout and "TL302" not in result.stderr
    (project / "src" / "deep" / "pyproject.toml").write_text("[tool.torchlift]\n")
    result = torchlift("convert", "deep/train.py", "-o", "-")
    assert "import torchlift as L" in result.stdout and "TL302" in result.stderr


def test_the_command_line_goes_before_it_and_isolated_passes_it_over(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.torchlift]\ntarget = "lightning"\nfail-on = ["TL302"]\n')
    assert torchlift("convert", "deep/train.py", "--check", "--fail-on", "TL7").exit_code == 1
    first = torchlift("convert", "deep/train.py", "-o", "-", "--target", "torchlift")
    assert (first.exit_code, "import torchlift as L" in first.stdout) == (1, True)
    second = torchlift("convert", "deep/train.py", "-o", "-", "--isolated")
    assert (second.exit_code, "import torchlift as L" in second.stdout) == (0, True)


def test_diff_listens_to_it_too(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.torchlift]\nfail-on = ["TL3"]\n')
    assert torchlift("diff", "deep/train.py", "--no-verify").exit_code == 1
    result = torchlift("diff", "deep/train.py", "--no-verify", "--ignore", "TL302")
    assert (result.exit_code, "TL302" in result.stdout) == (0, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.torchlift]\nselct = []\n", "has no key 'selct'. Remedy: did you mean 'select'?"),
        ("[tool.torchlift]\nfail_on = []\n", "did you mean 'fail-on'?"),
        ("[tool.torchlift]\ntarget = 'keras'\n", "target is 'keras'. Remedy: choose torchlift or lightning."),
        ("[tool.torchlift]\nselect = 'TL3'\n", "select is no list of texts."),
        ("[tool.torchlift]\nignore = ['TL9X']\n", "ignore: no code starts with 'TL9X'"),
        ("[tool]\ntorchlift = 3\n", "tool.torchlift is not a table."),
        ("[tool.torchlift\n", "is not TOML: "),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error(text: str, said: str, project: Path) -> None:
    (project / "pyproject.toml").write_text(text)
    for command in (["convert", "deep/train.py"], ["diff", "deep/train.py", "--no-verify"]):
        result = torchlift(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(str(project / "pyproject.toml")) and said in result.stderr
        assert torchlift(*command, "--isolated").exit_code == 0
        (project / "src" / "deep" / "train_lightning.py").unlink(missing_ok=True)


def test_every_field_is_a_key() -> None:
    table = {"target": "lightning", "select": ["TL3"], "ignore": ["TL302"], "fail-on": ["TL310"]}
    assert parse("x", table) == Settings(Target.LIGHTNING, ("TL3",), ("TL302",), ("TL310",))
    with pytest.raises(FileProblem, match="no key 'x'"):
        parse("x", {"x": 1})
