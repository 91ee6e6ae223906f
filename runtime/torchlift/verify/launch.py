"""Starting the traced process: a fresh interpreter, or a fork of one that has torch imported already."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

PACKAGES = str(Path(__file__).parents[2])  # where `torchlift` lies; the script's own search path stays in front of it
_BOOT = "import sys; sys.path.append(sys.argv[1]); from torchlift.verify.{module} import run; run({argument})"
# Given only where the user has not chosen: no window, no account, no run-time clock in what is written.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "Agg",
    "WANDB_MODE": "disabled",
    "SOURCE_DATE_EPOCH": "315532800",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start. `timeout` in seconds; `out` and `err` are files for its standard output and error."""

    job: str
    folder: str
    out: str
    err: str
    timeout: float | None


# Runs it and returns its exit status (negative: the signal), or None when it ran into the timeout and was ended.
Launcher = Callable[[Launch], int | None]


def environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    return {**ENVIRONMENT, **given}


def _command(module: str, argument: str) -> list[str]:
    # -P: a file of the current folder named like a standard module must not be imported before the script asks
    return [sys.executable, "-P", "-c", _BOOT.format(module=module, argument=argument), PACKAGES]


def fresh(launch: Launch) -> int | None:
    """In a new interpreter."""
    with open(launch.out, "wb") as out, open(launch.err, "wb") as err:
        process = subprocess.Popen(
            [*_command("child", "sys.argv[2]"), launch.job],
            cwd=launch.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            return process.wait(launch.timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            end_session(process.pid)
            process.wait()


def end_session(leader: int) -> None:
    """End the process and those that it left behind (workers of a DataLoader, background commands)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


class ForkServer:
    """Runs each job in a fork of one process with `preload` imported: the same result, without the time to import.

    Linux only. A context manager; call it like `fresh`.
    """

    def __init__(self, preload: Sequence[str] = ("torch", "numpy")) -> None:
        self.preload = tuple(preload)

    def __enter__(self) -> ForkServer:
        self._process = subprocess.Popen(
            [*_command("server", "sys.argv[2:]"), *self.preload],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __call__(self, launch: Launch) -> int | None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asdict(launch)) + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        if not reply:
            raise RuntimeError("The fork server has ended; its message stands on standard error.")
        status: Any = json.loads(reply)["status"]
        return None if status is None else int(status)
