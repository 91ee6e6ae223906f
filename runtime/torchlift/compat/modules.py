"""The module objects that stand for Lightning's.

Where torchlift has the module, it is that very object, so that what is set on the one is set on the other; names that
only Lightning's has are looked up in the tables when the module itself has no such name. Where torchlift has no such
module, a small one is made whose names all come from the tables.
"""

import importlib
from collections.abc import Callable
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from torchlift.compat import names
from torchlift.compat.paths import MOVED, home

_fallbacks: dict[str, "_Fallback"] = {}


def exists(path: str) -> bool:
    """Whether `path`, a full name of Lightning's, has something to stand for it."""
    return home(path) is not None or path in _synthetic()


def is_package(path: str) -> bool:
    """Whether modules can lie below `path`."""
    if path in _packages():
        return True
    target = home(path)
    return target is not None and hasattr(importlib.import_module(target), "__path__")


@cache
def _packages() -> frozenset[str]:
    parts = (path.split(".") for path in (*MOVED, *names.PATHS))
    return frozenset(".".join(one[:end]) for one in parts for end in range(1, len(one)))


def _synthetic() -> frozenset[str]:
    return _packages() | names.PATHS


def stand_in(path: str, spec: ModuleSpec | None) -> ModuleType:
    """The module that stands for `path`; `spec` is for one that is made here."""
    target = home(path)
    if target is None:
        return Synthetic(path, spec)
    module = importlib.import_module(target)
    if path in _packages() and not hasattr(module, "__path__"):
        return Facade(path, module, spec)
    _Fallback.of(module).paths.append(path)
    return module


def _find(path: str, name: str) -> Any:
    """What Lightning's module `path` calls `name`: an entry of the tables, or a module below it."""
    if name.startswith("__") and name.endswith("__") and name != "__version__":
        raise AttributeError(f"module {path!r} has no attribute {name!r}")
    try:
        return names.look_up(path, name)
    except KeyError:
        below = f"{path}.{name}"
        if exists(below):
            return importlib.import_module(below)
        raise AttributeError(f"module {path!r} has no attribute {name!r}") from None


class Synthetic(ModuleType):
    """A module whose names all come from the tables, each looked up anew, so that patching torchlift takes effect."""

    def __init__(self, path: str, spec: ModuleSpec | None) -> None:
        super().__init__(path, f"`{path}`, answered by torchlift.")
        self.__spec__ = spec
        self.__path__: list[str] = []
        self.__all__ = names.public(path)

    def __getattr__(self, name: str) -> Any:
        return _find(self.__name__, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__all__})


class Facade(ModuleType):
    """A package in Lightning and one file in torchlift: names are read from that file and set in it."""

    def __init__(self, path: str, target: ModuleType, spec: ModuleSpec | None) -> None:
        super().__init__(path, target.__doc__)
        vars(self).update(__path__=[], __spec__=spec, _target=target, _before={})

    def __getattr__(self, name: str) -> Any:
        target = vars(self)["_target"]
        return getattr(target, name) if name in vars(target) else _find(self.__name__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        held = vars(self._target)
        if name in held:
            self._before.setdefault(name, held[name])
            setattr(self._target, name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        """Patches that find a name nowhere in this module's own dictionary take themselves back by deleting it."""
        if name in self._before:
            setattr(self._target, name, self._before.pop(name))
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._target)})


class _Fallback:
    """The module-level ``__getattr__`` (PEP 562) of a module of torchlift while it stands for Lightning's."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.paths: list[str] = []
        self.own: Callable[[str], Any] | None = vars(module).get("__getattr__")

    @classmethod
    def of(cls, module: ModuleType) -> "_Fallback":
        if module.__name__ not in _fallbacks:
            _fallbacks[module.__name__] = fallback = cls(module)
            vars(module)["__getattr__"] = fallback
        return _fallbacks[module.__name__]

    def __call__(self, name: str) -> Any:
        if self.own is not None:
            try:
                return self.own(name)
            except AttributeError:
                pass
        for path in self.paths:
            try:
                return _find(path, name)
            except AttributeError:
                continue
        raise AttributeError(f"module {self.module.__name__!r} has no attribute {name!r}")

    def detach(self) -> None:
        if self.own is None:
            vars(self.module).pop("__getattr__", None)
        else:
            vars(self.module)["__getattr__"] = self.own


def detach_fallbacks() -> None:
    """Give every module of torchlift its own ``__getattr__`` back."""
    for fallback in _fallbacks.values():
        fallback.detach()
    _fallbacks.clear()
