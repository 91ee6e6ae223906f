"""Every sample: its twin is what the converter writes today, and trains to the same bits on both runtimes.

The original runs twice (it has to equal itself), the twin once on torchlift and once on Lightning, each to its end and
in a copy of the sample's folder. A fork of a process that has imported torch takes the place of a new interpreter.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from torchlift.verify.compare import compare
from torchlift.verify.launch import ForkServer
from torchlift.verify.run import TARGETS, Run, trace
from torchlift.verify.verdict import Answer
from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Result

SAMPLES = sorted(path.parent for path in Path(__file__).parents[2].glob("samples/*/train.py"))
PRELOAD = ("torch", "torch._dynamo", "numpy", "sklearn.datasets", "matplotlib.pyplot", "lightning")

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda folder: folder.name)


def converted(sample: Path) -> Result:
    return convert((sample / "train.py").read_bytes(), Options())


@pytest.fixture(scope="module")
def launcher() -> Iterator[ForkServer]:
    with ForkServer(PRELOAD) as server:
        yield server


@each_sample
def test_twin_is_what_the_converter_writes(sample: Path) -> None:
    result = converted(sample)
    assert result.code is not None, result.diagnostics
    assert (sample / "train_lightning.py").read_text(encoding="utf-8") == result.code, "run: make samples"


def test_gallery_is_what_its_script_writes() -> None:
    script = Path(__file__).parents[2] / "samples" / "gallery.py"
    assert subprocess.run([sys.executable, str(script), "--check"]).returncode == 0, "run: make samples"


@each_sample
def test_twin_trains_to_the_same_bits_on_both_runtimes(sample: Path, tmp_path: Path, launcher: ForkServer) -> None:
    original = Run(sample / "train.py", sample, sample, timeout=120.0)
    before = trace(original, launcher, tmp_path)
    alone = compare(before, trace(original, launcher, tmp_path))
    assert alone.answer is Answer.EXACT, f"the original against itself: {alone.sentence}"
    for target in TARGETS:
        twin = replace(original, script=sample / "train_lightning.py", target=target)
        verdict = compare(before, trace(twin, launcher, tmp_path))
        assert verdict.answer is Answer.EXACT, f"on {target}: {verdict.sentence}"
        assert verdict.counts.steps == len(before.steps)


def test_most_samples_become_automatic_with_a_datamodule() -> None:
    """Two optimizers, loaders that are handed over, and no loader at all are reasons to fall back; most have none."""
    results = {sample.name: converted(sample) for sample in SAMPLES}
    shapes = {name: (result.optimization, result.datamodule) for name, result in results.items()}
    whole = [name for name, shape in shapes.items() if shape[0] is Optimization.AUTOMATIC and shape[1]]
    assert len(whole) >= len(SAMPLES) * 5 // 8, shapes
