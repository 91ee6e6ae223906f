"""What a progress bar shows: a count, how fast it grows, and where it is drawn. Knows nothing of trainers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any, Protocol


@dataclass
class Meter:
    """Batches done of one pass over a loader.

    Attributes:
        total: batches in the pass, None if the loader has no length. completed: batches done. started: seconds on
            ``time.monotonic``. metrics: values by name, to be shown beside the count.
    """

    description: str
    total: int | float | None
    completed: int = 0
    started: float = field(default_factory=lambda: monotonic())
    metrics: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.total is not None and not math.isfinite(self.total):
            self.total = None

    @property
    def finished(self) -> bool:
        return self.total is not None and self.completed >= self.total

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return monotonic() - self.started

    @property
    def speed(self) -> float:
        """Batches a second, on average since the start."""
        return self.completed / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds to go at this speed, None where that cannot be said."""
        if self.total is None or not self.speed:
            return None
        return max(0.0, self.total - self.completed) / self.speed


class Sink(Protocol):
    """Where meters are drawn."""

    interval: float
    """Least number of seconds between two drawings."""

    def begin(self, meter: Meter) -> None:
        """Show this meter from now on."""

    def draw(self, meter: Meter) -> None:
        """Show the meter as it is now."""

    def keep(self, meter: Meter) -> None:
        """Show the meter for the last time, and leave it there."""

    def erase(self) -> None:
        """Take back what stands there and is not to be kept."""

    def close(self) -> None:
        """Nothing more will be drawn."""


def count_text(meter: Meter) -> str:
    return f"{meter.completed}/{'--' if meter.total is None else int(meter.total)}"


def clock_text(seconds: float | None) -> str:
    return "-:--:--" if seconds is None else str(timedelta(seconds=int(seconds)))


def metrics_text(metrics: dict[str, Any], delimiter: str, number_format: str) -> str:
    """``name: value`` for each metric; the format is for floats, whole numbers and text stay as they are."""
    return delimiter.join(
        f"{name}: {format(value, number_format) if isinstance(value, float) else value}"
        for name, value in metrics.items()
    )


class PlainLines:
    """Lines of text, few and far between, for log files and everything else that is no terminal."""

    interval = 10.0

    def __init__(self, stream: Any, metrics_format: str) -> None:
        self._stream = stream
        self._metrics_format = metrics_format
        self._written: tuple[str, int] | None = None

    def begin(self, meter: Meter) -> None: ...

    def erase(self) -> None: ...

    def close(self) -> None: ...

    def draw(self, meter: Meter) -> None:
        parts = [
            f"{meter.description.strip()}: {count_text(meter)}",
            f"{clock_text(meter.elapsed)} elapsed",
            *([f"{clock_text(meter.remaining)} left"] if meter.remaining else []),
            f"{meter.speed:.2f}it/s",
            metrics_text(meter.metrics, ", ", self._metrics_format),
        ]
        print(", ".join(part for part in parts if part), file=self._stream, flush=True)
        self._written = meter.description, meter.completed

    def keep(self, meter: Meter) -> None:
        if self._written != (meter.description, meter.completed):
            self.draw(meter)
