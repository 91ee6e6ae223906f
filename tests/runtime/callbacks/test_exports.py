"""Names are found by file, and each is imported when it is first used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from torchlift.utilities.lazy import public_names

PACKAGES = [
    "torchlift.callbacks",
    "torchlift.callbacks.progress",
    "torchlift.loggers",
    "torchlift.profilers",
    "torchlift.tuner",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_are_told_what_is_found_in_the_files(package: str) -> None:
    source = Path(str(importlib.import_module(package).__file__)).read_text()
    told = {
        alias.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package}.")
        for alias in node.names
    }
    assert told == public_names(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there_and_no_other(package: str) -> None:
    module = importlib.import_module(package)
    for name in public_names(package):
        assert getattr(module, name).__name__ == name and name in dir(module)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = module.Nothing


def test_using_one_callback_imports_neither_rich_nor_tensorboard_nor_the_other_callbacks() -> None:
    code = (
        "import sys; from torchlift.callbacks import ModelCheckpoint, RichProgressBar, LearningRateMonitor\n"
        "RichProgressBar(), ModelCheckpoint(), LearningRateMonitor()\n"
        "assert not {'rich', 'tensorboard', 'torchlift.callbacks.early_stopping'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_a_star_gives_every_name_and_no_module() -> None:
    names: dict[str, object] = {}
    exec("from torchlift.callbacks import *", names)
    assert {"EarlyStopping", "ModelCheckpoint", "TQDMProgressBar"} <= set(names)
    assert "model_checkpoint" not in names
