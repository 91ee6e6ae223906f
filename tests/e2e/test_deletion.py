"""Nothing generated is there for show: delete any one statement of a converted sample, and verify tells.

The few that change nothing are named below, by kind and with the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from torchlift.verify.compare import compare
from torchlift.verify.launch import ForkServer
from torchlift.verify.records import Trace
from torchlift.verify.run import Run, trace
from torchlift.verify.verdict import Answer
from torchlift_convert.api import convert
from torchlift_convert.syntax import span_of, walk_statements
from torchlift_convert.types import FateKind, Options

SAMPLE = Path(__file__).parents[2] / "samples" / "diabetes_plateau"
ARGS = ("--epochs", "6")
PRELOAD = ("torch", "torch._dynamo", "numpy", "sklearn.datasets")

# What may go without a difference, by the line or what it starts with, and why it is written all the same.
HARMLESS = {
    "self.log(": "shows a number to whoever watches; the script's own numbers do not pass through it",
    "return self.model(": "forward() is for whoever calls the trained module",
    'if hasattr(self, "X"):': "setup() runs by hand and again in fit(); without draws it makes the same data twice",
    "return": "as the condition above it",
    "accelerator=": "the Trainer's own choice is the CPU as well where there is no GPU",
    "devices=": "one device is what the CPU has",
    "enable_checkpointing=": "the Trainer's own files are no part of what the script does",
    "logger=": "the Trainer's own files are no part of what the script does",
}


def _source() -> tuple[str, ast.Module, set[int]]:
    """The twin, its tree, and the first lines of statements that the script has itself."""
    result = convert((SAMPLE / "train.py").read_bytes(), Options())
    assert result.code is not None
    kept = {span.first for fate in result.fates if fate.kind is FateKind.KEPT for span in fate.targets}
    return result.code, ast.parse(result.code), kept


def _generated(tree: ast.Module, kept: set[int]) -> Iterator[ast.stmt | ast.keyword]:
    """Statements inside generated classes, those written around the loop, and the Trainer's arguments."""
    classes = [
        c for c in tree.body if isinstance(c, ast.ClassDef) and c.bases and "Lightning" in ast.unparse(c.bases[0])
    ]
    assert len(classes) == 2
    inside = {s for c in classes for s in walk_statements(c.body)}
    for stmt in walk_statements(tree.body):
        if isinstance(stmt, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            continue
        if stmt in inside or stmt.lineno not in kept:
            yield stmt
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "L.Trainer"):
        yield from call.keywords


def _without(source: str, part: ast.stmt | ast.keyword) -> str:
    """The text with ``pass`` in place of a statement, or without an argument that has a line of its own."""
    lines = source.splitlines(keepends=True)
    if isinstance(part, ast.keyword):
        assert lines[part.lineno - 1].strip() == ast.unparse(part) + "," or part.value.end_lineno == part.lineno
        del lines[part.lineno - 1]
    else:
        span = span_of(part)
        lines[span.first - 1 : span.last] = [" " * part.col_offset + "pass\n"]
    return "".join(lines)


CODE, TREE, KEPT = _source()
PARTS = list(_generated(TREE, KEPT))


def _text(part: ast.stmt | ast.keyword) -> str:
    return CODE.splitlines()[part.lineno - 1].strip()


def _is(part: ast.stmt | ast.keyword, start: str) -> bool:
    return _text(part) == start or (start.endswith(("(", "=")) and _text(part).startswith(start))


@pytest.fixture(scope="module")
def launcher() -> Iterator[ForkServer]:
    with ForkServer(PRELOAD) as server:
        yield server


@pytest.fixture(scope="module")
def run(launcher: ForkServer, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """Trace a script given as text, to one step more than the original makes at most."""
    folder = tmp_path_factory.mktemp("deletion")
    root = folder / "sample"
    root.mkdir()

    def traced(source: str, steps: int | None = None) -> Trace:
        script = root / "train.py"
        script.write_text(source, encoding="utf-8")
        return trace(Run(script, root, root, ARGS, steps=steps, timeout=60.0), launcher, folder)

    return traced


@pytest.fixture(scope="module")
def before(run) -> Trace:  # type: ignore[no-untyped-def]
    found: Trace = run((SAMPLE / "train.py").read_text(encoding="utf-8"))
    assert compare(found, run(CODE)).answer is Answer.EXACT
    return found


@pytest.mark.parametrize("part", PARTS, ids=[f"{p.lineno}: {_text(p)[:50]}" for p in PARTS])
def test_deletion_is_noticed(part: ast.stmt | ast.keyword, run, before: Trace) -> None:  # type: ignore[no-untyped-def]
    verdict = compare(before, run(_without(CODE, part), steps=len(before.steps) + 1))
    harmless = [reason for start, reason in HARMLESS.items() if _is(part, start)]
    assert (verdict.answer is Answer.EXACT) == bool(harmless), f"{_text(part)!r} is deleted: {verdict.sentence}"


def test_few_statements_are_harmless_and_each_kind_is_met() -> None:
    met = {start: sum(_is(part, start) for part in PARTS) for start in HARMLESS}
    assert all(met.values()), met
    assert sum(met.values()) < len(PARTS) / 4
