"""Run a script before and after its conversion, and compare what it prints."""

from __future__ import annotations

import contextlib
import io
import os
import random
from pathlib import Path

import numpy as np
import torch

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Result, Status


def run(code: str, folder: Path) -> str:
    """What a script prints, run from the same random state each time."""
    random.seed(1234)
    np.random.seed(1234)
    torch.manual_seed(1234)
    folder.mkdir()
    here = os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
            exec(compile(code, str(folder / "train.py"), "exec"), {"__name__": "__main__"})
    finally:
        os.chdir(here)
    return printed.getvalue()


def converted(source: str) -> Result:
    """The conversion of a script, which must not be refused."""
    result = convert(source, Options())
    assert result.status is Status.CONVERTED, result.diagnostics
    return result


def same(source: str, folder: Path) -> Result:
    """Convert a script, run both, and see that they print the same lines, of which there is at least one."""
    result = converted(source)
    assert result.code is not None
    before, after = run(source, folder / "before"), run(result.code, folder / "after")
    assert before
    assert after == before
    return result
