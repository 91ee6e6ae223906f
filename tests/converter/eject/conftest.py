"""Scripts for Lightning as people write them, run before and after: what they train to and print is the same."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import random
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import numpy
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from torchlift_convert.eject.api import eject
from torchlift_convert.types import Diagnostic, Result, Status

HEAD = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import {framework} as L
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, random_split
"""
DATA = """
torch.manual_seed(1)
inputs = torch.randn(56, 4)
targets = inputs.sum(dim=1, keepdim=True) + 0.1 * torch.randn(56, 1)
train_loader = DataLoader(TensorDataset(inputs[:40], targets[:40]), batch_size=7, shuffle=True)
val_loader = DataLoader(TensorDataset(inputs[40:], targets[40:]), batch_size=5)
"""
MODULE = """
class LitModel(L.LightningModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 1))
{init}

    def forward(self, x):
        return self.net(x)
{hooks}
"""
STEP = """
def training_step(self, batch, batch_idx):
    x, y = batch
    loss = F.mse_loss(self(x), y)
    self.log("train_loss", loss)
    return loss
"""
SGD = """
def configure_optimizers(self):
    return torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)
"""
VAL = """
def validation_step(self, batch, batch_idx):
    x, y = batch
    loss = F.mse_loss(self(x), y)
    self.log("val_loss", loss, prog_bar=True)
"""
QUIET = (
    'accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False'
)


@dataclass
class Account:
    """What one run did."""

    losses: list[float] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    printed: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)


def run(source: str, folder: Path) -> Account:
    """Run a script in this process, in a folder of its own, from the same random states."""
    account = Account()
    backward = torch.Tensor.backward

    def counted(loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        account.losses.append(loss.item())
        backward(loss, *args, **kwargs)

    def stepped(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        groups = optimizer.param_groups
        parameters = [p for group in groups for p in group["params"]]
        grads = [None if p.grad is None else p.grad.tolist() for p in parameters]
        weights = [p.tolist() for p in parameters]
        account.steps.append({"rate": [g["lr"] for g in groups], "gradient": grads, "weight": weights})

    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(0)
    main = types.ModuleType("__main__")
    folder.mkdir(parents=True)
    printed = io.StringIO()
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(torch.Tensor, "backward", counted)
        patch.setitem(sys.modules, "__main__", main)
        patch.setattr(sys, "argv", ["train.py"])
        patch.chdir(folder)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(register_optimizer_step_post_hook(stepped).remove)
        stack.enter_context(contextlib.redirect_stdout(printed))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        exec(compile(source, "train.py", "exec"), main.__dict__)
    # the table of results is the Trainer's own
    account.printed = "\n".join(line for line in printed.getvalue().splitlines() if line[:1] not in "┏┃┡│└")
    account.files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.txt"))}
    states = torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state())
    account.random = dict(zip(("torch", "python", "numpy"), states))
    return account


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


@dataclass
class Ejects:
    """Ejects small scripts and runs them before and after."""

    folder: Path
    framework: str = "torchlift"
    runs: int = 0

    def script(
        self,
        *hooks: str,
        trainer: str = "max_epochs=3",
        init: str = "",
        data: str = DATA,
        end: str = "",
        main: str = "",
    ) -> str:
        body = "\n".join(indent(dedent(h).strip("\n"), "    ") + "\n" for h in hooks)
        module = MODULE.format(init=indent(dedent(init).strip("\n"), " " * 8), hooks="\n" + body)
        fit = f"model = LitModel()\ntrainer = L.Trainer({trainer}, {QUIET})\n"
        main = dedent(main) or fit + "trainer.fit(model, train_loader, val_loader)\n"
        head = HEAD.format(framework=self.framework)
        return f"{head}{data}{module}\n\n{main}\n{dedent(end)}"

    def exact(self, *hooks: str, **parts: str) -> Result:
        return self.exact_script(self.script(*hooks, **parts))

    def exact_script(self, source: str) -> Result:
        result = eject(source)
        assert result.code is not None, "; ".join(str(d) for d in result.diagnostics) or result.status
        assert "torchlift" not in result.code and "lightning" not in result.code, result.code
        self.runs += 1
        before = run(source, self.folder / f"before{self.runs}")
        assert before.steps and before.losses, "a script that does not train proves nothing"
        after = run(result.code, self.folder / f"after{self.runs}")
        difference = first_difference(before, after)
        assert not difference, f"{difference}\n{result.code}"
        return result

    def refused(self, code: str, *hooks: str, **parts: str) -> Diagnostic:
        return self.refused_script(code, self.script(*hooks, **parts))

    def refused_script(self, code: str, source: str) -> Diagnostic:
        """Refused with that code, and at the line that ends in ``# here`` where there is one."""
        result = eject(source)
        assert result.status is Status.REFUSED and result.code is None, result.code
        (said,) = result.refusals
        here = [n for n, line in enumerate(source.splitlines(), 1) if line.endswith("# here")]
        assert said.code == code and (not here or said.span.first == here[0]), said
        assert said.remedy
        return said


@pytest.fixture(params=["torchlift", "lightning"])
def ejects(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Ejects]:
    importlib.import_module(request.param)  # importing it draws random numbers
    folder = os.getcwd()
    yield Ejects(tmp_path, request.param)
    os.chdir(folder)


@pytest.fixture
def refuses(tmp_path: Path) -> Ejects:
    return Ejects(tmp_path)
