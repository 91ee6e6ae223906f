"""A process that ends itself with SIGKILL at its n-th change of the disk: just before it, or in the middle of a write.

    python dying.py N FOLDER MODULE [ARGUMENT...]     runs a module so; with N = 0 it lives and changes are counted

Counted is every file opened for writing, every write, fsync, rename, link, mode change and removal below FOLDER, so
that n = 1, 2, 3, ... goes through every state in which a kill can leave the folder. The number of changes comes last on
standard error when the process ends alive.

A killed process leaves the first pages of a write and not the rest (the kernel looks for the signal between two pages),
so that is where a write is cut.
"""

from __future__ import annotations

import atexit
import builtins
import io
import os
import runpy
import signal
import sys
from typing import Any

PAGE = os.sysconf("SC_PAGESIZE")
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
_open = io.open


class Fuse:
    """Burns down by one at each change below ``folder``; at 0 the process dies. One that starts at 0 only counts."""

    def __init__(self, fatal: int, folder: str) -> None:
        self.left = fatal
        self.folder = os.path.realpath(folder)
        self.changes = 0

    def arm(self) -> None:
        sys.addaudithook(self._audited)
        sync = os.fsync

        def fsync(fd: Any) -> None:
            self.burn()
            sync(fd)

        os.fsync = fsync
        builtins.open = io.open = self._opened

    def burn(self) -> None:
        if self.burns():
            self.die()

    def burns(self) -> bool:
        """Count a change; whether it is the fatal one."""
        self.changes += 1
        return self.changes == self.left

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watches(self, path: Any) -> bool:
        if isinstance(path, int):
            return False
        # The last part is not resolved: a link is changed, not what it leads to.
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        return os.path.join(os.path.realpath(folder), name).startswith(self.folder + os.sep)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and self.watches(path):
                self.burn()
        elif event in CHANGES and self.watches(arguments[1 if event in ("os.symlink", "os.link") else 0]):
            self.burn()

    def _opened(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """``open``, with files for writing that can be cut short."""
        path = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) and os.path.isdir("/proc/self") else file
        if not set(mode) & set("wax") or "+" in mode or buffering == 0 or not self.watches(path):
            return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        written = io.BufferedWriter(_Cut(self, file, mode.replace("b", "").replace("t", ""), closefd, opener))
        return written if "b" in mode else io.TextIOWrapper(written, encoding or "utf-8", errors, newline)


class _Cut(io.FileIO):
    """A file of which the fatal write leaves the pages that it filled."""

    def __init__(self, fuse: Fuse, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        super().__init__(file, mode, closefd, opener)
        self.fuse = fuse

    def write(self, data: Any) -> int:
        if self.fuse.burns():
            content = bytes(data)
            end = os.fstat(self.fileno()).st_size + len(content)
            super().write(content[: max(0, len(content) - end % PAGE)] if end % PAGE < len(content) else b"")
            self.fuse.die()
        return super().write(data)


def main(fatal: str, folder: str, module: str, *arguments: str) -> None:
    fuse = Fuse(int(fatal), folder)
    sys.argv = [module, *arguments]
    atexit.register(lambda: print(fuse.changes, file=sys.stderr))
    fuse.arm()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
