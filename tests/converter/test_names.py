"""Def-use facts, compared with what the interpreter does and what ``symtable`` says."""

from __future__ import annotations

import ast
import random
import symtable
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent, indent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlift_convert.names import Flow, access, declared_outer, flow_of, free_names, leaves, parameters, stmt_flow
from torchlift_convert.program import Frame


def block(source: str) -> list[ast.stmt]:
    return ast.parse(dedent(source)).body


def only(source: str) -> Any:
    (stmt,) = block(source)
    return stmt


ACCESS = [
    ("x = y", "y", "x"),
    ("x += y", "x y", "x"),
    ("x: int = y", "int y", "x"),
    ("a, (b, *c) = d", "d", "a b c"),
    ("x.y = z", "x z", ""),
    ("x[i] += 1", "x i", ""),
    ("del x", "", "x"),
    ("import a.b, c as d", "", "a d"),
    ("from m import p as q, r", "", "q r"),
    ("for i, v in enumerate(xs): total += v", "enumerate xs total v", "i v total"),
    ("with open(p) as f: f.read()", "open p f", "f"),
    ("print((n := len(xs)))", "print len xs", "n"),
    ("[i * k for i in xs if i > low]", "k xs low", ""),
    ("{k: v for k, v in pairs}", "pairs", ""),
    ("[j for i in xs for j in i]", "xs", ""),
    ("[i for i in i]", "i", ""),
    ("[(last := i) for i in xs]", "xs", "last"),
    ("f = lambda a, b=c: a + b + d", "c d", "f"),
    ("def f(a, b=c):\n    x = a + d\n    return x", "c d", "f"),
    ("@deco\ndef f(): pass", "deco", "f"),
    ("class A(B, metaclass=M):\n    z = w", "B M w", "A"),
    ("def f():\n    global g\n    g = h", "h", "f g"),
    ("try:\n    a = b\nexcept E as e:\n    c = e", "b E e", "a c e"),
    ("match v:\n    case [a, *rest]: pass\n    case {'k': b, **more}: pass", "v", "a rest b more"),
    ("match v:\n    case P(x=c) as whole: pass", "v P", "c whole"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "reads", "binds"), ACCESS, ids=[s for s, *_ in ACCESS])
def test_access(source: str, reads: str, binds: str) -> None:
    got = access(only(source))
    assert (got.reads, got.binds) == (frozenset(reads.split()), frozenset(binds.split()))


FLOW = [
    ("x = 1\ny = x", "", "x y"),
    ("y = x\nx = 1", "x", "x y"),
    ("x += 1", "x", "x"),
    ("if c:\n    x = 1\ny = x", "c x", "y"),
    ("if c:\n    x = 1\nelse:\n    x = 2\ny = x", "c", "x y"),
    ("if c:\n    raise E\nelse:\n    x = 2\ny = x", "c E", "x y"),
    ("for i in xs:\n    x = i\ny = x", "xs x", "y"),
    ("for i in xs:\n    x = i\nelse:\n    y = x", "xs x", ""),
    ("while c:\n    x = 1\nelse:\n    y = x", "c x", ""),
    ("for i in xs:\n    z = x\n    x = i", "xs x", ""),
    ("with m as f:\n    x = f", "m", "f x"),
    ("with suppress(E):\n    x = f()\ny = x", "suppress E f x", "y"),
    ("try:\n    x = f()\nexcept E:\n    x = 0\ny = x", "f E", "x y"),
    ("try:\n    x = f()\nexcept E:\n    pass\ny = x", "f E x", "y"),
    ("try:\n    x = f()\nexcept E:\n    raise\ny = x", "f E", "x y"),
    ("try:\n    x = f()\nexcept E:\n    y = x", "f E x", ""),
    ("try:\n    f()\nexcept A as e:\n    pass\nexcept B:\n    y = e", "f A B e", ""),
    ("try:\n    x = 1\nfinally:\n    y = x", "x", "x y"),
    ("try:\n    x = 1\nexcept E as e:\n    x = e", "E", "x"),
    ("a = c and (x := 1)\nb = x", "c x", "a b"),
    ("a = (x := 1) if c else 2\nb = x", "c x", "a b"),
    ("a = (x := 1) and c\nb = x", "c", "a b x"),
    ("a = [(x := i) for i in xs]\nb = x", "xs x", "a b"),
    ("if c and (x := 1):\n    y = x", "c x", ""),
    ("match v:\n    case 1:\n        x = 1\ny = x", "v x", "y"),
    ("def f():\n    return x\nx = 1", "x", "f x"),
    ("del x\ny = x", "x", "y x"),
]


@pytest.mark.parametrize(("source", "exposed", "must"), FLOW, ids=[s for s, *_ in FLOW])
def test_flow(source: str, exposed: str, must: str) -> None:
    """``exposed`` and ``must`` are kept small enough to be useful, and large enough to be true."""
    got = flow_of(block(source))
    wanted = frozenset(exposed.split())
    assert wanted <= got.exposed, "a read of what may be unbound"
    assert got.must <= frozenset(must.split()), "bound on every path"
    assert got.must <= got.may


PRECISE = [
    "x = 1\ny = x",
    "if c:\n    x = 1\nelse:\n    x = 2\ny = x",
    "if c:\n    raise E\nelse:\n    x = 2\ny = x",
    "with m as f:\n    x = f\ny = x",
    "try:\n    x = f()\nexcept E:\n    x = 0\ny = x",
    "try:\n    x = f()\nexcept E:\n    raise\ny = x",
]


@pytest.mark.parametrize("source", PRECISE)
def test_flow_knows_what_is_bound_for_sure(source: str) -> None:
    got = flow_of(block(source))
    assert "x" in got.must and "x" not in got.exposed


def test_a_block_that_leaves_ends_there() -> None:
    assert flow_of(block("while True:\n    break\n    x = 1")[0].body).may == frozenset()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return", True),
        ("if c:\n    return\nelse:\n    raise E", True),
        ("if c:\n    return", False),
        ("with m:\n    return", True),
        ("with suppress(E):\n    return f()", False),
        ("x = 1", False),
        ("for i in xs:\n    return", False),
    ],
)
def test_leaves(source: str, expected: bool) -> None:
    body = only("def f():\n" + indent(source, "    ")).body
    assert leaves(body) is expected


def test_parameters_in_order() -> None:
    assert parameters(only("def f(a, /, b, *c, d, **e): pass").args) == ["a", "b", "c", "d", "e"]


def test_names_declared_outer() -> None:
    assert declared_outer(only("def f():\n    global a\n    def g():\n        nonlocal b")) == {"a"}


def test_names_a_closure_binds_outside() -> None:
    inner = only("def f():\n    nonlocal best\n    best = score")
    assert free_names(inner).binds == {"best"} and free_names(inner).reads == {"score"}
    assert stmt_flow(inner).must == {"f"}, "defining it binds nothing else yet"
    assert "best" in stmt_flow(inner).may


# -- compared with the interpreter ----------

NAMES = "abcd"
name = st.sampled_from(NAMES)
atom = st.one_of(name, st.sampled_from(["0", "1"]))


def _joined(*parts: st.SearchStrategy[str], form: str) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda given: form.format(*given))


WALRUS_INSIDE = "max(0, *[({} := {}) for v in [1] * few()])"


def _expressions(*more: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        st.one_of(atom, *more),
        lambda inner: st.one_of(
            _joined(inner, inner, form="({} + {})"),
            _joined(inner, inner, form="(flip() and {} or {})"),
            _joined(inner, inner, form="({} if flip() else {})"),
            _joined(name, inner, form="({} := {})"),
            _joined(atom, atom, form="sum([v + {} for v in [{}] * few()])"),
            _joined(inner, name, form="(lambda v={}: v + {})()"),
        ),
        max_leaves=4,
    )


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body, deep = (inner.map(lambda text, by=by: indent(text, by)) for by in ("    ", "        "))
    return st.one_of(
        _joined(body, form="if flip():\n{}"),
        _joined(body, body, form="if flip():\n{}\nelse:\n{}"),
        _joined(name, body, form="for {} in [1] * few():\n{}"),
        _joined(name, body, body, form="for {} in [1] * few():\n{}\nelse:\n{}"),
        _joined(body, body, form="while flip():\n{}\nelse:\n{}"),
        _joined(name, body, form="with opened() as {}:\n{}"),
        _joined(body, form="with suppress(Exception):\n{}"),
        _joined(body, body, form="try:\n    boom()\n{}\n    boom()\nexcept Exception:\n{}"),
        _joined(body, name, body, body, form="try:\n{}\n    boom()\nexcept Exception as {}:\n{}\nelse:\n{}"),
        _joined(body, body, form="try:\n{}\nfinally:\n{}"),
        _joined(name, deep, deep, form="match few():\n    case 0:\n{1}\n    case {0}:\n{2}"),
        st.lists(inner, min_size=2, max_size=3).map("\n".join),
    )  # fmt: skip


def _programs(expression: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    simple = st.one_of(
        _joined(name, expression, form="{} = {}"),
        _joined(name, atom, form="{} += {}"),
        _joined(name, name, expression, form="{}, {} = {}, 1"),
        expression,
        name.map(lambda n: f"{n} = 1\ndel {n}"),
        _joined(name, name, form="def helper():\n    return {}"),
        st.just("pass"),
        st.just("raise ValueError"),
    )
    return st.recursive(simple, _statements, max_leaves=8)


class Watched(dict[str, Any]):
    """A namespace that tells which names were read before they were bound, and which were bound or deleted at all."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.given, self.touched, self.exposed = set(given), set[str](), set[str]()

    def __getitem__(self, key: str) -> Any:
        if key not in self.given and key in NAMES and key not in self.touched:
            self.exposed.add(key)
        return super().__getitem__(key) if key in self else 1 if key in NAMES else self.__missing__(key)

    def __missing__(self, key: str) -> Any:
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.touched.add(key)
        super().__setitem__(key, value if isinstance(value, int) or callable(value) else 1)

    def __delitem__(self, key: str) -> None:
        self.touched.add(key)
        self.pop(key, None)


@contextmanager
def opened() -> Iterator[int]:
    yield 1


def execute(code: Any, seed: int) -> tuple[Watched, bool]:
    """Run a program once, its branches decided by the seed; False: it did not fall out of its end."""
    from contextlib import suppress

    draw = random.Random(seed)

    def boom() -> None:
        if draw.random() < 0.4:
            raise ValueError

    space = Watched(
        {"flip": lambda: draw.random() < 0.5, "few": lambda: draw.randrange(3), "boom": boom}
        | {"opened": opened, "suppress": suppress, "helper": None}
    )
    try:
        exec(code, space)
    except (ValueError, TypeError, NameError):
        return space, False
    return space, True


@settings(max_examples=200)
@given(_programs(_expressions()))
def test_no_run_of_a_program_contradicts_its_flow(source: str) -> None:
    flow: Flow = flow_of(ast.parse(source).body)
    code = compile(source, "program", "exec")
    for seed in range(12):
        space, whole = execute(code, seed)
        assert space.exposed <= flow.exposed, "read before it was bound"
        assert space.touched - {"helper"} <= flow.may, "bound"
        assert not whole or flow.must <= space.touched | {"helper"}, "not bound on this path"


# -- compared with symtable ----------


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


header = st.sampled_from(["def f():", "def f(a):", "def f(a, *, b=c):", "def f(*a, **b):", "async def f(a=d):"])
declaration = st.sampled_from(["", "    global d\n"])


@settings(max_examples=100)
@given(header, declaration, _programs(_expressions(_joined(name, atom, form=WALRUS_INSIDE))), st.booleans())
def test_scopes_are_those_of_the_interpreter(head: str, declared: str, body: str, nested: bool) -> None:
    text = indent(body, "    ")
    if nested:
        text = "    def g(c):\n" + indent(body, "        ") + "\n        return d\n    return g"
    source = f"{head}\n{declared}{text}\n"
    table = symtable.symtable(source, "program", "exec").get_children()[0]
    func = only(source)
    symbols = [(s, t) for t in _tables(table) for s in t.get_symbols()]
    outer = {s.get_name() for s, t in symbols if s.is_global() and s.is_referenced()}
    stored = {s.get_name() for s, t in symbols if s.is_global() and s.is_assigned()}
    assert free_names(func).reads - {"Exception", "ValueError"} == outer - {"Exception", "ValueError"} | (
        free_names(func).reads & stored
    ), "an augmented assignment reads as well"
    assert free_names(func).binds == stored
    local = {s.get_name() for s in table.get_symbols() if s.is_local() and not s.get_name().startswith(".")}
    assert Frame(func, Frame(ast.parse(source))).locals == local
