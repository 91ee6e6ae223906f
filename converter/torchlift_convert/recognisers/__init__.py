"""One recogniser is one file here; each has a ``see(call, name)`` and is found by import, in no list.

``see`` gets a call of the source and the dotted library name of what is called (None when it is not a library's) and
answers with a Fact or None. It observes and never edits.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import lru_cache

from torchlift_convert.facts import Fact
from torchlift_convert.kept import walk
from torchlift_convert.program import Frame, Program

See = Callable[[ast.Call, str | None], Fact | None]


@lru_cache(maxsize=1)
def recognisers() -> tuple[See, ...]:
    """The ``see`` of every file of this folder."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}").see for name in names)


def facts_of(tree: ast.AST, frame: Frame, program: Program) -> Iterator[Fact]:
    """Every fact about the calls in a piece of code, outer calls before the calls inside them."""
    for node in walk(tree):
        if isinstance(node, ast.Call):
            fact = fact_of(node, frame, program)
            if fact is not None:
                yield fact


def fact_of(call: ast.Call, frame: Frame, program: Program) -> Fact | None:
    """The fact about one call: that of the first recogniser that knows it."""
    return fact_named(call, program.canonical(call.func, frame))


def fact_named(call: ast.Call, name: str | None) -> Fact | None:
    """The fact about a call of the library's ``name``, however the script writes that."""
    for see in recognisers():
        fact = see(call, name)
        if fact is not None:
            return fact
    return None
