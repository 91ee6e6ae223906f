"""To Lightning and back: the ejected script does what the script that was converted did."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from torchlift_convert.api import convert
from torchlift_convert.eject.api import eject
from torchlift_convert.types import FateKind, Options, Status, Target

from .conftest import first_difference, run

SAMPLES = sorted(Path(__file__).parents[3].glob("samples/*/train.py"))
QUICK = ("diabetes_resume", "iris_accumulation", "wine_module")  # run here; verify runs them all


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.parent.name)
def test_every_conversion_comes_back(sample: Path) -> None:
    source = sample.read_text(encoding="utf-8")
    converted = convert(source, Options(target=Target.LIGHTNING)).code
    assert converted is not None
    result = eject(converted)
    if result.status is Status.REFUSED:
        assert all(d.code.startswith("TL8") and d.span.first > 1 and d.remedy for d in result.diagnostics)
        return
    assert result.status is Status.CONVERTED, result.diagnostics
    assert result.code is not None and not re.search(r"torchlift|lightning|self\.(log|trainer)\b", result.code)
    assert len(result.fates) == sum(isinstance(n, ast.stmt) for n in ast.walk(ast.parse(converted)))
    last = len(result.code.splitlines())
    assert all(1 <= t.first <= t.last <= last for f in result.fates for t in f.targets)
    assert {f.kind for f in result.fates} == {FateKind.KEPT, FateKind.MOVED, FateKind.MERGED}


def test_most_conversions_come_back() -> None:
    """Objects that are handed over, and trainings that stop in the middle of an epoch, do not."""
    codes = [convert(s.read_text(encoding="utf-8"), Options(target=Target.LIGHTNING)).code for s in SAMPLES]
    back = [eject(code).status for code in codes if code is not None]
    assert back.count(Status.CONVERTED) >= len(SAMPLES) * 3 // 4


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.parent.name in QUICK], ids=lambda p: p.parent.name)
def test_what_comes_back_trains_as_the_original_did(sample: Path, tmp_path: Path) -> None:
    importlib.import_module("sklearn.datasets")  # importing it draws random numbers
    source = sample.read_text(encoding="utf-8")
    converted = convert(source, Options()).code
    assert converted is not None
    code = eject(converted).code
    assert code is not None
    before = run(source, tmp_path / "before")
    assert before.steps and not first_difference(before, run(code, tmp_path / "after"))


def test_ejecting_again_finds_nothing() -> None:
    converted = convert(SAMPLES[0].read_text(encoding="utf-8")).code
    assert converted is not None
    code = eject(converted).code
    assert code is not None
    assert eject(code).status is Status.NO_LOOP
