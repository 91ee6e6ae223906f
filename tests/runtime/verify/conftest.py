"""Real runs of small scripts, in forks of one process that has torch and lightning imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from torchlift.verify.launch import ForkServer
from torchlift.verify.prove import Limits, Proof, plan, prove
from torchlift.verify.records import Trace
from torchlift.verify.run import Run, trace

PRELOAD = ("torch", "torch._dynamo", "numpy", "torch.utils.tensorboard", "lightning.pytorch")


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    with ForkServer(PRELOAD) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The user's folder; scratch copies lie elsewhere."""
    made = tmp_path / "project"
    made.mkdir()
    return made


@pytest.fixture
def run(server: ForkServer, folder: Path, tmp_path: Path) -> Callable[..., Trace]:
    """Trace a script given as text."""

    def traced(source: str, *args: str, name: str = "train.py", **limits: object) -> Trace:
        script = folder / name
        script.write_text(dedent(source), encoding="utf-8")
        return trace(Run(script, folder, folder, args, **{"timeout": 60.0, **limits}), server, tmp_path)  # type: ignore[arg-type]

    return traced


@pytest.fixture
def proven(server: ForkServer, folder: Path) -> Callable[..., Proof]:
    """Prove two scripts given as text."""

    def proof(before: str, after: str, *args: str, **limits: object) -> Proof:
        paths = folder / "train.py", folder / "train_lightning.py"
        for path, source in zip(paths, (before, after)):
            path.write_text(dedent(source), encoding="utf-8")
        runs = plan(*paths, args, Limits(**{"timeout": 60.0, **limits}))  # type: ignore[arg-type]
        return prove(*runs, server)

    return proof
