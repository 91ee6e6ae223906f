"""Frames, variables, and parameters that stand for what the caller gave."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from torchlift_convert.following import bind_call
from torchlift_convert.program import (
    Frame,
    Item,
    Program,
    Var,
    build,
    dotted,
    flow_over,
    item_flow,
    reads_of,
)
from torchlift_convert.scopes import walk_statements_of_scope
from torchlift_convert.syntax import parse


def program(source: str) -> Program:
    return build(parse(dedent(source)))


def entered(source: str, name: str = "train") -> tuple[Program, Frame, list[Item]]:
    """The frame of the last statement's call of a function at module level."""
    made = program(source)
    call = made.script.tree.body[-1].value  # type: ignore[attr-defined]
    target = made.module.function(name)
    assert target is not None
    inner, binds = bind_call(call, made.module, *target)
    return made, inner, binds


def test_a_name_resolves_to_the_scope_that_binds_it() -> None:
    made = program("x = 1\ndef f(y):\n    z = x\n    return z + y + len(w)\n")
    func = made.module.functions["f"]
    frame = Frame(func, made.module)
    assert frame.resolve("x") == Var(made.module, "x")
    assert frame.resolve("y") == Var(frame, "y") and frame.resolve("z") == Var(frame, "z")
    assert frame.resolve("len") == Var(None, "len")


def test_a_parameter_stands_for_the_callers_variable() -> None:
    made, inner, binds = entered("model = args = 0\ndef train(net, rate):\n    net.step(rate)\ntrain(model, args.lr)\n")
    assert inner.resolve("net") == Var(made.module, "model") and not binds
    alias = inner.alias("rate")
    assert alias is not None and ast.unparse(alias.expr) == "args.lr"
    assert reads_of(inner, "rate") == {Var(made.module, "args")}


def test_through_two_calls() -> None:
    made, inner, _ = entered("model = 0\ndef train(net):\n    step(net)\ndef step(m):\n    m()\ntrain(model)\n")
    call = made.module.functions["train"].body[0].value  # type: ignore[attr-defined]
    target = inner.function("step")
    assert target is not None
    deeper, _ = bind_call(call, inner, *target)
    assert deeper.resolve("m") == Var(made.module, "model")


@pytest.mark.parametrize(
    ("function", "call", "bound"),
    [
        ("def train(n):\n    n += 1", "train(k)", ["n"]),  # the parameter changes, the caller's variable must not
        ("def train(n):\n    return n", "train(k + 1)", ["n"]),  # a value, not a place
        ("def train(n):\n    return n", "train(k)", []),
        ("def train(n):\n    return n", "train(n=k)", []),
        ("def train(n=3):\n    return n", "train()", []),
        ("def train(n, *, m=()):\n    return n", "train(k)", ["m"]),
    ],
)
def test_parameters_that_have_to_be_bound(function: str, call: str, bound: list[str]) -> None:
    _, _, binds = entered(f"{function}\n{call}\n")
    assert [i.stmt.targets[0].id for i in binds] == bound  # type: ignore[attr-defined]
    assert all(i.synthetic for i in binds)


def test_functions_defined_twice_are_not_followed() -> None:
    made = program("if c:\n    def f(): pass\nelse:\n    def f(): pass\n")
    assert made.module.function("f") is None


def test_names_that_functions_bind_by_global_are_the_modules() -> None:
    made = program("def f():\n    global best\n    best = 1\n")
    frame = Frame(made.module.functions["f"], made.module)
    assert frame.resolve("best") == Var(made.module, "best")


def test_walk_of_a_scope_stays_in_it() -> None:
    made = program("if a:\n    b = 1\ndef f():\n    c = 1\nclass A:\n    d = 1\n")
    found = [type(s).__name__ for s in walk_statements_of_scope(made.script.tree.body)]
    assert found == ["If", "Assign", "FunctionDef", "ClassDef"]


CANONICAL = [
    ("import torch", "torch.optim.Adam", "torch.optim.Adam"),
    ("import torch.nn as nn", "nn.Linear", "torch.nn.Linear"),
    ("from torch import optim", "optim.Adam", "torch.optim.Adam"),
    ("from torch.optim import Adam as A", "A", "torch.optim.Adam"),
    ("import os.path", "os.path.join", "os.path.join"),
    ("from .nets import Net", "Net", ".nets.Net"),
    ("try:\n    import fast as f\nexcept ImportError:\n    import slow as f", "f.g", "slow.g"),
    ("", "len", "len"),
]


@pytest.mark.parametrize(("before", "text", "name"), CANONICAL, ids=[t for _, t, _ in CANONICAL])
def test_library_names(before: str, text: str, name: str) -> None:
    made = program(f"{before}\n{text}\n")
    assert made.canonical(made.script.tree.body[-1].value, made.module) == name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("before", "text", "reason"),
    [
        ("model = f()", "model.train", "a variable of the script"),
        ("import torch\ntorch = mock()", "torch.randn", "bound to something else as well"),
        ("", "nowhere.f", "bound by nobody"),
        ("import torch", "torch.load(p).x", "the result of a call"),
        ("def Adam(p): pass", "Adam", "a function of the script"),
    ],
)
def test_what_is_no_library(before: str, text: str, reason: str) -> None:
    made = program(f"{before}\n{text}\n")
    assert made.canonical(made.script.tree.body[-1].value, made.module) is None, reason  # type: ignore[attr-defined]


def test_a_parameter_hides_an_import() -> None:
    made = program("import torch\ndef f(torch):\n    return torch.randn(1)\n")
    frame = Frame(made.module.functions["f"], made.module)
    call = made.module.functions["f"].body[0].value  # type: ignore[attr-defined]
    assert made.canonical(call.func, frame) is None


@pytest.mark.parametrize(
    ("text", "name"), [("a", "a"), ("a.b.c", "a.b.c"), ("a().b", None), ("a[0].b", None), ("1", None)]
)
def test_dotted(text: str, name: str | None) -> None:
    assert dotted(ast.parse(text, mode="eval").body) == name


def test_flow_is_over_variables_not_names() -> None:
    made, inner, _ = entered("model = x = 0\ndef train(net):\n    out = net(x)\n    return out\ntrain(model)\n")
    flow = item_flow(Item(inner.scope.body[0], inner))
    assert flow.exposed == {Var(made.module, "model"), Var(made.module, "x")}
    assert flow.must == {Var(inner, "out")}


def test_flow_over_statements_of_several_frames() -> None:
    made, inner, _ = entered("x = 1\ndef train(a):\n    y = a\ntrain(x)\n")
    items = [Item(made.script.tree.body[0], made.module), Item(inner.scope.body[0], inner)]
    flow = flow_over(items)
    assert flow.exposed == frozenset() and flow.may == {Var(made.module, "x"), Var(inner, "y")}


def test_what_is_not_carried_over_is_not_part_of_a_statement() -> None:
    made = program("for x in xs:\n    print(x)\n    if stop:\n        break\n")
    loop = made.script.tree.body[0]
    shape = Item(loop, made.module, without=(loop.body[1],)).shape  # type: ignore[attr-defined]
    assert ast.unparse(shape) == "for x in xs:\n    print(x)"
    assert len(loop.body) == 2, "the original is untouched"  # type: ignore[attr-defined]
