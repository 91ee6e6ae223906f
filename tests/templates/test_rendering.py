"""Rendering is whole or nothing, never overwrites, and takes names and options as data."""

from __future__ import annotations

import ast
import os
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from torchlift_templates import Template, TemplateError, available, check_project_name, find, render, render_texts
from torchlift_templates.rendering import write_whole

TEMPLATES = [template.name for template in available()]
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}([-_][a-z0-9]{1,8}){0,3}", fullmatch=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", TEMPLATES)
def test_result_tells_what_was_written(tmp_path: Path, name: str) -> None:
    result = render(name, "demo", tmp_path / "demo")
    assert sorted(map(str, result.files)) == sorted(contents(result.destination))
    assert result.next_steps
    assert os.listdir(tmp_path) == ["demo"], "something was left beside the project"


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_file_is_a_jinja_source(name: str) -> None:
    template = find(name)
    stray = [path for path in (template.folder / "files").rglob("*") if path.is_file() and path.suffix != ".jinja"]
    assert stray == []
    assert template.sources


@pytest.mark.parametrize("name", TEMPLATES)
@given(project=NAMES)
def test_every_accepted_name_gives_code_that_parses(name: str, project: str) -> None:
    try:
        check_project_name(project)
    except TemplateError:
        return
    for path, text in render_texts(find(name), project, {}).items():
        assert "{{" not in text and "{%" not in text
        if path.endswith(".py"):
            ast.parse(text)
        elif path == "pyproject.toml":
            assert tomllib.loads(text)["project"]["name"] == project


@pytest.mark.parametrize(
    "name",
    [
        "",
        "2d",
        "My Digits",
        "my--digits",
        "-x",
        "x-",
        "../up",
        "/abs",
        "a.b",
        "class",
        "torch",
        'a"b',
        "é",
        "{{ 1 }}",
        "a\n",
        "a" * 65,
    ],
)
def test_name_that_is_no_project_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TemplateError, match="cannot be a project's name"):
        render(TEMPLATES[0], name, tmp_path / "demo")
    assert os.listdir(tmp_path) == []


def test_unknown_template_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"no template 'nothing'\. There are: .*image-classification"):
        render("nothing", "demo", tmp_path / "demo")


def test_unknown_option_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"no option 'colour'; it has: target"):
        render("image-classification", "demo", tmp_path / "demo", colour="red")


def test_option_takes_only_its_choices(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="'os; import sys' is none of them"):
        render("image-classification", "demo", tmp_path / "demo", target="os; import sys")
    assert os.listdir(tmp_path) == []


def test_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "train.py").write_text("mine")
    with pytest.raises(TemplateError, match="is not empty"):
        render(TEMPLATES[0], "demo", tmp_path / "demo")
    assert contents(tmp_path) == {"demo/train.py": b"mine"}


def test_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(TemplateError, match="is not a folder"):
        render(TEMPLATES[0], "demo", tmp_path / "demo")
    assert contents(tmp_path) == {"demo": b"mine"}


def test_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "demo").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TemplateError, match="is not a folder"):
        render(TEMPLATES[0], "demo", tmp_path / "demo")
    assert contents(tmp_path) == {}


def test_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    assert contents(render(TEMPLATES[0], "demo", tmp_path / "demo").destination)


def test_missing_parent_is_said(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="is not a folder: make it first"):
        render(TEMPLATES[0], "demo", tmp_path / "nowhere" / "demo")


def test_what_came_in_between_is_not_overwritten(tmp_path: Path) -> None:
    """The folder was free when it was looked at and is not any more when the project is put there."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    with pytest.raises(TemplateError, match="Cannot write"):
        write_whole({"train.py": "ours"}, tmp_path / "demo")
    assert contents(tmp_path) == {"demo/mine.txt": b"mine"}


def test_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="Cannot write"):
        write_whole({"a": "a file", "a/b": "and a folder of the same name"}, tmp_path / "demo")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("moment", ["mkdir", "write_text", "rename"])
def test_kill_leaves_no_half_project(tmp_path: Path, moment: str) -> None:
    """The process dies at its second folder, second file, or just before the project is put in place."""
    code = f"""
import os, signal, sys
from pathlib import Path
from torchlift_templates import find, render_texts
from torchlift_templates.rendering import write_whole
real, calls = Path.{moment}, []
def die(path, *args, **kwargs):
    calls.append(path)
    if len(calls) == 2 or "{moment}" == "rename":
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path, *args, **kwargs)
texts = render_texts(find("{TEMPLATES[0]}"), "demo", {{}})
Path.{moment} = die
write_whole(texts, Path(sys.argv[1]))
"""
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path / "demo")], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (tmp_path / "demo").exists()
    assert contents(render(TEMPLATES[0], "demo", tmp_path / "demo").destination), "the next try is not in the way"


def test_project_has_the_rights_of_any_new_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    destination = render(TEMPLATES[0], "demo", tmp_path / "demo").destination
    assert stat.S_IMODE(destination.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_name_that_a_template_does_not_know_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "x.py.jinja").write_text("print('{{ nmae }}')\n")
    with pytest.raises(UndefinedError, match="nmae"):
        render_texts(Template("own", "", (), (), tmp_path), "demo", {})
