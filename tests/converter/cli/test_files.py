"""Reading, naming and writing files: what comes in is text that Python reads, what goes out is whole or not there."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlift_convert import files
from torchlift_convert.files import FileProblem, as_source, is_notebook, read_source

Snapshot = Callable[[], dict[str, bytes]]
CODE = "import torch\nprint('ä')\n"


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "binary"),
        (CODE.encode("utf-16"), "UTF-16"),
        (CODE.encode("utf-32"), "UTF-32"),
        (b"x = 1\ny = 2\nz = '\xe4'\n", "train.py:3: byte 0xe4 is not UTF-8"),
        (b"# coding: ascii\nz = '\xe4'\n", "train.py:2: byte 0xe4 does not exist in the declared encoding ascii"),
        (b"# coding: klingon\nx = 1\n", "train.py:1: Python cannot use the encoding declared here"),
        (b"#!/usr/bin/python\n# coding: klingon\n", "train.py:2: Python cannot use the encoding"),
        (b"\xef\xbb\xbf# coding: latin-1\nx = 1\n", "train.py:1: Python cannot use the encoding"),
    ],
)
def test_unusable_bytes_get_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(FileProblem) as caught:
        as_source("train.py", Path("train.py"), data)
    assert said in str(caught.value)
    assert str(caught.value).startswith("train.py:")


def test_a_notebook_is_known_by_its_name_or_on_standard_input_by_its_text() -> None:
    assert is_notebook("nb.ipynb", b"")
    assert is_notebook("<stdin>", b' {"cells": []}')
    assert not is_notebook("<stdin>", b'{"rows": []}')
    assert not is_notebook("train.py", b'{"cells": []}')


@pytest.mark.parametrize("name", ["nothing.py", "", "no/such/folder/train.py", "nul\0.py"])
def test_a_file_that_is_not_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileProblem):
        read_source(name)


def test_a_directory_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="directory"):
        read_source(str(tmp_path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_text_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(CODE.encode(encoding))
    source = read_source(str(path))
    assert source.text == CODE
    assert source.encoding == encoding


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CODE.encode())))
    source = read_source("-")
    assert (source.name, source.path, source.text) == ("<stdin>", None, CODE)


# --- bytes in, bytes out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1"])
def test_the_result_is_encoded_as_the_original_was(newline: str, encoding: str) -> None:
    text = "# -*- coding: latin-1 -*-\n" + CODE if encoding == "iso-8859-1" else CODE
    data = text.replace("\n", newline).encode(encoding)
    source = as_source("train.py", None, data)
    assert source.newline == newline
    assert source.encode(text) == data  # a converter that answers with \n only
    assert source.encode(text.replace("\n", newline)) == data  # and one that keeps the line endings


def test_few_other_endings_do_not_count() -> None:
    assert as_source("train.py", None, b"a = 1\r\nb = 2\r\nc = 3\n").newline == "\r\n"
    assert as_source("train.py", None, b"a = 1\r\nb = 2\nc = 3\n").newline == "\n"


def test_a_character_that_the_encoding_lacks_is_reported() -> None:
    source = as_source("train.py", None, b"# coding: ascii\nx = 1\n")
    with pytest.raises(FileProblem, match="has no 'ä', which the converted code needs"):
        source.encode("x = 'ä'\n")


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1).filter(str.strip),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_survives_the_way_in_and_out(text: str, newline: str) -> None:
    data = ("x = 1\n" + text.removeprefix("\ufeff")).replace("\n", newline).encode()
    try:
        source = as_source("train.py", None, data)
    except FileProblem:  # a second line that happens to declare an encoding
        return
    assert source.encode(source.text) == data


# --- naming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "output"),
    [("train.py", "train_lightning.py"), ("a/b.c.py", "a/b.c_lightning.py"), ("script", "script_lightning.py")],
)
def test_the_default_output_lies_beside_the_original(name: str, output: str) -> None:
    assert files.default_output(Path(name)) == Path(output)


def test_links_to_one_file_are_the_same_file(tmp_path: Path) -> None:
    original = tmp_path / "train.py"
    original.write_text(CODE)
    (tmp_path / "soft.py").symlink_to(original)
    (tmp_path / "hard.py").hardlink_to(original)
    (tmp_path / "copy.py").write_text(CODE)
    assert files.same_file(original, tmp_path / "soft.py")
    assert files.same_file(original, tmp_path / "hard.py")
    assert not files.same_file(original, tmp_path / "copy.py")
    assert not files.same_file(original, tmp_path / "missing.py")


# --- writing ------------------------------------------------------------------------------------------------------


def test_a_new_file_is_written_with_the_permissions_of_its_model(tmp_path: Path, snapshot: Snapshot) -> None:
    model = tmp_path / "train.py"
    model.write_text(CODE)
    model.chmod(0o750)
    files.write_file(tmp_path / "new.py", b"x = 1\n", like=model)
    assert (tmp_path / "new.py").read_bytes() == b"x = 1\n"
    assert stat.S_IMODE((tmp_path / "new.py").stat().st_mode) == 0o750
    assert sorted(snapshot()) == ["new.py", "train.py"]


def test_a_new_file_without_a_model_has_the_permissions_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "usual.py").touch()
    files.write_file(tmp_path / "new.py", b"")
    assert (tmp_path / "new.py").stat().st_mode == (tmp_path / "usual.py").stat().st_mode


def test_an_existing_file_is_left_alone(tmp_path: Path, snapshot: Snapshot) -> None:
    path = tmp_path / "there.py"
    path.write_text("old")
    with pytest.raises(FileProblem, match="exists already"):
        files.write_file(path, b"new")
    assert snapshot() == {"there.py": b"old"}


def test_replacing_keeps_the_files_own_permissions(tmp_path: Path) -> None:
    path = tmp_path / "there.py"
    path.write_text("old")
    path.chmod(0o640)
    files.write_file(path, b"new", replace=True)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "train.py"
    real.write_text("old")
    link = tmp_path / "train.py"
    link.symlink_to(real)
    files.write_file(link, b"new", replace=True)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.parametrize("stage", ["fsync", "chmod", "replace", "link"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_breaks_off_leaves_the_old_file(
    stage: str, error: BaseException, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "there.py"
    if stage != "link":
        path.write_text("old")
    before = snapshot()

    def break_off(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(os, stage, break_off)
    with pytest.raises(FileProblem if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        files.write_file(path, b"new", replace=stage != "link")
    assert snapshot() == before
    if isinstance(error, OSError):
        assert "no space left on device" in str(caught.value)


@pytest.mark.parametrize("moment", ["fsync", "chmod", "replace"])
def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file(moment: str, tmp_path: Path) -> None:
    path = tmp_path / "there.py"
    path.write_text("old")
    code = (
        "import os, pathlib, signal, sys\n"
        "from torchlift_convert import files\n"
        f"os.{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_file(pathlib.Path(sys.argv[1]), b'new', replace=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", code, str(path)], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    files.write_file(path, b"new", replace=True)  # what the killed one left behind is in nobody's way
    assert path.read_text() == "new"


def test_a_file_system_without_hard_links(tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    files.write_file(tmp_path / "new.py", b"new")
    with pytest.raises(FileProblem, match="exists already"):
        files.write_file(tmp_path / "new.py", b"newer")
    assert snapshot() == {"new.py": b"new"}


def test_backups_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    names = []
    for content in ("one", "two", "three"):
        path.write_text(content)
        names.append(files.keep_backup(path, path.read_bytes()).name)
    assert names == ["train.py.bak", "train.py.bak1", "train.py.bak2"]
    assert [(tmp_path / name).read_text() for name in names] == ["one", "two", "three"]


def test_the_original_is_replaced_after_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("old")
    path.chmod(0o755)
    backup = files.replace_source(read_source(str(path)), b"new")
    assert (path.read_text(), backup.read_text()) == ("new", "old")
    assert path.stat().st_mode == backup.stat().st_mode


def test_an_original_that_changed_meanwhile_is_left_alone(tmp_path: Path, snapshot: Snapshot) -> None:
    path = tmp_path / "train.py"
    path.write_text("old")
    source = read_source(str(path))
    path.write_text("edited by its owner")
    with pytest.raises(FileProblem, match="changed while it was being converted"):
        files.replace_source(source, b"new")
    assert snapshot() == {"train.py": b"edited by its owner"}


def test_a_passing_neighbour_goes_away(tmp_path: Path, snapshot: Snapshot) -> None:
    path = tmp_path / "train.py"
    path.write_text("old")
    (tmp_path / "train_candidate.py").write_text("somebody's own")
    before = snapshot()
    with pytest.raises(RuntimeError), files.passing_neighbour(path, b"new") as neighbour:
        assert neighbour.read_bytes() == b"new"
        assert neighbour.name == "train_candidate1.py"
        raise RuntimeError
    assert snapshot() == before


def test_a_folder_that_is_missing_or_a_file_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "missing" / "out.py", tmp_path / "file" / "out.py", tmp_path):
        with pytest.raises(FileProblem):
            files.check_output(place, str(place))
    files.check_output(tmp_path / "out.py", "out.py")
