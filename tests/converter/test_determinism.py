"""The same script gives the same text in every process, whatever order sets have there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.converter.adversary.prelude import DATA, IMPORTS

SCRIPT = (
    IMPORTS
    + DATA
    + """\
first, second = Net(), Net()
opt_first = torch.optim.SGD(first.parameters(), lr=0.1)
opt_second = torch.optim.SGD(second.parameters(), lr=0.1)


def train_first(x, y):
    opt_first.zero_grad()
    shown, seen = first(x), second(x)
    loss = F.cross_entropy(shown, y) + seen.detach().mean()
    loss.backward()
    opt_first.step()
    return loss.item()


def train_second(x, y):
    opt_second.zero_grad()
    shown, seen = second(x), first(x)
    loss = F.cross_entropy(shown, y) + seen.detach().mean()
    loss.backward()
    opt_second.step()
    return loss.item()


for epoch in range(2):
    for x, y in train_loader:
        a = train_first(x, y)
        b = train_second(x, y)
    print(epoch, a, b)
"""
)
CONVERT = "import sys; from torchlift_convert.api import convert; print(convert(sys.stdin.read()).code)"


def test_hash_seeds_change_nothing() -> None:
    converter = str(Path(__file__).parents[2] / "converter")
    texts = set()
    for seed in ("1", "2", "3", "77"):
        env = {**os.environ, "PYTHONPATH": converter, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", CONVERT], input=SCRIPT, env=env, capture_output=True, text=True, check=True
        )
        texts.add(done.stdout)
    (text,) = texts
    assert "_shown" in text
