"""Names that Lightning keeps elsewhere than torchlift does, as data: one file for each of Lightning's areas.

``HERE[module of Lightning][module of torchlift]`` lists names, separated by spaces; ``theirs=ours`` where they differ.
``NOT_HERE[module of Lightning][reason]`` lists names that can be imported but not used, and why. A name that the
module of torchlift at the same path has needs no entry. Names with a leading underscore are private to Lightning; only
those that outside code has been seen to import are listed.
"""

import importlib
from functools import cache
from typing import Any

from torchlift.compat import machine
from torchlift.compat.missing import placeholder
from torchlift.compat.names import (
    callbacks,
    core,
    fabric,
    loggers,
    loops,
    plugins,
    root,
    strategies,
    trainer,
    utilities,
)

_AREAS = (root, core, trainer, loops, callbacks, loggers, plugins, strategies, utilities, fabric)
HERE = {path: table for area in _AREAS for path, table in area.HERE.items()}
NOT_HERE = {path: table for area in _AREAS for path, table in area.NOT_HERE.items()}
PATHS = frozenset({*HERE, *NOT_HERE})


@cache
def _listed(path: str) -> dict[str, tuple[str, str]]:
    """The names of `path` that are here, each with its module and its name there."""
    found = {}
    for module, text in HERE.get(path, {}).items():
        for word in text.split():
            theirs, _, ours = word.partition("=")
            found[theirs] = (module, ours or theirs)
    return found


def public(path: str) -> list[str]:
    """What ``from path import *`` gives."""
    return sorted(name for name in _listed(path) if not name.startswith("_"))


def look_up(path: str, name: str) -> Any:
    """What `name` in Lightning's module `path` stands for here.

    Raises:
        KeyError: nothing does.
    """
    if name in _listed(path):
        module, ours = _listed(path)[name]
        return getattr(importlib.import_module(module), ours)
    for reason, text in NOT_HERE.get(path, {}).items():
        if name in text.split():
            return placeholder(path, name, reason)
    return machine.flag(name)
