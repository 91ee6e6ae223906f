"""A sample of the wrong twins; `make mutants` judges all of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    path = Path(__file__).with_name("run.py")
    spec = importlib.util.spec_from_file_location("mutants_run", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_there_are_enough_and_each_changes_its_script(runner: ModuleType) -> None:
    twins = runner.twins()
    assert sum(twin.expected is runner.Answer.DIFFERS for twin in twins) >= 40
    for twin in twins:
        source = (runner.HERE / "scripts" / f"{twin.script}.py").read_text(encoding="utf-8")
        compile(twin.text(source), twin.name, "exec")
    assert len({twin.name for twin in twins}) == len(twins)


def test_a_sample_is_judged_rightly(runner: ModuleType) -> None:
    wrong = [twin for twin in runner.twins() if twin.expected is runner.Answer.DIFFERS]
    right = [twin for twin in runner.twins() if twin.expected is runner.Answer.EXACT]
    sample = [*wrong[::9], right[0], right[-1]]  # of every script
    with runner.ForkServer(runner.PRELOAD) as server:
        for twin, verdict in runner.verdicts(sample, server):
            assert verdict.answer is twin.expected, (twin.name, verdict.sentence)


def test_a_mutation_that_no_longer_fits_its_script_is_an_error(runner: ModuleType) -> None:
    twin = runner.Twin("stale", "regress", "no such line", "", runner.Answer.DIFFERS)
    with pytest.raises(ValueError, match="0 times"):
        twin.text("x = 1")
