"""The profiler of a Trainer that was given none."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torchlift.profilers.profiler import Profiler

__all__ = ["PassThroughProfiler"]


class PassThroughProfiler(Profiler):
    """Measures nothing, so that ``trainer.profiler.profile("x")`` works in any run."""

    def start(self, action_name: str) -> None:
        pass

    def stop(self, action_name: str) -> None:
        pass

    def profile(self, action_name: str) -> AbstractContextManager[str]:
        return nullcontext(action_name)
