"""A sample of the kills; `make chaos` spreads many more over the whole run."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest


def loaded(name: str) -> ModuleType:
    """A module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(f"chaos_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def chaos() -> ModuleType:
    return loaded("run")


def test_training_that_is_killed_loses_nothing(chaos: ModuleType) -> None:
    runs = list(chaos.training(kills=9, seed=1))
    assert runs and not [(run, lost) for run, lost in runs if lost]


def test_what_is_lost_is_found(chaos: ModuleType, tmp_path: Path) -> None:
    """A checkpoint cut in half, one that a kill took away, a torn row, a run that ended elsewhere."""
    with chaos.Server() as server:
        whole = chaos.uninterrupted(server, "epochs", chaos.new(tmp_path / "whole"))
        folder = chaos.new(tmp_path / "killed")
        life = server.train(folder, "epochs", fatal_step=14)
    assert life.status == -9
    assert chaos.after_kill(folder, life, 0, whole) == (12, [])
    table, (other, _) = folder / "logs" / "metrics.csv", sorted(folder.glob("checkpoints/epoch*"))
    table.write_text(table.read_text()[:-4])
    other.write_bytes(other.read_bytes()[:500])
    assert {"metrics.csv ends within", f"{other.name} cannot be"} <= {
        " ".join(sentence.split()[:3]) for sentence in chaos.after_kill(folder, life, 0, whole)[1]
    }
    other.unlink()
    (folder / "checkpoints" / "last.ckpt").unlink()
    assert "there is no last.ckpt, though step 12 was saved" in chaos.after_kill(folder, life, 0, whole)[1]
    assert chaos.difference(whole.final, whole.best)


@pytest.mark.parametrize("name", ["convert --in-place", "scaffold"])
def test_a_command_that_is_killed_leaves_the_old_or_the_new(name: str) -> None:
    commands = loaded("commands")
    times, lost = commands.kill_command(commands.commands()[name], 2, random.Random(3))
    assert times == 2 and not lost
