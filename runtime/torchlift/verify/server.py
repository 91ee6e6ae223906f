"""The process behind `launch.ForkServer`: imports once, then forks for each job that it reads on standard input."""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
from collections.abc import Sequence

from torchlift.verify import child
from torchlift.verify.launch import Launch, end_session


def run(preload: Sequence[str]) -> None:
    for name in preload:
        importlib.import_module(name)
    launch = _serve()
    if launch is not None:  # a fork: from here on the traced process
        _become(launch)
        child.run(launch.job)


def _serve() -> Launch | None:
    """Answer until standard input ends, and return None; in each fork, return what it is to run."""
    replies = os.dup(1)
    os.set_inheritable(replies, False)
    requests = os.dup(0)
    with open(requests, encoding="utf-8") as lines:
        for line in lines:
            launch = Launch(**json.loads(line))
            pid = os.fork()
            if pid == 0:
                os.close(replies)
                os.setsid()
                return launch
            status = _wait(pid, launch.timeout)
            os.write(replies, (json.dumps({"status": status}) + "\n").encode())
    return None


def _wait(pid: int, timeout: float | None) -> int | None:
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = poll.poll(None if timeout is None else timeout * 1000)
    end_session(pid)
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(launch: Launch) -> None:
    os.chdir(launch.folder)
    for target, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, launch.out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, launch.err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(name, flags, 0o644)
        os.dup2(opened, target)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (lives as long as the process)
