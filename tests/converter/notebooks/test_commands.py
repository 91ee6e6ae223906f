"""Notebooks on the command line: files in and out, places in reports, diff, and verify, which runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.converter.notebooks.books import DATA, HEAD, LOOP, MODEL, READ, book, sources, valid
from typer.testing import CliRunner, Result

from torchlift_convert.cli import app
from torchlift_convert.notebooks.api import worded
from torchlift_convert.notebooks.document import read
from torchlift_convert.notebooks.flat import flatten
from torchlift_convert.notebooks.running import script_of

BOOK = book("# Title", "%matplotlib inline\n" + HEAD, DATA, MODEL, LOOP, READ + "\nmodel")
LEFT = book(
    "# Title", HEAD, DATA, MODEL, LOOP.replace("    for x, y", "    if epoch == 1:\n        continue\n    for x, y")
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("train.ipynb").write_text(BOOK, encoding="utf-8")
    return tmp_path


def torchlift(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=given)


def test_a_notebook_gives_a_notebook_beside_it(folder: Path) -> None:
    done = torchlift("convert", "train.ipynb")
    assert done.exit_code == 0
    assert done.stdout.startswith("Converted train.ipynb to train_lightning.ipynb.")
    assert "cell 5, line 1 " in done.stdout
    assert "cells:   taken to run from the first to the last, each once" in done.stdout
    valid(Path("train_lightning.ipynb").read_text(encoding="utf-8"))
    assert Path("train.ipynb").read_text(encoding="utf-8") == BOOK


def test_standard_input_may_be_a_notebook() -> None:
    done = torchlift("convert", "-", "-o", "-", given=BOOK)
    assert done.exit_code == 0
    valid(done.stdout)


def test_a_refusal_names_cell_and_line(folder: Path) -> None:
    Path("train.ipynb").write_text(LEFT, encoding="utf-8")
    done = torchlift("convert", "train.ipynb")
    assert done.exit_code == 1
    assert "train.ipynb: cell 5, line 3: TL105: " in done.stderr
    record = json.loads(torchlift("convert", "train.ipynb", "--format", "json").stdout)["files"][0]["diagnostics"][0]
    assert (record["lines"], record["cells"]) == ([3, 3], [5, 5])
    result = json.loads(torchlift("convert", "train.ipynb", "--format", "sarif").stdout)["runs"][0]["results"][0]
    (where,) = result["locations"]
    assert where["logicalLocations"] == [{"fullyQualifiedName": "cell 5, line 3"}]
    assert "region" not in where["physicalLocation"]
    assert "`train.ipynb: cell 5, line 3`" in torchlift("convert", "train.ipynb", "--format", "markdown").stdout


def test_sentences_that_name_lines_name_those_of_cells() -> None:
    flat = flatten(read(book("# Title", "a = 1\nb = 2", "c = 3")))
    assert worded("It is used on line 3.", flat) == "It is used on line 2 of cell 2."
    assert worded("See lines 2, 5.", flat) == "See line 1 of cell 2, line 1 of cell 3."
    assert worded("See line 5 of utils.py and line 2.", flat) == "See line 5 of utils.py and line 1 of cell 2."


def test_json_has_the_cells_of_the_ledger(folder: Path) -> None:
    report = json.loads(torchlift("convert", "train.ipynb", "--format", "json").stdout)
    fates = report["files"][0]["fates"]
    assert [5, 5] in [f["cells"] for f in fates if f["kind"] == "trainer"]
    new = sources(Path("train_lightning.ipynb").read_text(encoding="utf-8"))
    for fate in fates:
        for (first, last), cell in zip(fate["targets"], fate["target_cells"], strict=True):
            assert all(line.strip() for line in new[cell - 1].splitlines()[first - 1 : first] if first == last)


def test_diff_shows_the_cells_one_under_the_other(folder: Path) -> None:
    done = torchlift("diff", "train.ipynb", "--no-verify", "--width", "160")
    assert done.exit_code == 0
    assert "# %% cell 2" in done.stdout
    assert "%matplotlib inline" in done.stdout
    assert "done by Trainer(max_epochs=2)" in done.stdout
    assert "torchlift_magic" not in done.stdout
    torchlift("convert", "train.ipynb")
    again = torchlift("diff", "train.ipynb", "train_lightning.ipynb", "--no-verify", "--width", "160")
    assert again.stdout.splitlines()[2:] == done.stdout.splitlines()[2:]


def test_a_folder_has_notebooks_too(folder: Path) -> None:
    done = torchlift("convert", ".", "-o", "../made")
    assert done.exit_code == 0
    valid((folder / "../made/train.ipynb").read_text(encoding="utf-8"))


def test_verify_runs_the_cells_as_scripts_and_says_so(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = torchlift("convert", "train.ipynb", "--verify")
    assert done.exit_code == 0
    assert "proof:   exact over the whole run: 8 steps" in done.stdout
    said = capfd.readouterr().err + done.stderr
    assert "train.ipynb runs as a script, its cells from the first to the last" in said
    assert {p.name for p in folder.iterdir()} == {"train.ipynb", "train_lightning.ipynb"}


def test_as_a_script_a_notebook_prints_what_it_would_show_and_skips_magics() -> None:
    text = book(
        "from __future__ import annotations\nx = 3",
        "%%time\n!ls\nfiles = !ls\nif x:\n    %timeit x\n",
        "(x)",
        "x;",
        "display(x)",
        "get_ipython().magic('ls')",
    )
    assert printed(text) == "3\n3\n"
    assert printed(book("x = object()", "%time x")) == "<object object at 0x>\n"
    assert printed(book('"ä"; {1:\n 2}  # shown')) == "{1: 2}\n"


def printed(text: str) -> str:
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(script_of(read(text)), "book", "exec"), {})
    return out.getvalue()
