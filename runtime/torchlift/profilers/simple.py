"""How long each action takes.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.profilers.SimpleProfiler.html
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from pathlib import Path

from torchlift.profilers.profiler import Profiler

__all__ = ["SimpleProfiler"]


class SimpleProfiler(Profiler):
    """Takes the time of each action, in seconds of the wall clock.

    Args:
        dirpath: the folder of the report; that of the run by default.
        filename: the report's file, without ``.txt``; by default the report goes to standard error.
        extended: also show the number of calls and the share of the whole time.
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None, extended: bool = True) -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        self.current_actions: dict[str, float] = {}
        self.recorded_durations: dict[str, list[float]] = defaultdict(list)
        self.extended = extended
        self.start_time = time.perf_counter()

    def start(self, action_name: str) -> None:
        """An action begins.

        Raises:
            ValueError: it is under way already.
        """
        if action_name in self.current_actions:
            raise ValueError(f"Attempted to start {action_name} which has already started.")
        self.current_actions[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """An action ends.

        Raises:
            ValueError: it never began.
        """
        end = time.perf_counter()
        if action_name not in self.current_actions:
            raise ValueError(f"Attempting to stop recording an action ({action_name}) which was never started.")
        self.recorded_durations[action_name].append(end - self.current_actions.pop(action_name))

    def _make_report_extended(self) -> tuple[list[tuple[str, float, int, float, float]], int, float]:
        """Rows of action, mean, calls, total and percentage, the longest first; all calls; the whole time."""
        whole = time.perf_counter() - self.start_time
        rows = []
        for action, durations in self.recorded_durations.items():
            total, calls = math.fsum(durations), len(durations)
            rows.append((action, total / calls, calls, total, 100.0 * total / whole))
        rows.sort(key=lambda row: row[4], reverse=True)
        return rows, sum(row[2] for row in rows), whole

    def _make_report(self) -> list[tuple[str, float, float]]:
        """Rows of action, mean and total, the longest mean first."""
        rows = []
        for action, durations in self.recorded_durations.items():
            total = math.fsum(durations)
            rows.append((action, total / len(durations), total))
        return sorted(rows, key=lambda row: row[1], reverse=True)

    def summary(self) -> str:
        """The report: a table with one row per action."""
        title = f"{self._stage.upper()} Profiler Report" if self._stage else "Profiler Report"
        if not self.recorded_durations:
            return f"{title}{os.linesep}{os.linesep}"
        if self.extended:
            rows, calls, whole = self._make_report_extended()
            head = ["Action", "Mean duration (s)", "Num calls", "Total time (s)", "Percentage %"]
            totals = [["Total", "-", f"{calls}", f"{whole:.5}", "100 %"]]
            body = [
                [action, f"{mean:.5}", f"{n}", f"{total:.5}", f"{share:.5}"] for action, mean, n, total, share in rows
            ]
        else:
            head, totals = ["Action", "Mean duration (s)", "Total time (s)"], []
            body = [[action, f"{mean:.5}", f"{total:.5}"] for action, mean, total in self._make_report()]
        return f"{title}{os.linesep}{_table(head, totals, body)}{os.linesep}"


def _table(head: list[str], totals: list[list[str]], body: list[list[str]]) -> str:
    """The first column as wide as its widest action, the others 15 and a tab, as Lightning's tables are."""
    wide = max(len(row[0]) for row in body)

    def line(row: list[str]) -> str:
        first, *others = row
        return f"{os.linesep}|  {first:<{wide}s}\t|" + "".join(f"  {cell:<15}\t|" for cell in others)

    rule = f"{os.linesep}{'-' * len(line(head).expandtabs())}"
    parts = [rule, line(head), rule]
    if totals:
        parts += [*map(line, totals), rule]
    return "".join([*parts, *map(line, body), rule])
