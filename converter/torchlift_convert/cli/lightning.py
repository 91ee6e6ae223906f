"""Running a script with Lightning's names meaning torchlift. The runtime does it; it is known here by its name only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence


def command(arguments: Sequence[str]) -> list[str]:
    """The command line to run. -P: a script's own torch.py in this folder must not shadow what the runtime needs."""
    return [sys.executable, "-P", "-m", "torchlift.compat", *arguments]


def become(arguments: Sequence[str]) -> int:
    """Replace this process by the run; where that cannot be done, wait for another one and return its exit code."""
    if os.name == "posix":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, command(arguments))
    with subprocess.Popen(command(arguments)) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the terminal told the script as well: let it end in its own way
                continue
