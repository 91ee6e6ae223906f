"""The finder: gives Python the module that stands for a module of Lightning."""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from torchlift.compat import modules
from torchlift.compat.paths import ROOTS, full_name


class _Found:
    """A loader for a module that exists.

    Python would set ``__spec__`` of the module that a loader creates, and a module of torchlift must keep its own. So
    it is given a fresh one to write on, and finds the real one in ``sys.modules`` after the load, where the import
    system looks for modules that replace themselves.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if name == self.path:
            sys.modules[name] = modules.stand_in(self.path, module.__spec__)
        else:
            sys.modules[name] = importlib.import_module(self.path)


class Finder:
    """Answers for Lightning's names and for nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in ROOTS:
            return None
        known = full_name(fullname)
        if not modules.exists(known):
            return None
        return ModuleSpec(fullname, _Found(known), is_package=modules.is_package(known))  # type: ignore[arg-type]


FINDER = Finder()
