"""Searches for a learning rate and a batch size; a name is imported when it is first used."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__; a test compares it with the files
    from torchlift.tuner.lr_finder import LRFinder as LRFinder
    from torchlift.tuner.tuning import Tuner as Tuner

__getattr__, __dir__ = lazy_exports(__name__)
