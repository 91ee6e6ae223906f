"""Packages whose names are found by file and imported when first used.

A package says what it exports by the files it holds: each public module lists its names in ``__all__``, and nothing
is listed twice. Finding a name reads those lists as text, so that looking up one callback imports no other one's
dependencies (rich, tqdm, tensorboard). PEP 562 describes module-level ``__getattr__``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

_ALL = re.compile(r"^__all__ = (\[.*?\])", re.MULTILINE | re.DOTALL)


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of ``package``: attributes are its modules' public names and the modules.

    Raises (when an attribute is asked for):
        AttributeError: no module of the package exports that name.
    """

    def __getattr__(name: str) -> Any:
        if name == "__all__":  # of a star import, which gets the classes and functions
            return sorted(public_names(package))
        module = None if name.startswith("__") else _table(package).get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = importlib.import_module(module)
        value = found if module == f"{package}.{name}" else getattr(found, name)
        setattr(sys.modules[package], name, value)  # the next look-up does not come here
        return value

    def __dir__() -> list[str]:
        return sorted(_table(package))

    return __getattr__, __dir__


def public_names(package: str) -> dict[str, str]:
    """Each public class or function of ``package`` and of the packages in it, with the module that defines it."""
    return {name: module for name, module in _table(package).items() if module != f"{package}.{name}"}


@cache
def _table(package: str) -> dict[str, str]:
    table: dict[str, str] = {}
    for module, is_package in _modules(package):
        table.setdefault(module.rpartition(".")[2], module)
        names = public_names(module) if is_package else dict.fromkeys(_listed(module), module)
        table.update(names)
    return table


def _modules(package: str) -> Iterator[tuple[str, bool]]:
    for info in pkgutil.iter_modules(sys.modules[package].__path__ if package in sys.modules else _path(package)):
        if not info.name.startswith("_"):
            yield f"{package}.{info.name}", info.ispkg


def _path(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    return list(spec.submodule_search_locations or []) if spec else []


def _listed(module: str) -> list[str]:
    """The names in the ``__all__`` of ``module``, read from its source without running it (nor parsing all of it)."""
    spec = importlib.util.find_spec(module)
    source = spec.loader.get_source(module) if spec and spec.loader else None  # type: ignore[attr-defined]
    found = _ALL.search(source or "")
    return list(ast.literal_eval(found[1])) if found else []
