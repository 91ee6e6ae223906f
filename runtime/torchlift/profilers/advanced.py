"""Which functions each action spends its time in.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.profilers.AdvancedProfiler.html
"""

from __future__ import annotations

import cProfile
import io
import marshal
import os
import pstats
from collections import defaultdict
from pathlib import Path
from typing import Any

from torchlift.profilers.profiler import Profiler
from torchlift.utilities.exceptions import MisconfigurationException

__all__ = ["AdvancedProfiler"]


class AdvancedProfiler(Profiler):
    """Watches the function calls of each action with ``cProfile``. Of actions in one another the innermost is watched.

    Args:
        dirpath: the folder of the report; that of the run by default.
        filename: the report's file, without ``.txt``; by default the report goes to standard error.
        line_count_restriction: how many functions to show per action, or which share of them (0.0 to 1.0).
        dump_stats: also write what was recorded of each action, as ``.prof`` files in ``dirpath``.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        line_count_restriction: float = 1.0,
        dump_stats: bool = False,
    ) -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        self.profiled_actions: dict[str, cProfile.Profile] = defaultdict(cProfile.Profile)
        self.line_count_restriction, self.dump_stats = line_count_restriction, dump_stats
        self._under_way: list[str] = []  # the innermost last; Python can run one cProfile at a time

    def start(self, action_name: str) -> None:
        """An action begins; the one around it pauses."""
        if self._under_way:
            self.profiled_actions[self._under_way[-1]].disable()
        self._under_way.append(action_name)
        self.profiled_actions[action_name].enable()

    def stop(self, action_name: str) -> None:
        """An action ends; the one around it goes on.

        Raises:
            ValueError: it never began.
        """
        profile = self.profiled_actions.get(action_name)
        if profile is None:
            raise ValueError(f"Attempting to stop recording an action ({action_name}) which was never started.")
        profile.disable()
        if action_name in self._under_way:
            self._under_way.reverse()
            self._under_way.remove(action_name)  # the innermost of that name
            self._under_way.reverse()
        if self._under_way:
            self.profiled_actions[self._under_way[-1]].enable()

    def summary(self) -> str:
        """The report: for each action its functions, by the time spent in them and in what they call.

        Raises:
            MisconfigurationException: ``dump_stats`` without a folder.
        """
        texts = {}
        for action, profile in self.profiled_actions.items():
            profile.create_stats()
            if self.dump_stats:
                self._dump_stats(action, profile)
            texts[action] = self._functions(profile)
        return self._stats_to_str(texts)

    def _functions(self, profile: cProfile.Profile) -> str:
        text = io.StringIO()
        if profile.stats:
            stats = pstats.Stats(profile, stream=text).strip_dirs().sort_stats("cumulative")
            stats.print_stats(self.line_count_restriction)
        return text.getvalue()

    def _dump_stats(self, action_name: str, profile: cProfile.Profile) -> None:
        if not self.dirpath:
            raise MisconfigurationException("`AdvancedProfiler(dump_stats=True)` needs a folder: pass `dirpath`.")
        path = os.path.join(self.dirpath, self._prepare_filename(action_name, extension=".prof"))
        with self._open(path, "wb") as file:
            # The format of cProfile's own `dump_stats`, which can write to local files only.
            file.write(marshal.dumps(profile.stats))

    def teardown(self, stage: str | None) -> None:
        super().teardown(stage=stage)
        if self._under_way:
            self.profiled_actions[self._under_way[-1]].disable()
        self._under_way.clear()
        self.profiled_actions.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        kept = ("dirpath", "filename", "line_count_restriction", "dump_stats")
        return type(self), (), {name: getattr(self, name) for name in kept}  # a running cProfile cannot be copied
