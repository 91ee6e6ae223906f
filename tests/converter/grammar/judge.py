"""The property that every script has: refused with a place and a reason, or converted, and then the same to the bit."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

from tests.converter.traps.account import first_difference, run, silent

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Result, Status, Target


def judge(source: str, target: Target = Target.TORCHLIFT) -> Result:
    """Convert a script, and compare both runs where it converts."""
    result = convert(source, Options(target=target))
    if result.status is Status.REFUSED:
        said = result.refusals[0]
        assert said.code.startswith("TL") and said.code < "TL900", f"{said}\n{source}"
        assert 1 <= said.span.first <= len(source.splitlines()) and said.message, said
        return result
    assert result.status is Status.CONVERTED and result.code is not None, f"{result.status}\n{source}"
    with tempfile.TemporaryDirectory() as name:
        before = run(source, Path(name) / "before")
        try:
            after = run(silent(result.code) if target is Target.LIGHTNING else result.code, Path(name) / "after")
        except Exception:
            raise AssertionError(f"{traceback.format_exc()}\n{source}\n=== became\n{result.code}") from None
    difference = first_difference(before, after)
    assert not difference, f"{difference}\n{source}\n=== became\n{result.code}"
    return result
