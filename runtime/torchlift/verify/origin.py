"""Who is speaking? Tells the user's code from the Trainer's by walking the stack.

What a Trainer prints, saves or writes on its own account is no part of the experiment, and a plain script has nothing
to compare it with. It is told apart by the code that did it, never by what it looks like: the innermost frame that
belongs either to a file of the user's folder or to a framework decides.
"""

from __future__ import annotations

import linecache
import os
import sys
from types import CodeType, FrameType

from torchlift.verify.records import Site

FRAMEWORKS = frozenset({"lightning", "pytorch_lightning", "lightning_fabric", "torchlift"})
_OURS = __name__.rpartition(".")[0]  # the tracer's own frames stand on every stack
_BARS = ("rich.live", "rich.progress", "rich.status")


class Origin:
    """Finds the user's line below the current call. `root` is the folder in which the user's files lie."""

    def __init__(self, root: str) -> None:
        self.root = os.path.join(os.path.realpath(root), "")
        self._files: dict[CodeType, str | None] = {}
        self._sites: dict[tuple[str, int], Site] = {}

    def relative(self, path: str) -> str | None:
        """The path below the folder, with slashes; None when it lies outside."""
        full = os.path.realpath(path)
        return full[len(self.root) :].replace(os.sep, "/") if full.startswith(self.root) else None

    def user_file(self, code: CodeType) -> str | None:
        if code not in self._files:
            name = code.co_filename
            self._files[code] = None if name.startswith("<") else self.relative(name)
        return self._files[code]

    def site(self) -> Site | None:
        """The innermost line of the user's that leads here."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not self.user_file(frame.f_code):
            frame = frame.f_back
        return None if frame is None else self.site_at(frame.f_code, frame.f_lineno)

    def site_at(self, code: CodeType, line: int) -> Site:
        file = self.user_file(code) or code.co_filename
        if (file, line) not in self._sites:
            text = linecache.getline(code.co_filename, line).strip()
            self._sites[file, line] = Site(file, line, text, code.co_name)
        return self._sites[file, line]

    def is_framework(self) -> bool:
        """Whether a framework, and not the user's code, is the one who asks for what is happening.

        A framework's own `print` (as in `self.print(...)`) only passes the user's text on.
        """
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if self.user_file(frame.f_code):
                return False
            name = frame.f_globals.get("__name__") or ""
            if name.partition(".")[0] in FRAMEWORKS and not name.startswith(_OURS) and frame.f_code.co_name != "print":
                return True
            frame = frame.f_back
        return False

    def is_bar(self) -> bool:
        """Whether a progress bar of tqdm or rich is being drawn; `tqdm.write` is text like any other."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not self.user_file(frame.f_code):
            name = frame.f_globals.get("__name__") or ""
            if name.startswith("tqdm."):
                return frame.f_code.co_name != "write"
            if name.startswith(_BARS):
                return True
            frame = frame.f_back
        return False
