"""What holds of every conversion, on every sample: it reads as the user wrote it, and nothing of ours shows."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

import torchlift_convert
from torchlift_convert.api import convert
from torchlift_convert.syntax import parse, span_of
from torchlift_convert.types import FateKind, Options, Result, Status, Target

SAMPLES = sorted(Path(__file__).parents[2].glob("samples/*/train.py"))


@dataclass(frozen=True)
class Case:
    source: str
    result: Result

    @property
    def code(self) -> str:
        assert self.result.code is not None
        return self.result.code


@pytest.fixture(params=SAMPLES, ids=lambda path: path.parent.name, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    source = request.param.read_text(encoding="utf-8")
    return Case(source, convert(source, Options()))


def comments(text: str) -> Counter[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return Counter(t.string for t in tokens if t.type == tokenize.COMMENT)


def names(tree: ast.AST) -> set[str]:
    found = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    found |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    found |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return found | {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}


def test_every_comment_survives(case: Case) -> None:
    """Those of statements that the Trainer does now, too: they wait for the next statement."""
    assert not comments(case.source) - comments(case.code)


def test_every_docstring_of_what_is_kept_survives(case: Case) -> None:
    def texts(text: str) -> set[str]:
        nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Module | ast.ClassDef)]
        return {d for n in nodes if (d := ast.get_docstring(n))}

    assert texts(case.source) <= texts(case.code)


def test_converting_again_finds_lightning(case: Case) -> None:
    assert convert(case.code, Options()).status is Status.ALREADY


def test_bytes_and_text_give_the_same(case: Case) -> None:
    assert convert(case.source.encode(), Options()) == case.result == convert(case.source, Options())


def test_targets_differ_in_the_import_alone(case: Case) -> None:
    other = convert(case.source, Options(target=Target.LIGHTNING)).code
    assert other is not None
    pairs = [(a, b) for a, b in zip(case.code.splitlines(), other.splitlines(), strict=True) if a != b]
    assert pairs == [("import torchlift as L", "import lightning as L")]


def test_no_name_of_ours_leaks(case: Case) -> None:
    """Placeholders and module names of the converter stay inside it; every name is the user's or Lightning's."""
    new = names(ast.parse(case.code)) - names(ast.parse(case.source))
    assert not [n for n in new if n.startswith("__") and n != "__init__" and n != "__len__" and n != "__iter__"]
    assert not re.search(r"torchlift_convert|__returned__|__argument__|placeholder", case.code)


def test_no_import_is_there_for_nothing(case: Case) -> None:
    """Unused imports of the script are its own affair; none becomes unused, none comes unused."""

    def unused(text: str) -> set[str]:
        tree = ast.parse(text)
        stmts = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
        imported = {a.asname or a.name.split(".")[0] for n in stmts for a in n.names}
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        strings = " ".join(n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
        return {n for n in imported - used if n not in strings and n != "print_function"}

    assert unused(case.code) <= unused(case.source)


def test_lines_of_the_users_own_stay_byte_for_byte(case: Case) -> None:
    """A kept statement whose names did not change has not been formatted either."""
    script = parse(case.source)
    before, after = case.source.splitlines(), case.code.splitlines()
    checked = 0
    for stmt, fate in zip(script.statements, case.result.fates):
        if fate.kind is not FateKind.KEPT or len(fate.targets) != 1:
            continue
        old, new = span_of(stmt), fate.targets[0]
        written = "\n".join(after[new.first - 1 : new.last])
        moved = ast.get_source_segment(case.source, stmt) or ""
        if _tree(written) == _tree("\n".join(before[old.first - 1 : old.last])):
            checked += 1
            assert moved in written
    assert checked > 5


def _tree(text: str) -> str | None:
    import textwrap

    try:
        return ast.dump(ast.parse(textwrap.dedent(text)))
    except SyntaxError:
        return None


def test_generated_lines_fit(case: Case) -> None:
    own = set(case.source.splitlines())
    long = [line for line in case.code.splitlines() if len(line) > 120 and line.strip() not in {o.strip() for o in own}]
    assert all('"' in line or "'" in line for line in long), "a text that cannot be broken is the only excuse"


def test_line_ends_are_those_of_the_file() -> None:
    source = SAMPLES[0].read_text(encoding="utf-8").replace("\n", "\r\n")
    code = convert(source, Options()).code
    assert code is not None and code.count("\n") == code.count("\r\n")


def test_order_of_sets_plays_no_part() -> None:
    """The same text in a process whose strings have other hashes."""
    chosen = [str(path) for path in SAMPLES[:6]]
    program = (
        "import sys; from pathlib import Path; from torchlift_convert.api import convert\n"
        "for path in sys.argv[1:]: print(convert(Path(path).read_bytes()).code)"
    )
    folder = Path(torchlift_convert.__file__).parents[1]
    found = subprocess.run(
        [sys.executable, "-c", program, *chosen],
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "".join(f"{convert(Path(path).read_bytes()).code}\n" for path in chosen)
