"""Both trees of a file hold the same statements, whatever Python it is."""

from __future__ import annotations

import ast
import random
import sysconfig
from pathlib import Path

import libcst as cst
import pytest

from torchlift_convert.syntax import Unreadable, blocks_of, decode, parse, python_tree, span_of, walk_statements
from torchlift_convert.types import Span

LIBRARY = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")) + sorted(
    Path(sysconfig.get_path("stdlib"), "asyncio").glob("*.py")
)
SAMPLE = [p for p in random.Random(1).sample(LIBRARY, 24) if p.stat().st_size < 40_000]

SAME = {ast.AnnAssign: cst.AnnAssign, ast.FunctionDef: cst.FunctionDef, ast.AsyncFunctionDef: cst.FunctionDef}
SAME |= {ast.AsyncFor: cst.For, ast.AsyncWith: cst.With, ast.TryStar: cst.TryStar}


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
def test_trees_are_linked_statement_by_statement(path: Path) -> None:
    script = parse(decode(path.read_bytes()))
    assert list(script.statements) == list(walk_statements(script.tree.body))
    for stmt in script.statements:
        node = script.node[stmt]
        expected = SAME.get(type(stmt)) or getattr(cst, {"Delete": "Del"}.get(type(stmt).__name__, type(stmt).__name__))
        assert isinstance(node, expected)
        if isinstance(stmt, ast.FunctionDef | ast.ClassDef):
            assert stmt.name == node.name.value  # type: ignore[union-attr]
        parent = script.parent[stmt]
        assert parent is None or any(stmt in block for block in blocks_of(parent))
        beside = parent is not None and parent.lineno == stmt.lineno and stmt not in script.line  # if x: y
        assert beside or (stmt in script.line) == isinstance(node, cst.BaseSmallStatement)
    assert script.module.code == script.text


def test_small_statements_of_one_line_share_it() -> None:
    script = parse("a = 1; b = 2\nif a: b = 3; a = 4\n")
    first, second, choice, third, fourth = script.statements
    assert script.line[first] is script.line[second]
    assert choice not in script.line and script.parent[third] is choice is script.parent[fourth]


def test_else_branches_and_clauses_are_linked() -> None:
    source = """
try:
    a = 1
except A:
    b = 1
except B:
    c = 1
else:
    d = 1
finally:
    e = 1
if x:
    f = 1
elif y:
    g = 1
else:
    h = 1
match v:
    case 1:
        i = 1
    case _:
        j = 1
while x:
    k = 1
else:
    m = 1
"""
    script = parse(source)
    code = {ast.unparse(s): cst.Module([]).code_for_node(script.node[s]) for s in script.statements if s in script.line}
    assert code == {text: text for text in code} and len(code) == 12


def test_span_includes_decorators() -> None:
    (stmt,) = ast.parse("@a\n@b(\n  1)\ndef f():\n    pass\n").body
    assert span_of(stmt) == Span(1, 5)
    assert (str(Span(3, 3)), str(Span(3, 5))) == ("3", "3-5")


DECODED = [
    (b"x = 1\n", "x = 1\n"),
    ("x = 'ä'\n".encode(), "x = 'ä'\n"),
    (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
    ("# -*- coding: latin-1 -*-\nx = 'ä'\n".encode("latin-1"), "# -*- coding: latin-1 -*-\nx = 'ä'\n"),
    (b"x = 1\r\ny = 2\r\n", "x = 1\r\ny = 2\r\n"),
]


@pytest.mark.parametrize(("source", "text"), DECODED, ids=["ascii", "utf-8", "BOM", "declared", "CRLF"])
def test_decode(source: bytes, text: str) -> None:
    assert decode(source) == text


UNDECODABLE = [
    (b"\x7fELF\x00\x01", "binary"),
    ("x = 'ä'\n".encode("latin-1"), "Save it as UTF-8"),
    (b"# coding: no-such-code\n", "cannot be decoded"),
    (b"\xff\xfex\x00", "binary"),
]


@pytest.mark.parametrize(("source", "why"), UNDECODABLE, ids=["binary", "latin-1", "unknown code", "utf-16"])
def test_text_that_cannot_be_decoded(source: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        decode(source)


UNPARSABLE = [("x = (\n", 1), ("def f():\nreturn\n", 2), ("print 'x'\n", 1), ("a = 1\n  b = 2\n", 2)]


@pytest.mark.parametrize(("source", "line"), UNPARSABLE, ids=[s for s, _ in UNPARSABLE])
def test_text_that_is_not_python(source: str, line: int) -> None:
    with pytest.raises(Unreadable, match="not valid Python 3") as caught:
        python_tree(source)
    assert caught.value.line == line


def test_expression_that_is_nested_too_deeply() -> None:
    with pytest.raises(Unreadable):
        parse("x = " + "(" * 5000 + "1" + ")" * 5000 + "\n")


@pytest.mark.parametrize("source", ["", "\n", "# only a comment\n", "x = 1"])
def test_little_files(source: str) -> None:
    assert parse(source).module.code == source
