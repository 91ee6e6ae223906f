"""Exceptions that leave the loop, and the handlers around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import run, same
from tests.converter.adversary.prelude import script

from torchlift_convert.api import convert

LOOP = """
losses = []
try:
    for epoch in range(3):
        for x, t in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == 6:
                {leave}
        print(epoch, losses[-1].hex())
except {caught}:
    {handler}
finally:
    print("the end")
"""


def leaving(leave: str, caught: str, handler: str = "print('caught')") -> str:
    return script(LOOP.format(leave=leave, caught=caught, handler=handler))


@pytest.mark.parametrize("leave", ["raise ValueError('enough')", "assert loss is None"])
def test_who_catches_finds_the_weights_after_the_step(leave: str, tmp_path: Path) -> None:
    same(leaving(leave, "(ValueError, AssertionError)"), tmp_path)


def test_a_handler_that_reads_what_the_loop_makes_is_refused() -> None:
    result = convert(leaving("raise ValueError", "ValueError", "print(loss.item())"))
    assert result.code is None
    assert [d.code for d in result.refusals] == ["TL106"]
    assert "'loss'" in result.refusals[0].message


@pytest.mark.parametrize("caught", ["KeyboardInterrupt", "(KeyboardInterrupt, ValueError)", "KeyboardInterrupt as e"])
def test_a_keyboard_interrupt_reaches_its_handler(caught: str, tmp_path: Path) -> None:
    same(leaving("raise KeyboardInterrupt", caught), tmp_path)


@pytest.mark.parametrize("caught", ["BaseException", "Exception", "ValueError"])
def test_another_handler_stays_as_it_is(caught: str) -> None:
    result = convert(leaving("raise ValueError", caught))
    assert result.code is not None and f"except {caught}:\n    print('caught')" in result.code


def test_an_exit_of_the_scripts_own_is_no_interrupt(tmp_path: Path) -> None:
    result = convert(leaving("raise SystemExit(3)", "KeyboardInterrupt"))
    assert result.code is not None
    with pytest.raises(SystemExit, match="3"):
        run(result.code, tmp_path / "after")
