"""Recognisers are found by import, and each has a test of its own."""

from __future__ import annotations

from pathlib import Path

from torchlift_convert import recognisers

FOLDER = Path(recognisers.__file__).parent


def test_each_recogniser_has_its_test_file() -> None:
    files = {p.stem for p in FOLDER.glob("*.py")} - {"__init__"}
    tests = {p.stem.removeprefix("test_") for p in Path(__file__).parent.glob("test_*.py")} - {"all"}
    assert files == tests


def test_each_file_is_found() -> None:
    found = {see.__module__.rpartition(".")[2] for see in recognisers.recognisers()}
    assert found == {p.stem for p in FOLDER.glob("*.py")} - {"__init__"}


def test_each_says_what_it_is_about() -> None:
    modules = [see.__globals__["__doc__"] for see in recognisers.recognisers()]
    assert all(doc and doc.startswith("``") for doc in modules)


def test_calls_inside_a_call_are_seen_behind_it(seen) -> None:
    """``facts_of`` goes from the outside in; a chain of moves is two facts."""
    import ast

    from torchlift_convert.facts import MakesDevice, Move
    from torchlift_convert.program import build
    from torchlift_convert.syntax import parse

    program = build(parse("import torch\nx.to(torch.device('cpu')).cuda()\n"))
    facts = list(recognisers.facts_of(program.script.tree.body[-1], program.module, program))
    assert [type(f) for f in facts] == [Move, Move, MakesDevice]
    assert isinstance(facts[0], Move) and isinstance(facts[0].value, ast.Call)
