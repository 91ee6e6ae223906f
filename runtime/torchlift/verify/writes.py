"""Who wrote which file: the interpreter's own audit events tell of each file opened for writing, and each rename.

What a framework wrote on its own account (its log folder, its checkpoints) is left out of the comparison on this
evidence, whatever the files are called. Files opened below Python (by C code) count as the user's.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from torchlift.verify.stream import Stream

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


def install(stream: Stream) -> None:
    # torch.save opens its file below Python; hooks.py marks those
    def heard(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            if isinstance(path, str | bytes | os.PathLike) and _writes(mode, flags) and stream.active:
                _opened(stream, os.fsdecode(path))
        elif event == "os.rename" and stream.active:
            _renamed(stream, os.fsdecode(args[0]), os.fsdecode(args[1]))

    sys.addaudithook(heard)


def _writes(mode: str | None, flags: int | None) -> bool:
    if mode is not None:
        return any(letter in mode for letter in "wax+")
    return bool((flags or 0) & _WRITING)


def _opened(stream: Stream, name: str) -> None:
    path = stream.origin.relative(name)
    if path is None:
        return
    stream.event("own" if stream.origin.is_framework() else "write", what=path)


def _renamed(stream: Stream, source: str, target: str) -> None:
    old, new = stream.origin.relative(source), stream.origin.relative(target)
    if new is not None:
        stream.event("own" if stream.origin.is_framework() else "write", what=new, value=f"from {old}" if old else "")
