"""Projects of several files, run before and after the conversion of their script."""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import torch

from torchlift_convert.api import convert
from torchlift_convert.projects import project_of
from torchlift_convert.types import Options, Result, Status

DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset


def get_loaders(batch_size):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    y = (x.sum(1) > 0).long()
    train = DataLoader(TensorDataset(x[:28], y[:28]), batch_size=batch_size, shuffle=True)
    return train, DataLoader(TensorDataset(x[28:], y[28:]), batch_size=batch_size)
"""

MODELS = """
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(hidden, 2))

    def forward(self, x):
        return self.layers(x)
"""

ENGINE = """
import torch
import torch.nn.functional as F

from utils import AverageMeter, accuracy

EVERY = 2


def train_one_epoch(model, loader, optimizer, epoch):
    meter = AverageMeter()
    model.train()
    for i, (x, y) in enumerate(loader):
        # how far off
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        meter.update(loss.item(), x.size(0))
        if i % EVERY == 0:
            print(epoch, i, f"{loss.item():.6f}")
    return meter.avg


def evaluate(model, loader):
    model.eval()
    right, n = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            right += accuracy(model(x), y)
            n += 1
    return right / n
"""

UTILS = """
class AverageMeter:
    def __init__(self):
        self.sum, self.count = 0.0, 0

    def update(self, value, n=1):
        self.sum += value * n
        self.count += n

    @property
    def avg(self):
        return self.sum / self.count


def accuracy(output, target):
    return (output.argmax(1) == target).float().mean().item()
"""

SCRIPT = """
import torch

from data import get_loaders
from engine import evaluate, train_one_epoch
from models import Net


def main():
    torch.manual_seed(0)
    train_loader, test_loader = get_loaders(8)
    model = Net(16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        loss = train_one_epoch(model, train_loader, optimizer, epoch)
        acc = evaluate(model, test_loader)
        print("epoch", epoch, f"{loss:.6f}", f"{acc:.6f}")
    print(sum(p.sum().item() for p in model.parameters()))


if __name__ == "__main__":
    main()
"""

PROJECT = {"data.py": DATA, "models.py": MODELS, "engine.py": ENGINE, "utils.py": UTILS, "train.py": SCRIPT}


def lay_out(files: dict[str, str], folder: Path) -> Path:
    """Write a project's files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return folder


def converted(files: dict[str, str], folder: Path, script: str = "train.py") -> Result:
    """The conversion of a project's script, whatever it says."""
    path = lay_out(files, folder) / script
    return convert(path.read_bytes(), Options(filename=script, project=project_of(path, folder)))


@contextlib.contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """The folders come first on the path, and what was imported from them is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            where = getattr(sys.modules[name], "__file__", None) or ""
            if any(where.startswith(str(folder)) for folder in folders) or not where:
                del sys.modules[name]


def run(code: str, folder: Path, script: str = "train.py") -> str:
    """What a script of the project prints, run from the same random state each time."""
    random.seed(1234)
    np.random.seed(1234)
    torch.manual_seed(1234)
    here = os.getcwd()
    os.chdir(folder)
    try:
        printed = io.StringIO()
        with importable((folder / script).parent, folder), contextlib.redirect_stdout(printed):
            with contextlib.redirect_stderr(io.StringIO()):
                exec(compile(code, str(folder / script), "exec"), {"__name__": "__main__"})
    finally:
        os.chdir(here)
    return printed.getvalue()


def same(files: dict[str, str], folder: Path, script: str = "train.py") -> Result:
    """Convert the script, run both, and see that they print the same lines, of which there is at least one."""
    result = converted(files, folder, script)
    assert result.status is Status.CONVERTED, result.diagnostics
    assert result.code is not None
    before = run((folder / script).read_text(encoding="utf-8"), folder, script)
    after = run(result.code, folder, script)
    assert before
    assert after == before
    return result
