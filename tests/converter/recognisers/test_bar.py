from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import Bar


@pytest.mark.parametrize("call", ["tqdm(loader)", "tqdm(loader, desc='epoch')", "tqdm(iterable=loader, leave=False)"])
def test_sees_a_bar_and_what_it_goes_over(seen, call: str) -> None:
    fact = seen(call)
    assert isinstance(fact, Bar) and fact.iterable is not None and ast.unparse(fact.iterable) == "loader"


@pytest.mark.parametrize("module", ["tqdm", "tqdm.auto", "tqdm.notebook", "tqdm.std"])
def test_sees_bars_of_every_kind(seen, module: str) -> None:
    assert isinstance(seen("bar(loader)", before=f"from {module} import tqdm as bar"), Bar)


def test_sees_a_bar_of_rich(seen) -> None:
    assert isinstance(seen("track(loader)", before="from rich.progress import track"), Bar)


def test_bar_without_an_iterable_is_updated_by_hand(seen) -> None:
    fact = seen("tqdm(total=10)")
    assert isinstance(fact, Bar) and fact.iterable is None


@pytest.mark.parametrize(
    ("call", "before", "reason"),
    [
        ("tqdm(loader)", "def tqdm(it):\n    return it", "the script's own function of that name"),
        ("tqdm.write('x')", "", "a line printed past the bar"),
        ("enumerate(loader)", "", "no bar"),
    ],
)
def test_leaves_alone(seen, call: str, before: str, reason: str) -> None:
    assert not isinstance(seen(call, before), Bar), reason


@pytest.mark.parametrize("module", ["tqdm", "tqdm.auto", "tqdm.notebook"])
def test_sees_a_bar_over_a_range(seen, module: str) -> None:
    fact = seen("trange(1, epochs)", before=f"from {module} import trange")
    assert isinstance(fact, Bar) and fact.iterable is not None and ast.unparse(fact.iterable) == "range(1, epochs)"
