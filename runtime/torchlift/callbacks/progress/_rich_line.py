"""One line of a terminal, drawn with rich, that gives way to what the script prints.

Rich's own Live display sends everything that is printed while it runs to its console; here that would move a script's
standard output to standard error. So the line is erased just before anything is written, and drawn again later: the
script's bytes go where they always went. No thread draws (a lock held by one would be inherited by forked workers).
"""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.control import Control
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.segment import ControlType, Segments
from rich.style import Style
from rich.text import Text

from torchlift.callbacks.progress._meter import Meter, clock_text, count_text, metrics_text

_CLEAR = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would exit the process here, and the training with it; the bar just ends."""
        raise BrokenPipeError("the terminal is gone")


class MeterColumn(ProgressColumn):
    """A column of text made from the meter that the task stands for."""

    def __init__(self, text: Any, style: str | Style) -> None:
        self._text, self._style = text, style
        super().__init__()

    def render(self, task: Task) -> Text:
        return Text(self._text(task.fields["meter"]), style=self._style, no_wrap=True, overflow="ellipsis")


def default_columns(theme: Any) -> list[ProgressColumn]:
    """Description, bar, count, time and speed."""
    return [
        TextColumn("{task.description}", style=theme.description, markup=False),
        BarColumn(
            complete_style=theme.progress_bar,
            finished_style=theme.progress_bar_finished,
            pulse_style=theme.progress_bar_pulse,
        ),
        MeterColumn(count_text, theme.batch_progress),
        MeterColumn(lambda meter: f"{clock_text(meter.elapsed)} • {clock_text(meter.remaining)}", theme.time),
        MeterColumn(lambda meter: f"{meter.speed:.2f}it/s", theme.processing_speed),
    ]


def metrics_column(theme: Any) -> ProgressColumn:
    return MeterColumn(
        lambda meter: metrics_text(meter.metrics, theme.metrics_text_delimiter, theme.metrics_format), theme.metrics
    )


class RichLine:
    """The last line of the terminal; see the module. ``stream`` is a terminal."""

    def __init__(self, stream: Any, columns: list[Any], interval: float, console_kwargs: dict[str, Any]) -> None:
        self.interval = interval
        self.console = _Console(**({"file": stream} | console_kwargs))
        self.progress = Progress(*columns, console=self.console, auto_refresh=False)
        self._task: TaskID | None = None
        self._drawn = False
        self._guards = {name: _Guard(getattr(sys, name), self) for name in ("stdout", "stderr")}
        for name, guard in self._guards.items():
            if guard.stream.isatty():
                setattr(sys, name, guard)

    def begin(self, meter: Meter) -> None:
        if self._task is not None:
            self.progress.remove_task(self._task)
        self._task = self.progress.add_task(meter.description, total=meter.total, meter=meter)

    def draw(self, meter: Meter) -> None:
        if self._task is None or any(guard.inside_line for guard in self._guards.values()):
            return  # the script is in the middle of a line of its own
        self.progress.update(self._task, completed=meter.completed, meter=meter)
        (line, *_) = self.console.render_lines(self.progress.get_renderable(), pad=False) or [[]]
        with self.console:  # both in one write
            self.console.control(_CLEAR)
            self.console.print(Segments(line), end="")
        self._drawn = True

    def keep(self, meter: Meter) -> None:
        self.draw(meter)
        if self._drawn:
            self.console.line()
            self._drawn = False

    def erase(self) -> None:
        if self._drawn:
            self._drawn = False
            self.console.control(_CLEAR)

    def close(self) -> None:
        for name, guard in self._guards.items():
            if getattr(sys, name) is guard:
                setattr(sys, name, guard.stream)


class _Guard:
    """Stands in for a standard stream: whatever is written to it finds the line erased."""

    def __init__(self, stream: Any, line: RichLine) -> None:
        self.stream = stream
        self.inside_line = False
        self._line = line

    def write(self, text: str) -> int:
        self._line.erase()
        if text:
            self.inside_line = not text.endswith("\n")
        return self.stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
