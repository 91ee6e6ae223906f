"""The last stage finds names that nobody binds, and text that does not compile."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from torchlift_convert.api import convert
from torchlift_convert.check import Broken, check, undefined_names
from torchlift_convert.render import Rendered
from torchlift_convert.syntax import parse

UNDEFINED = [
    ("print(x)", "x"),
    ("x += 1", ""),  # bound here, whatever it reads
    ("def f():\n    return x", "x"),
    ("def f():\n    return x\nx = 1", ""),
    ("class A:\n    def g(self):\n        return helper()", "helper"),
    ("def f():\n    global g\n    g = 1\nprint(g)", ""),
    ("[i for i in xs]", "xs"),
    ("f = lambda v: v + w", "w"),
    ("def f(a: Missing = given): pass", "given"),
    ("try:\n    import fast\nexcept ImportError:\n    fast = None\nfast", ""),
    ("print(__file__, __name__, len)", ""),
    ("from m import *\nprint(x)", ""),  # nothing is known
    ("for i in range(3): pass\nprint(i)", ""),
]


@pytest.mark.parametrize(("source", "names"), UNDEFINED, ids=[s for s, _ in UNDEFINED])
def test_undefined_names(source: str, names: str) -> None:
    assert undefined_names(ast.parse(source)) == frozenset(names.split())


def rendered(text: str) -> Rendered:
    try:
        return Rendered(text, ast.parse(text), {})
    except SyntaxError:
        return Rendered(text, ast.parse(""), {})


def test_output_that_uses_a_new_name_is_broken() -> None:
    with pytest.raises(Broken, match="uses epoch, which nothing defines"):
        check(parse("print(1)\n"), rendered("print(epoch)\n"))


def test_a_name_that_the_script_lacked_itself_is_its_own_affair() -> None:
    check(parse("print(later)\n"), rendered("print(later)\n"))


@pytest.mark.parametrize(
    "text", ["def f(:\n", "return 1\n", "x = 1\ndef f():\n    global x\n    x = 1\n    global x\n"]
)
def test_output_that_does_not_compile_is_broken(text: str) -> None:
    with pytest.raises(Broken, match="does not compile: line"):
        check(parse("print(1)\n"), rendered(dedent(text)))


def test_a_script_that_python_does_not_compile_is_told_so() -> None:
    """Cells of a notebook, one behind the other, have such imports in the middle."""
    source = """
import torch

model = torch.nn.Linear(1, 1)
from __future__ import print_function
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.ones(1, 1)
for epoch in range(2):
    loss = model(x).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
    told = convert(source).diagnostics[-1]
    assert told.code == "TL902" and told.span.first == 5 and "__future__" in told.message


def test_it_is_told_as_a_bug_of_ours() -> None:
    said = Broken("the output is odd").diagnostic
    assert said.code == "TL900" and said.message.startswith("Internal error") and said.remedy
