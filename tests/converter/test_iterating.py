"""What goes through a DataLoader draws; what only makes one, or goes through something else, does not."""

from __future__ import annotations

import pytest

from torchlift_convert.effects import Judge
from torchlift_convert.program import build
from torchlift_convert.syntax import parse

HEAD = "import torch\nfrom torch.utils.data import DataLoader\n"


def draws(code: str) -> bool:
    program = build(parse(HEAD + code))
    last = program.script.tree.body[-1]
    return Judge(program).of(last, program.module).draws


@pytest.mark.parametrize(
    "code",
    [
        "def f(d):\n    return torch.cat([x for x in DataLoader(d)])\nf(1)\n",
        "def f(d):\n    whole = DataLoader(d)\n    for x in whole:\n        pass\nf(1)\n",
        "class A:\n    def __init__(self, d):\n        self.whole = DataLoader(d)\n"
        "        self.first = next(iter(self.whole))\nA(1)\n",
        "def f(d):\n    for i, x in enumerate(DataLoader(d)):\n        pass\nf(1)\n",
    ],
)
def test_it_draws(code: str) -> None:
    assert draws(code)


@pytest.mark.parametrize(
    "code",
    [
        "def f(d):\n    return DataLoader(d)\nf(1)\n",
        "def f(xs):\n    return [x + 1 for x in xs]\nf([1])\n",
        "loader = DataLoader([1])\nlen(loader)\n",
    ],
)
def test_it_does_not(code: str) -> None:
    assert not draws(code)
