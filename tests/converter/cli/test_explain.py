"""``torchlift explain``: a page for each code, true to what the converter says."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import torchlift_convert
from torchlift_convert import explain
from torchlift_convert.api import convert
from torchlift_convert.cli import app
from torchlift_convert.diagnostics import CODES
from torchlift_convert.eject.api import eject
from torchlift_convert.explain import BUG, FAMILIES, SEVERITIES, BadPage, parse
from torchlift_convert.notebooks.api import through_cells
from torchlift_convert.types import Options, Severity, Status
from torchlift_convert.types import Result as ConvertResult

PACKAGE = Path(torchlift_convert.__file__).parent
DOCUMENT = Path(__file__).parents[3] / "docs" / "codes.md"
PAGES = explain.pages()
WITH_EXAMPLE = [code for code, page in PAGES.items() if BUG not in page.severities]


def way(code: str) -> Callable[[str], ConvertResult]:
    """Which of the two commands says a code, and of what: a page about notebooks divides its example into cells."""
    if code == "TL120":
        return lambda example: through_cells(as_book(example), Options(), convert)
    return eject if code.startswith("TL8") else convert


def as_book(example: str) -> str:
    """A notebook of what stands between the lines ``# %%``."""
    cells = [
        {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": source.strip("\n")}
        for source in example.split("# %%\n")[1:]
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})


def torchlift(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments], env=env)


# --- the pages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", WITH_EXAMPLE)
def test_the_example_produces_its_code(code: str) -> None:
    page = PAGES[code]
    said = {d.code: d.severity for d in way(code)(page.example).diagnostics}
    assert code in said
    assert said[code] in page.severities


@pytest.mark.parametrize("code", WITH_EXAMPLE)
def test_what_the_page_advises_makes_the_code_go_away(code: str) -> None:
    page = PAGES[code]
    result = way(code)(page.instead)
    assert code not in {d.code for d in result.diagnostics}
    if "loss.backward()" in page.instead or code.startswith("TL8"):
        assert result.status is Status.CONVERTED


@pytest.mark.parametrize("code", CODES)
def test_a_page_is_complete(code: str) -> None:
    page = PAGES[code]
    assert page.title == CODES[code]
    assert page.meaning and page.why and page.remedy and page.severities
    assert set(page.severities) <= set(SEVERITIES)
    assert bool(page.example) == bool(page.instead) == (BUG not in page.severities)
    assert all(len(line) <= 76 for line in (page.example + page.instead).splitlines())  # an indented line fits into 80
    assert page.example != page.instead or not page.example


def test_every_severity_but_bug_is_one_of_a_diagnostic() -> None:
    assert set(SEVERITIES) - {BUG} == set(Severity)


def test_pages_name_the_severities_that_the_converter_gives() -> None:
    """Read from each call that makes a diagnostic: Refuse("TL102", ...), note("TL302", ...)."""
    given = {"Refuse": "refusal", "finding": "finding", "note": "note"}
    said: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[ast.Constant(str(code)), *_]) if name in given:
                    said.setdefault(code, set()).add(given[name])
    assert said
    for code, kinds in said.items():
        assert kinds <= set(PAGES[code].severities), code


WHY, WHAT = "\n## Why it matters\n\nBecause.\n", "\n## What to do\n\nIt.\n"


@pytest.mark.parametrize("missing", ["severity: note\n", WHY, WHAT])
def test_a_page_that_lacks_something_is_an_error(missing: str) -> None:
    text = f"severity: note\n\nMeaning.\n{WHY}{WHAT}"
    assert parse("TL302", text).meaning == "Meaning."
    with pytest.raises(BadPage, match="the page of TL302 has no"):
        parse("TL302", text.replace(missing, "x: y\n" if missing.startswith("severity") else ""))


def test_the_document_is_made_from_the_pages() -> None:
    """When it is not: `make codes`."""
    assert torchlift("--format", "markdown").stdout == DOCUMENT.read_text(encoding="utf-8")


# --- the command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["TL302", "tl302"])
def test_a_page_has_everything(code: str) -> None:
    result = torchlift(code)
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    page = PAGES["TL302"]
    for text in (page.title, page.meaning, page.why, page.remedy, page.example):
        assert " ".join(text.split()) in said
    assert "-        if loss > 1e-3:" in result.stdout


@pytest.mark.parametrize("columns", ["80", "120"])
def test_text_is_as_wide_as_the_terminal_and_has_no_colours_in_a_pipe(columns: str) -> None:
    for arguments in ([], list(PAGES)):
        text = torchlift(*arguments, env={"COLUMNS": columns}).stdout
        assert "\x1b" not in text
        assert all(len(line) <= int(columns) and line == line.rstrip() for line in text.splitlines())


def test_without_a_code_all_are_listed_under_their_families() -> None:
    lines = torchlift(env={"COLUMNS": "120"}).stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  TL")] == sorted(CODES)
    headings = {line for line in lines if line and not line.startswith((" ", "torchlift"))}
    assert headings == {FAMILIES[code[2]].capitalize() for code in CODES}


def test_the_start_of_a_code_lists_those_that_begin_so() -> None:
    lines = torchlift("TL7", env={"COLUMNS": "120"}).stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  TL")] == [c for c in CODES if c.startswith("TL7")]


def test_json_has_every_field_of_a_page() -> None:
    report = json.loads(torchlift("TL302", "TL900", "--format", "json").stdout)
    assert report["schema"] == explain.JSON_SCHEMA
    one, other = report["codes"]
    assert (one["code"], one["severities"], one["example"]) == ("TL302", ["note"], PAGES["TL302"].example)
    assert (other["code"], other["example"], other["instead"]) == ("TL900", None, None)
    assert len(json.loads(torchlift("--format", "json").stdout)["codes"]) == len(CODES)


def test_markdown_of_one_code_is_its_page_alone() -> None:
    text = torchlift("TL310", "--format", "markdown").stdout
    assert text.startswith("# TL310: ")
    assert "TL302" not in text
    assert text.count("```") == 4


@pytest.mark.parametrize(("code", "said"), [("302", "did you mean TL302?"), ("XY", "`torchlift explain` lists all.")])
def test_a_code_that_does_not_exist(code: str, said: str) -> None:
    result = torchlift(code)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
