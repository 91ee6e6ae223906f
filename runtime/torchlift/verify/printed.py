"""Standard output, line by line, with the line of code that printed it.

What passes through `sys.stdout` is recorded, and goes nowhere else. A Trainer's own lines and progress bars are left
out by who writes them. What goes around it (C code, child processes) reaches the file descriptor and is compared from
there.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from torchlift.verify.records import Site
from torchlift.verify.stream import Stream


class RecordedOutput(io.TextIOWrapper):
    """Takes the place of `sys.stdout`; a forked child writes through it as ever."""

    def attach(self, stream: Stream) -> Callable[[], None]:
        """Start recording. Returns what to call at the very end, for a last line without a newline."""
        self._stream = stream
        self._pending = ""
        self._site: Site | None = None
        return self.finish

    def write(self, text: str, /) -> int:
        if not self._stream.active:
            return super().write(text)
        origin = self._stream.origin
        if not origin.is_framework() and not origin.is_bar():
            self._site = origin.site() or self._site
            *lines, self._pending = (self._pending + text).split("\n")
            for line in lines:
                self._record(line)
        return len(text)

    def finish(self) -> None:
        if self._pending and self._stream.active:
            self._record(self._pending)
            self._pending = ""

    def _record(self, line: str) -> None:
        self._stream.event("print", value=line, site=self._site)


def install(stream: Stream) -> Callable[[], None]:
    output = RecordedOutput(open(1, "wb", closefd=False), encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    finish = output.attach(stream)
    sys.stdout = sys.__stdout__ = output  # type: ignore[misc]
    return finish
