"""The wheel that users install holds every module and every template, and nothing of the tests or samples."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("converter/torchlift_convert", "runtime/torchlift", "templates/torchlift_templates")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built by hatchling itself from a copy: no network, and nothing written beside the sources."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(REPOSITORY / name, copy / name)
    for source in SOURCES:
        shutil.copytree(REPOSITORY / source, copy / source)
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    run = subprocess.run(
        [sys.executable, "-c", build, str(copy / "dist")], cwd=copy, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return zipfile.ZipFile(copy / "dist" / run.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("source", SOURCES)
def test_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile, source: str) -> None:
    folder = REPOSITORY / source
    expected = {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected, f"{source} is empty"
    assert expected - set(wheel.namelist()) == set()


def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {Path(source).name for source in SOURCES}


def test_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    scripts = configparser.ConfigParser()
    scripts.read_string(wheel.read(entry_points).decode())
    assert dict(scripts["console_scripts"]) == {"torchlift": "torchlift_convert.cli:app"}
