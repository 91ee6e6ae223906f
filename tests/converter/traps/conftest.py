"""Small scripts that set one trap each: the converted script trains to the same bits, or the trap's line is refused.

Both scripts run in this process, some ten times faster than in one of their own, and everything that a user could see
is compared: every loss, the gradients, weights and learning rates at every step, printed lines, saved files, and the
random state at the end.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
import tempfile
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

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


@dataclass
class Account:
    """What one run did, in the order in which it did it."""

    losses: list[float] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    printed: str = ""
    files: dict[str, Any] = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)


def run(source: str, folder: Path) -> Account:
    """Run a script in this process as ``python script.py`` would, in a folder of its own."""
    account = Account()
    backward = torch.Tensor.backward

    def counted(loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        account.losses.append(loss.item())
        backward(loss, *args, **kwargs)

    def stepped(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        account.steps.append(
            {
                "rate": [group["lr"] for group in optimizer.param_groups],
                "gradient": [None if p.grad is None else p.grad.tolist() for p in parameters],
                "weight": [p.tolist() for p in parameters],
            }
        )

    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(0)
    main = types.ModuleType("__main__")
    folder.mkdir()
    printed = io.StringIO()
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(torch.Tensor, "backward", counted)
        patch.setitem(sys.modules, "__main__", main)
        patch.setattr(sys, "argv", ["train.py"])
        patch.chdir(folder)
        stack.callback(register_optimizer_step_post_hook(stepped).remove)
        stack.enter_context(contextlib.redirect_stdout(printed))
        exec(compile(source, "train.py", "exec"), main.__dict__)
    account.printed = printed.getvalue()
    account.files = {path.name: _content(path) for path in sorted(folder.iterdir())}
    account.random = {
        "torch": torch.get_rng_state().tolist(),
        "python": random.getstate(),
        "numpy": str(numpy.random.get_state()),
    }
    return account


def _content(path: Path) -> Any:
    """Tensors as lists, so that two files can be compared."""

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.tolist()
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, list | tuple) else value

    return plain(torch.load(path, weights_only=True)) if path.suffix == ".pt" else path.read_text(encoding="utf-8")


def first_difference(before: Account, after: Account) -> str:
    """The earliest thing that differs; "" when nothing does."""
    for step, (one, other) in enumerate(zip(before.steps, after.steps)):
        for what, value in one.items():
            if value != other[what]:
                return f"{what} at step {step}: {value} became {other[what]}"
    for what in ("losses", "printed", "files", "random"):
        if getattr(before, what) != getattr(after, what):
            return f"{what}: {getattr(before, what)!s:.400} became {getattr(after, what)!s:.400}"
    return "" if len(before.steps) == len(after.steps) else f"{len(before.steps)} steps became {len(after.steps)}"


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
