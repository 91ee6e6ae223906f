"""``torchlift convert`` as people call it: the real command line and the real converter on real files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from torchlift_convert import api
from torchlift_convert.cli import app

Snapshot = Callable[[], dict[str, bytes]]
SAMPLE = Path(__file__).parents[3] / "samples" / "digits_mlp" / "train.py"


def torchlift(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train.py"
    path.write_bytes(SAMPLE.read_bytes())
    return path


# --- what cannot be read or used ----------------------------------------------------------------------------------

BAD_INPUT = {
    "c.py": (b"#include <stdio.h>\nint main(void) { return 0; }\n", "c.py:2: "),
    "broken.py": (b"import torch\nfor x in data:\nloss.backward()\n", "broken.py:3: "),
    "python2.py": (b"import torch\nprint 'epoch', 1\n", "python2.py:2: "),
    "empty.py": (b"", "empty.py: the file is empty"),
    "blank.py": (b"\n  \n", "blank.py: the file is empty"),
    "binary.py": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "binary.py: this is a binary file"),
    "latin.py": ("x = 'é'\n".encode("latin-1"), "latin.py:1: byte 0xe9 is not UTF-8"),
    "wide.py": ("x = 1\n".encode("utf-16"), "wide.py: the text is UTF-16"),
    "book.ipynb": (b'{"cells": 3, "metadata": {}}', "book.ipynb:1: TL902: This is no notebook"),
    "plain.py": (b"import torch\nprint(torch.ones(3))\n", "plain.py:"),
    "comment.py": (b"# nothing here yet\n", "comment.py:"),
    "lit.py": (
        b"import lightning as L\n\nclass Net(L.LightningModule):\n    pass\n\nL.Trainer().fit(Net())\n",
        "lit.py:",
    ),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_gets_one_sentence_and_touches_no_file(
    name: str, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, said = BAD_INPUT[name]
    Path(name).write_bytes(data)
    before = snapshot()
    for options in ([], ["--diff"], ["--in-place"], ["-o", "out.py"], ["-o", "-"]):
        result = torchlift("convert", name, *options)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(said)
        assert len(result.stderr.splitlines()) == 1
        assert snapshot() == before


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_reported_as_json_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, said = BAD_INPUT[name]
    Path(name).write_bytes(data)
    result = torchlift("convert", name, "--format", "json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["exit_code"], result.stderr) == (2, 2, "")
    (record,) = report["files"]
    assert record["message"].startswith(said)
    assert record["status"] in ("unreadable", "no-loop", "already-lightning")
    assert (record["output"], record["written"], record["proof"]) == (None, False, "refused")


@pytest.mark.parametrize("name", BAD_INPUT)
def test_check_finds_nothing_where_there_is_no_loop(
    name: str, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(BAD_INPUT[name][0])
    before = snapshot()
    result = torchlift("convert", name, "--check")
    readable = name in ("plain.py", "comment.py", "lit.py")
    assert result.exit_code == (0 if readable else 2)
    assert result.output.startswith(f"{name}:")
    assert snapshot() == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.py", "missing.py: cannot be read: no such file or directory.\n"),
        ("train.py/x.py", "train.py/x.py: cannot be read: not a directory.\n"),
    ],
)
def test_a_file_that_is_not_there(name: str, said: str, script: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    result = torchlift("convert", name)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)
    assert snapshot() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train.py", "--in-place", "--diff"], "--in-place and --diff"),
        (["train.py", "--check", "-o", "x.py"], "--check and --output"),
        (["-", "--in-place"], "standard input has no place"),
        (["train.py", "--verify", "--diff"], "--verify"),
        (["train.py", "--verify", "-o", "-"], "--verify"),
        (["-", "--verify", "-o", "x.py"], "--verify"),
        (["train.py", "--", "--epochs", "2"], "go with --verify"),
        (["train.py", "--steps", "3"], "go with --verify"),
        (["train.py", "other.py", "-o", "x.py"], "goes with one script, and there are several."),
        (["train.py", "-"], "goes with one script, and there are several."),
        (["train.py", "other.py", "--verify"], "runs one script"),
        (["train.py", "--select", "TL3,XX9"], "no code starts with 'XX9'"),
        (["train.py", "--target", "keras"], "keras"),
        (["train.py", "--format", "xml"], "xml"),
        ([], "Missing argument"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], said: str, script: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    result = torchlift("convert", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert snapshot() == before


def test_a_bug_of_ours_is_shown_as_one(script: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(source: bytes, options: object) -> None:
        raise ZeroDivisionError("in the planner")

    monkeypatch.setattr(api, "convert", bug)
    before = snapshot()
    result = torchlift("convert", "train.py")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "ZeroDivisionError: in the planner" in result.stderr
    assert result.stderr.endswith("train.py: torchlift itself failed here. Please report this with the lines above.\n")
    assert snapshot() == before


# --- what can -----------------------------------------------------------------------------------------------------


def test_a_script_is_converted_beside_the_original(script: Path, snapshot: Snapshot) -> None:
    result = torchlift("convert", "train.py")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Converted train.py to train_lightning.py.\n")
    for word in ("training_step", "module:", "data:", "ledger:", "statements:", "proof:", "exact-by-construction"):
        assert word in result.stdout
    files = snapshot()
    assert sorted(files) == ["train.py", "train_lightning.py"]
    assert files["train.py"] == SAMPLE.read_bytes()
    compile(files["train_lightning.py"], "train_lightning.py", "exec")
    assert b"import torchlift as L" in files["train_lightning.py"]


def test_converting_the_result_says_already_lightning(script: Path, snapshot: Snapshot) -> None:
    torchlift("convert", "train.py", "--in-place")
    before = snapshot()
    assert sorted(before) == ["train.py", "train.py.bak"]
    again = torchlift("convert", "train.py", "--in-place")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "Lightning" in again.stderr
    assert snapshot() == before
    assert torchlift("convert", "train.py", "--check").exit_code == 0


def test_check_finds_a_script_to_convert(script: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    result = torchlift("convert", "train.py", "--check")
    assert result.exit_code == 1
    assert result.stdout.startswith("train.py can be converted; nothing was written.\n")
    assert snapshot() == before


def test_standard_input_to_standard_output(script: Path, snapshot: Snapshot) -> None:
    torchlift("convert", "train.py", "-o", "file.py")
    before = snapshot()
    crlf = SAMPLE.read_bytes().replace(b"\n", b"\r\n")
    for stdin, expected in (
        (SAMPLE.read_bytes(), before["file.py"]),
        (crlf, before["file.py"].replace(b"\n", b"\r\n")),
    ):
        result = torchlift("convert", "-", stdin=stdin)
        assert result.exit_code == 0
        assert result.stdout_bytes == expected
        assert result.stderr.startswith("Converted <stdin> to standard output.\n")
    assert snapshot() == before
    torchlift("convert", "-", "-o", "other.py", stdin=SAMPLE.read_bytes())
    assert Path("other.py").read_bytes() == before["file.py"]


def patched(text: str, patch: str) -> str:
    """Apply a unified diff of one file."""
    old, new, at = text.splitlines(keepends=True), [], 0
    for line in patch.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            first = int(re.match(r"@@ -(\d+)", line)[1]) - 1  # type: ignore[index]
            new += old[at:first]
            at = first
        elif line[0] in " -":
            assert old[at] == line[1:]
            at += 1
        if line[0] in " +":
            new.append(line[1:])
    return "".join(new + old[at:])


def test_the_patch_turns_the_original_into_the_result(script: Path) -> None:
    torchlift("convert", "train.py", "-o", "file.py")
    result = torchlift("convert", "train.py", "--diff")
    assert result.exit_code == 0
    assert result.stderr.startswith("train.py can be converted; nothing was written.\n")
    assert patched(script.read_text(), result.stdout) == Path("file.py").read_text()


def test_the_json_report_of_a_conversion(script: Path) -> None:
    result = torchlift("convert", "train.py", "--format", "json", "--target", "lightning")
    report = json.loads(result.stdout)
    (record,) = report["files"]
    assert (result.exit_code, result.stderr, report["exit_code"]) == (0, "", 0)
    assert (record["status"], record["written"], record["target"]) == ("converted", True, "lightning")
    assert (record["input"], record["output"]) == ("train.py", "train_lightning.py")
    ledger = record["ledger"]
    assert ledger["statements"] == len(record["fates"]) > 10
    assert ledger["statements"] == sum(number for kind, number in ledger.items() if kind != "statements")
    assert record["became"]
    assert "import lightning" in Path("train_lightning.py").read_text()


def test_the_quiet_report_is_one_line(script: Path) -> None:
    assert torchlift("convert", "train.py", "-q").stdout == "Converted train.py to train_lightning.py.\n"


# --- what it costs ------------------------------------------------------------------------------------------------

HEAVY = "pydantic", "torch", "torchlift", "lightning", "rich", "black", "libcst", "jinja2", "torchlift_templates"


def loaded_after(arguments: list[str], folder: Path) -> tuple[int, set[str]]:
    """Exit code of a command in a new process, and which of the heavy modules it has imported."""
    code = (
        "import sys\n"
        "from torchlift_convert.cli import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        f"    print(end.code, *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    status, *modules = process.stderr.splitlines()[-1].split()
    return int(status), set(modules)


@pytest.mark.parametrize(
    ("arguments", "status", "allowed"),
    [
        (["--help"], 0, set()),
        (["convert", "--help"], 0, set()),
        (["convert", "missing.py"], 2, set()),
        (["convert", "train.py"], 0, {"libcst", "black"}),
        (["scaffold", "--list"], 0, {"torchlift_templates"}),
    ],
)
def test_nothing_is_imported_before_it_is_used(
    arguments: list[str], status: int, allowed: set[str], script: Path, tmp_path: Path
) -> None:
    ended, modules = loaded_after(arguments, tmp_path)
    assert ended == status
    assert modules <= allowed


def test_the_module_is_the_command(script: Path, tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "torchlift_convert", "convert", "train.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("Converted train.py to train_lightning.py.\n")


def test_help_documents_the_exit_codes() -> None:
    result = torchlift("convert", "--help")
    assert result.exit_code == 0
    for line in ("0  converted", "1  something is left to do by hand", "2  the input could not be read or used"):
        assert line in result.stdout


def test_the_version_is_printed() -> None:
    result = torchlift("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("torchlift ")
