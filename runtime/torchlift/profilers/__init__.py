"""Profilers, one file each; a name is imported when it is first used."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__; a test compares it with the files
    from torchlift.profilers.advanced import AdvancedProfiler as AdvancedProfiler
    from torchlift.profilers.base import PassThroughProfiler as PassThroughProfiler
    from torchlift.profilers.profiler import Profiler as Profiler
    from torchlift.profilers.pytorch import PyTorchProfiler as PyTorchProfiler
    from torchlift.profilers.pytorch import RegisterRecordFunction as RegisterRecordFunction
    from torchlift.profilers.simple import SimpleProfiler as SimpleProfiler

__getattr__, __dir__ = lazy_exports(__name__)
