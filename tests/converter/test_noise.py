"""Statements that mean nothing in a hook, and those that look so."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from torchlift_convert.effects import Judge
from torchlift_convert.nest import Finder
from torchlift_convert.noise import Noise
from torchlift_convert.program import Frame, Item, build
from torchlift_convert.regions import Gone
from torchlift_convert.roles import assign_roles
from torchlift_convert.syntax import parse

HEAD = """
import torch
from tqdm import tqdm
model = torch.nn.Linear(1, 1)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
seen, numbers = [], iter(range(9))
loader = torch.utils.data.DataLoader(rows)
for epoch in range(2):
    bar = tqdm(loader)
    for x in bar:
        opt.zero_grad()
        loss = model(x).sum()
        loss.backward()
        opt.step()
{}
"""


def left(text: str) -> tuple[list[str], dict[ast.stmt, Gone]]:
    """What is left of statements at the end of a batch."""
    body = "\n".join("        " + line for line in dedent(text).splitlines())
    program = build(parse(HEAD.format(body)))
    nest = Finder(program).find()
    assert nest is not None
    gone: dict[ast.stmt, Gone] = {}
    noise = Noise(program, nest.home, assign_roles(program, nest), Judge(program), gone)
    return [ast.unparse(i.shape) for i in noise.without(nest.body[4:])], gone


@pytest.mark.parametrize(
    "text",
    [
        "bar.set_postfix(loss=loss.item())",
        "bar.set_description(f'{epoch} {loss.item():.3f}')",
        "bar.update(1)",
        "bar.desc = 'training'",
        "bar.set_postfix({'lr': opt.param_groups[0]['lr'], 'n': len(seen)})",
        "if epoch > 0:\n    bar.set_postfix(loss=loss.item())\nelse:\n    bar.refresh()",
        "other = tqdm(total=4)",
        "pass",
    ],
)
def test_goes(text: str) -> None:
    kept, gone = left(text)
    assert [k for k in kept if not k.startswith("other")] == [] and gone


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bar.set_postfix(r=torch.rand(1).item())", "it draws"),
        ("bar.set_postfix(y=model(x).sum().item())", "a forward pass may draw"),
        ("bar.set_postfix(n=torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))", "it clips"),
        ("bar.set_postfix(n=next(numbers))", "it takes the next"),
        ("bar.set_postfix(n=seen.pop())", "it shrinks a list"),
        ("bar.set_postfix(n=seen.append(1))", "it grows a list"),
        ("bar.set_postfix(n=(last := 1))", "it binds"),
        ("bar.set_postfix(n=opt.step())", "it steps"),
        ("bar.desc = str(torch.rand(1))", "it draws"),
        ("bar.write('x')", "it prints"),
        ("if seen.pop():\n    bar.update(1)", "the question changes a list"),
        ("print(bar.n)", "it reads the bar"),
        ("bars = [bar]", "it hands the bar around"),
    ],
)
def test_leaves_alone(text: str, reason: str) -> None:
    kept, _ = left(text)
    assert kept, reason


def test_part_of_a_statement() -> None:
    kept, gone = left("if epoch:\n    seen.append(1)\n    bar.update(1)")
    assert kept == ["if epoch:\n    seen.append(1)"] and len(gone) == 1


def test_a_docstring_of_a_followed_function_goes_and_one_of_the_script_stays() -> None:
    program = build(parse("def f():\n    'says'\n\n\n'text'\nfor x in xs:\n    x.backward()\n"))
    nest = Finder(program).find()
    assert nest is not None
    noise = Noise(program, nest.home, assign_roles(program, nest), Judge(program), {})
    function = program.module.functions["f"]
    inner = Frame(function, program.module)
    assert noise.without([Item(function.body[0], inner)]) == []
    assert len(noise.without([Item(program.script.tree.body[1], program.module)])) == 1
