"""What statements do beside binding names; in doubt, they are taken to draw."""

from __future__ import annotations

from textwrap import dedent

import pytest

from torchlift_convert.effects import Judge
from torchlift_convert.placing import Placer
from torchlift_convert.program import Item, Var, build
from torchlift_convert.syntax import parse

HEAD = """
import time, random, math, os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from mystery import thing
"""


def judged(source: str) -> tuple[Judge, list[Item]]:
    program = build(parse(HEAD + dedent(source)))
    judge = Judge(program)
    return judge, [Item(s, program.module) for s in program.script.tree.body[6:]]


QUIET = [
    "x = 1",
    "x = torch.zeros(3) + torch.cat([a, b])",
    "x = F.relu(y)",
    "x = F.cross_entropy(a, b)",
    "x = loss.item() / len(xs)",
    "x = max(abs(i) for i in xs)",
    "x.backward()",
    "names.append('a')",
    "x = math.sqrt(2)",
    "criterion = nn.CrossEntropyLoss()",
    "def f():\n    torch.randn(1)",  # defining draws nothing
    "f = lambda: 1",
]
DRAWING = [
    "x = torch.randn(3)",
    "x = np.random.rand()",
    "random.shuffle(xs)",
    "x = F.dropout(y)",
    "layer = nn.Linear(2, 2)",
    "x = model(y)",  # whatever it is
    "thing(y)",
    "x.mystery()",
    "x = table[0](y)",
    "x = [torch.rand(1) for _ in range(3)]",
]


@pytest.mark.parametrize("source", QUIET)
def test_quiet(source: str) -> None:
    judge, (item,) = judged(source)
    effects = judge.of_item(item)
    assert not (effects.draws or effects.writes or effects.unknown)


@pytest.mark.parametrize("source", DRAWING)
def test_drawing_or_unknown(source: str) -> None:
    judge, (item,) = judged(source)
    assert judge.of_item(item).draws


@pytest.mark.parametrize(
    "source", ["print(x)", "torch.save(x, p)", "open(p)", "log.write('a')", "writer.add_scalar('a', 1)"]
)
def test_writing(source: str) -> None:
    judge, (item,) = judged(source)
    assert judge.of_item(item).writes


def test_reading_the_clock() -> None:
    judge, (item,) = judged("t = time.time()")
    effects = judge.of_item(item)
    assert effects.clock and not effects.draws


@pytest.mark.parametrize(
    ("before", "call", "draws"),
    [
        ("def f():\n    return torch.rand(1)", "f()", True),
        ("def f():\n    return g()\ndef g():\n    return torch.rand(1)", "f()", True),
        ("def f():\n    return 1", "f()", False),
        ("def f(n):\n    return f(n - 1) if n else torch.rand(1)", "f(2)", True),
        ("class A:\n    def __init__(self):\n        self.x = torch.rand(1)", "A()", True),
        ("class A:\n    def __init__(self):\n        self.x = 1", "A()", False),
        ("class A(nn.Module):\n    pass", "A()", True),  # what its base does is not known
        ("class A:\n    def noise(self):\n        return torch.rand(1)", "a.noise()", True),
        ("class A:\n    def size(self):\n        return 1", "a.size()", False),
    ],
)
def test_calls_of_the_scripts_own_are_followed(before: str, call: str, draws: bool) -> None:
    judge, items = judged(f"{before}\n{call}\n")
    assert judge.of_item(items[-1]).draws is draws


CHANGES = [
    ("x = y", "x"),
    ("x.a = y", "x"),
    ("x[0] = y", "x"),
    ("x.a[0].b += y", "x"),
    ("xs.append(y)", "xs"),
    ("model.train()", "model"),
    ("thing(x, y)", "x y"),
    ("print(x)", ""),
    ("torch.manual_seed(x)", ""),
    ("torch.save(x, p)", ""),
    ("y = x.clamp_(0)", "x y"),
    ("y = xs.pop()", "xs y"),
    ("for i in xs: total += i", "i total"),
]


@pytest.mark.parametrize(("source", "names"), CHANGES, ids=[s for s, _ in CHANGES])
def test_changes(source: str, names: str) -> None:
    judge, items = judged(f"x = xs = y = p = model = total = i = 0\n{source}\n")
    assert {v.name for v in judge.changes(items[-1])} == set(names.split())


def test_changes_by_a_function_of_the_script() -> None:
    judge, items = judged("def f(a, b):\n    a.append(b)\nxs = y = 0\nf(xs, y)\n")
    assert {v.name for v in judge.changes(items[-1])} == {"xs"}


def test_reads_go_through_functions() -> None:
    judge, items = judged(
        "def f(a):\n    return a * scale + g()\ndef g():\n    return shift\nscale = shift = x = 0\ny = f(x)\n"
    )
    assert {v.name for v in judge.reads(items[-1])} >= {"x", "scale", "shift"}


COMMUTE = [
    ("x = np.load('x.npy')", "os.system('make')", False),
    ("x = np.load('x.npy')", "make_files()", False),
    ("x = np.load('x.npy')", "y = np.load('y.npy')", True),
    ("x = np.load('x.npy')", "print(1)", True),
    ("a = x", "b = y", True),
    ("a = x", "b = a", False),
    ("a = x", "x = 1", False),
    ("a = 1", "a = 2", False),
    ("print(x)", "a = y", True),
    ("print(x)", "print(y)", False),
    ("a = torch.rand(1)", "b = torch.rand(1)", False),
    ("a = torch.rand(1)", "b = 1", True),
    ("a = time.time()", "b = time.time()", False),
    ("xs.append(1)", "n = len(xs)", False),
    ("xs.append(1)", "ys.append(1)", True),
    ("model.eval()", "out = model(x)", False),
]


@pytest.mark.parametrize(("one", "other", "expected"), COMMUTE, ids=[f"{a}; {b}" for a, b, _ in COMMUTE])
def test_commute_both_ways(one: str, other: str, expected: bool) -> None:
    judge, items = judged(f"a = b = x = y = xs = ys = model = out = n = 0\n{one}\n{other}\n")
    assert judge.commute(items[-2], items[-1]) is expected
    assert judge.commute(items[-1], items[-2]) is expected


# -- data ----------

DATA = "rows = loader = x = 0\n"


@pytest.mark.parametrize(
    ("source", "draws"),
    [
        ("for x in loader: pass", True),
        ("x = next(iter(loader))", True),
        ("x = rows[0]", True),
        ("xs = list(loader)", True),
        ("n = len(loader)", False),
        ("n = len(loader.dataset)", False),
        ("part = torch.utils.data.Subset(rows, [1])", False),
        ("x = torch.utils.data.Subset(rows, [1])[0]", True),
    ],
)
def test_taking_from_data_draws(source: str, draws: bool) -> None:
    judge, items = judged(DATA + source)
    module = judge.program.module
    judge.data = frozenset({Var(module, "rows"), Var(module, "loader")})
    assert judge.of_item(items[-1]).draws is draws


# -- placing ----------


def place(source: str, group: list[int], ready: str = "", **options: int) -> int | None:
    judge, items = judged(source)
    statements = [i.stmt for i in items]
    module = judge.program.module
    placer = Placer(statements, module, judge)
    return placer.position([statements[n] for n in group], frozenset(Var(module, n) for n in ready.split()), **options)


PLACED = [
    ("behind the last of the group", "a = 1\nb = 2\nc = 3\n", [0, 1], "", 2),
    ("past what does not mind", "a = 1\nb = 2\nc = a\n", [0, 2], "", 3),
    ("before what stands between, where that alone is the same", "a = 1\nprint(a)\nb = 2\n", [0, 2], "", 0),
    ("neither past a reader nor before what it reads", "a = 1\nx = a\nb = x\n", [0, 2], "", None),
    ("draws keep their order", "a = torch.rand(1)\nb = torch.rand(1)\nc = torch.rand(1)\n", [0, 2], "", None),
    ("what others need is settled first", "a = 1\nlr = 1\nlr = 2\n", [0], "lr", 3),
    ("a group of one stays behind itself", "a = 1\nb = 2\n", [0], "", 1),
    ("no group goes to the end", "a = 1\nb = 2\n", [], "", 2),
]


@pytest.mark.parametrize(("source", "group", "ready", "expected"), [p[1:] for p in PLACED], ids=[p[0] for p in PLACED])
def test_position(source: str, group: list[int], ready: str, expected: int | None) -> None:
    assert place(source, group, ready) == expected


def test_position_is_not_below_the_lowest() -> None:
    assert place("a = 1\nb = 2\nc = 3\n", [0], lowest=2) == 2


def test_statements_that_go_away_are_overtaken() -> None:
    judge, items = judged("a = torch.rand(1)\nb = torch.rand(1)\nc = torch.rand(1)\n")
    one, between, other = (i.stmt for i in items)
    placer = Placer([one, between, other], judge.program.module, judge)
    assert placer.position([one, other], frozenset()) is None
    assert placer.position([one, other], frozenset(), others=[between]) == 3
