"""The report as SARIF and Markdown, of convert and of diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from torchlift_convert.cli import app
from torchlift_convert.explain import pages
from torchlift_convert.report_markdown import code, fenced, text
from torchlift_convert.report_sarif import uri

WORD = pages()["TL702"].example.replace("in loader:", "in loader:  # torchlift: ignore[TL702]")


def torchlift(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    texts = {"noted.py": pages()["TL302"].example, "refused.py": pages()["TL105"].example, "word.py": WORD}
    for name, source in (texts | {"found.py": pages()["TL310"].example}).items():
        (tmp_path / name).write_text(source)
    return tmp_path


# --- SARIF --------------------------------------------------------------------------------------------------------


def checked(log: dict[str, Any]) -> dict[str, Any]:
    """What the schema of SARIF 2.1.0 requires of the parts that are used here; the one run."""
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "torchlift"
    rules = driver["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["shortDescription"]["text"] and rule["help"]["text"] and rule["help"]["markdown"]
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
    for invocation in run["invocations"]:
        assert isinstance(invocation["executionSuccessful"], bool)
        assert all(notice["message"]["text"] for notice in invocation["toolExecutionNotifications"])
    for result in run["results"]:
        assert result["message"]["text"] and result["level"] in ("none", "note", "warning", "error")
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        for place in result["locations"]:
            physical = place["physicalLocation"]
            assert physical["artifactLocation"]["uri"] and " " not in physical["artifactLocation"]["uri"]
            assert 1 <= physical["region"]["startLine"] <= physical["region"]["endLine"]
        assert all(one["kind"] in ("inSource", "external") for one in result.get("suppressions", []))
    return run  # type: ignore[no-any-return]


def test_sarif_has_a_result_for_each_diagnostic(folder: Path) -> None:
    result = torchlift("convert", "noted.py", "refused.py", "found.py", "--check", "--format", "sarif")
    run = checked(json.loads(result.stdout))
    found = [(one["ruleId"], one["level"], place_of(one)) for one in run["results"]]
    assert found == [
        ("TL302", "note", ("noted.py", 14)),
        ("TL105", "error", ("refused.py", 10)),
        ("TL310", "warning", ("found.py", 15)),
    ]
    assert run["invocations"][0]["exitCode"] == result.exit_code == 1


def place_of(result: dict[str, Any]) -> tuple[str, int]:
    physical = result["locations"][0]["physicalLocation"]
    return physical["artifactLocation"]["uri"], physical["region"]["startLine"]


def test_a_word_is_a_suppressed_result(folder: Path) -> None:
    run = checked(json.loads(torchlift("convert", "word.py", "--format", "sarif").stdout))
    (word,) = [one for one in run["results"] if one.get("suppressions")]
    assert (word["ruleId"], word["suppressions"][0]["kind"]) == ("TL702", "inSource")


def test_a_file_that_is_not_there_is_a_notification(folder: Path) -> None:
    run = checked(json.loads(torchlift("convert", "nope.py", "--format", "sarif").stdout))
    (invocation,) = run["invocations"]
    assert (run["results"], invocation["executionSuccessful"], invocation["exitCode"]) == ([], False, 2)
    assert "nope.py" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_names_are_uris() -> None:
    assert uri("src/a b.py") == "src/a%20b.py"
    assert uri("/x/ä.py") == "file:///x/%C3%A4.py"
    assert uri("<stdin>") == "%3Cstdin%3E"


def test_diff_gives_the_same_results(folder: Path) -> None:
    result = torchlift("diff", "noted.py", "--no-verify", "--format", "sarif")
    assert [one["ruleId"] for one in checked(json.loads(result.stdout))["results"]] == ["TL302"]
    refused = torchlift("diff", "refused.py", "--no-verify", "--format", "sarif")
    assert [one["ruleId"] for one in checked(json.loads(refused.stdout))["results"]] == ["TL105"]
    assert refused.exit_code == 1


# --- Markdown -----------------------------------------------------------------------------------------------------


def test_markdown_has_a_row_for_each_script_and_a_point_for_each_diagnostic(folder: Path) -> None:
    said = torchlift("convert", "noted.py", "refused.py", "nope.py", "word.py", "--format", "markdown").stdout
    lines = said.splitlines()
    assert lines[0] == "### torchlift"
    rows = [line for line in lines if line.startswith("| `")][:4]
    assert "converted to `noted_lightning.py`" in rows[0] and "**not converted**" in rows[1]
    assert "could not be used" in rows[2] and "on-your-word" in rows[3]
    assert all(row.count("|") == 6 for row in rows)
    assert any(line.startswith("- `noted.py:14` **TL302** (note): ") for line in lines)
    assert any(line.startswith("- `word.py:9` **TL702** on your word: ") for line in lines)
    assert said.count("<details>") == said.count("</details>") == 2


def test_markdown_of_a_diff_has_the_patch(folder: Path) -> None:
    said = torchlift("diff", "noted.py", "--no-verify", "--format", "markdown").stdout
    assert "```diff\n--- noted.py\n+++ noted_lightning.py\n" in said


def test_words_of_the_script_do_not_become_markup() -> None:
    assert text("a*b_c <i> [x](y) |") == "a\\*b\\_c \\<i> \\[x](y) \\|"
    assert (code("a|b"), code("a`b")) == ("`a\\|b`", "`` a`b ``")
    assert fenced("", "```\nx\n```") == ["````", "```\nx\n```", "````"]


# --- JSON ---------------------------------------------------------------------------------------------------------


def test_json_of_a_diff_has_the_rows(folder: Path) -> None:
    report = json.loads(torchlift("diff", "noted.py", "--no-verify", "--format", "json").stdout)
    (record,) = report["files"]
    rows = record["rows"]
    before = (folder / "noted.py").read_text().splitlines()
    assert [row["before"]["text"] for row in rows if row["before"]] == before
    assert {row["fate"] for row in rows} >= {"kept", "moved", "trainer", None}
    assert (report["schema"], record["status"]) == (1, "converted")
