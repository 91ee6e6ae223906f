"""Who calls a function, with what, and what may run before it."""

from __future__ import annotations

import ast

import pytest

from torchlift_convert.callers import Callers, callers_of, defaults_of, earlier
from torchlift_convert.program import FunctionNode, Program, build
from torchlift_convert.syntax import parse

FIT = "def fit(net, opt, *, epochs=2, flag=None):\n    pass\n\n\n"


def program_of(source: str) -> tuple[FunctionNode, Program]:
    program = build(parse(source))
    found = [n for n in ast.walk(program.script.tree) if isinstance(n, ast.FunctionDef) and n.name == "fit"]
    return found[0], program


def callers(source: str) -> Callers:
    return callers_of(*program_of(source))


def texts(found: Callers) -> list[dict[str, str]]:
    return [{n: ast.unparse(e) for n, (e, _) in site.arguments.items()} for site in found.sites]


def test_every_parameter_has_its_expression() -> None:
    found = callers(FIT + "fit(model, opt=sgd, epochs=9)\n")
    assert texts(found) == [{"net": "model", "opt": "sgd", "epochs": "9", "flag": "None"}]
    assert found.complete


def test_defaults_of_positional_parameters_belong_to_the_last_ones() -> None:
    scope, program = program_of("def fit(a, b=1, c=2): pass\n")
    assert {n: ast.unparse(e) for n, (e, _) in defaults_of(scope, program).items()} == {"b": "1", "c": "2"}


@pytest.mark.parametrize(
    "calls",
    [
        "fit(a, b)\nfit(c, d)\n",
        "def main():\n    a = 1\n    fit(a, b)\nmain()\n",
        "if __name__ == '__main__':\n    net = fit(a, b)\n",
        "class Run:\n    def go(self):\n        fit(self.a, self.b)\n",
    ],
)
def test_complete(calls: str) -> None:
    assert callers(FIT + calls).complete


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ("", "nobody calls it"),
        ("fit(*args)\n", "its arguments are not in sight"),
        ("fit(a, **options)\n", "its arguments are not in sight"),
        ("fit(a, b)\nrun = fit\n", "it is handed around"),
        ("fit(a, b)\nrun = lambda: fit(c, d)\n", "a call in a lambda"),
        ("fit(a, b)\nclass Once:\n    done = fit(c, d)\n", "a call in the body of a class"),
        ("fit(a, b)\n@fit\ndef other(): pass\n", "it decorates"),
        ("fit(a, b)\ndef other(how=fit): pass\n", "it is a default"),
    ],
)
def test_incomplete(calls: str, reason: str) -> None:
    assert not callers(FIT + calls).complete, reason


def test_a_decorated_function_is_another_one() -> None:
    assert not callers("@timed\n" + FIT + "fit(a, b)\n").complete


def lines(source: str) -> list[str] | None:
    found = earlier(*program_of(source))
    return None if found is None else sorted(ast.unparse(s) for s, _ in found if not isinstance(s, ast.FunctionDef))


def test_what_runs_before() -> None:
    main = "def main():\n    b = 1\n    if b:\n        c = 1\n        fit(b, c)\n        d = 1\n    e = 1\n"
    assert lines(FIT + main + "a = 1\nmain()\nz = 1\n") == ["a = 1", "b = 1", "c = 1"]


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ("fit(a, b)\nfit(a, b)\n", "the first call comes before the second"),
        ("for lr in rates:\n    fit(a, b)\n", "so does one in a loop"),
        ("fit(*args)\nfit\n", "not all calls are known"),
        ("def main():\n    fit(a, b)\nmain()\nmain()\n", "the caller is called twice"),
    ],
)
def test_anything_may_run_before(calls: str, reason: str) -> None:
    assert lines(FIT + calls) is None, reason


def test_nothing_runs_before_a_module() -> None:
    _, program = program_of(FIT)
    assert earlier(program.module.scope, program) == []
