"""Ask about one call of a script what the recognisers see in it."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from torchlift_convert.facts import Fact
from torchlift_convert.program import build
from torchlift_convert.recognisers import fact_of
from torchlift_convert.syntax import parse

IMPORTS = """
import argparse
import torch
import torch.nn as nn
import torch.optim as optim
from torch import optim as opt
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader
from tqdm import tqdm
"""


@pytest.fixture
def seen() -> Callable[..., Fact | None]:
    """The fact about the last expression of a script, which is one call."""

    def of(call: str, before: str = "") -> Fact | None:
        program = build(parse(f"{IMPORTS}{before}\n{call}\n"))
        last = program.script.tree.body[-1]
        assert isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
        return fact_of(last.value, program.module, program)

    return of
