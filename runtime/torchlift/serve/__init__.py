"""Check, before training, that a module could be served."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from torchlift.serve.servable_module import ServableModule as ServableModule
    from torchlift.serve.servable_module_validator import ServableModuleValidator as ServableModuleValidator

__getattr__, __dir__ = lazy_exports(__name__)
