"""Callbacks, one file each; a name is imported when it is first used."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__; a test compares it with the files
    from torchlift.callback import Callback as Callback

__getattr__, __dir__ = lazy_exports(__name__)
