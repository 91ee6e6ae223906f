"""Runs a script in this process, some ten times faster than in one of its own, and accounts for all that it did."""

from __future__ import annotations

import contextlib
import io
import random
import re
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


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


def silent(code: str) -> str:
    """Lightning draws its bar and its table of the model on standard output, among the lines of the script."""
    asked = [f"{name}=False" for name in ("enable_progress_bar", "enable_model_summary") if name not in code]
    return re.sub(r"\.Trainer\(", f".Trainer({', '.join([*asked, ''])}", code)
