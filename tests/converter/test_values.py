"""What a value is, judged by what it is made from."""

from __future__ import annotations

from textwrap import dedent

import pytest

from torchlift_convert.nest import Finder
from torchlift_convert.program import Var, build
from torchlift_convert.roles import assign_roles
from torchlift_convert.syntax import parse
from torchlift_convert.values import Values

LOOP = """
import argparse
import os
import torch
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--out-dir", type=Path)
parser.add_argument("-b", dest="batch")
args = parser.parse_args()
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
{}
for epoch in range(3):
    for x, y in loader:
        optimizer.zero_grad()
        loss = model(x).mean()
        loss.backward()
        optimizer.step()
"""


def values(definitions: str) -> tuple[Values, Var]:
    """The judge of a script, and its variable ``v``."""
    program = build(parse(LOOP.format(dedent(definitions))))
    nest = Finder(program).find()
    assert nest is not None
    return Values(program, assign_roles(program, nest)), Var(program.module, "v")


SCALARS = [
    ("v = 3", True),
    ("v = 'text'", True),
    ("v = None", True),
    ("v = -1e-3", True),
    ("v = [1, 2, (3, 'a')]", True),
    ("v = f'{epoch}'", True),
    ("v = args.lr", True),
    ("v = args.lr * 2 + 1", True),
    ("v = args.batch or 8", True),
    ("a = 3\nv = a", True),
    ("v = torch.cuda.is_available()", True),
    ("v = 'gpu' if torch.cuda.is_available() else 'cpu'", True),
    ("v = os.path.join('a', 'b')", True),
    ("v = len(xs)", True),
    ("v = 1\nv = 2", True),
    ("v = b'bytes'", False),  # no container that a checkpoint may hold
    ("v = args", False),
    ("v = args.out_dir", False),  # made by a class
    ("args.lr = torch.ones(1)\nv = args.lr", False),  # stored otherwise
    ("v = torch.ones(3)", False),
    ("v = model", False),
    ("v = Path('x')", False),
    ("v = 1\nv = torch.ones(1)", False),
    ("v = unknown()", False),
    ("for v in xs: pass", False),
    ("v, w = f()", False),
    ("pass", False),  # bound by nobody
]


@pytest.mark.parametrize(("definitions", "expected"), SCALARS, ids=[d for d, _ in SCALARS])
def test_scalar(definitions: str, expected: bool) -> None:
    judge, var = values(definitions)
    assert judge.scalar_variable(var) is expected


@pytest.mark.parametrize(
    ("definitions", "expected"),
    [
        ("v = args.lr", True),
        ("a = 2\nv = a * args.lr", True),
        ("v = torch.cuda.device_count()", True),
        ("data = read()\nv = len(data)", False),  # a number, but made from an object
        ("v = model", False),
    ],
)
def test_portable_scalar_is_made_from_options_and_constants(definitions: str, expected: bool) -> None:
    judge, var = values(definitions)
    assert judge.portable_scalar(var) is expected


NUMBERS = [
    ("v = 0", True),
    ("v = 0.0\nv += loss.item()", True),
    ("v = 0.0\nv += loss", False),  # a tensor from the first addition on
    ("v = len(xs) / 2", True),
    ("v = -float('inf')", True),
    ("v = max(1, len(xs))", True),
    ("v = max(xs)", False),
    ("v = True", False),
    ("v = '1'", False),
    ("v = 'a' * 3", False),
    ("v = args.lr", False),  # perhaps a text
    ("v = 2 ** 3", False),
    ("v = loss.item()", True),
    ("a = 1\nv = a + 1", True),
]


@pytest.mark.parametrize(("definitions", "expected"), NUMBERS, ids=[d for d, _ in NUMBERS])
def test_number(definitions: str, expected: bool) -> None:
    judge, var = values(definitions)
    assert judge.number_variable(var) is expected


def test_statements_that_are_gone_bind_nothing() -> None:
    judge, var = values("v = 1\nv = torch.ones(1)")
    gone = judge.roles.definitions[var][1].stmt
    assert Values(judge.program, judge.roles, frozenset({gone})).number_variable(var)


def test_definitions_that_go_in_circles_end() -> None:
    judge, var = values("v = w\nw = v")
    assert not judge.scalar_variable(var) and not judge.number_variable(var)
