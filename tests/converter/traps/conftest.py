"""Small scripts that set one trap each: the converted script trains to the same bits, or the trap's line is refused.

Both scripts run in this process, some ten times faster than in one of their own, and everything that a user could see
is compared: every loss, the gradients, weights and learning rates at every step, printed lines, saved files, and the
random state at the end.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from tests.converter.traps.account import first_difference, run

from torchlift_convert.api import convert
from torchlift_convert.types import Diagnostic, Options, Result, Status

# Five batches of eight, shuffled and with dropout, so that one random draw too many shows at the next step.
HEAD = """
import copy
import itertools
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, random_split

torch.manual_seed(1)
"""
DATA = """
inputs = torch.randn(56, 4)
targets = inputs.sum(dim=1, keepdim=True) + 0.1 * torch.randn(56, 1)
train_loader = DataLoader(TensorDataset(inputs[:40], targets[:40]), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(inputs[40:], targets[40:]), batch_size=8)
"""
MODEL = """
model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 1))
criterion = nn.MSELoss()
"""
OPTIMIZER = """
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
"""


@dataclass(frozen=True)
class Traps:
    """Converts small scripts and runs them before and after."""

    folder: Path

    def script(
        self, loop: str, *, data: str = DATA, model: str = MODEL, optimizer: str = OPTIMIZER, head: str = HEAD
    ) -> str:
        """A whole script from its parts."""
        return "\n".join(dedent(part).strip() for part in (head, data, model, optimizer, loop)) + "\n"

    def exact(self, loop: str, **parts: str) -> Result:
        """Convert and compare; returns the conversion, for what else there is to say about it."""
        return self.exact_script(self.script(loop, **parts))

    def exact_script(self, source: str) -> Result:
        result = convert(source, Options())
        assert result.code is not None, "; ".join(str(d) for d in result.diagnostics) or result.status
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        before = run(source, folder / "before")
        assert before.steps and before.losses, "a script that does not train proves nothing"
        assert before.steps[0]["weight"] != before.steps[-1]["weight"]
        difference = first_difference(before, run(result.code, folder / "after"))
        assert not difference, f"{difference}\n{result.code}"
        return result

    def refused(self, loop: str, code: str, **parts: str) -> Diagnostic:
        """The script is refused with that code, and at the line that ends in ``# here``."""
        source = self.script(loop, **parts)
        (here,) = [n for n, line in enumerate(source.splitlines(), 1) if line.endswith("# here")]
        result = convert(source, Options())
        assert result.status is Status.REFUSED and result.code is None, result.code
        (said,) = result.refusals
        assert (said.code, said.span.first) == (code, here), said
        assert said.remedy
        return said


@pytest.fixture
def traps(tmp_path: Path) -> Iterator[Traps]:
    folder = os.getcwd()
    yield Traps(tmp_path)
    os.chdir(folder)
