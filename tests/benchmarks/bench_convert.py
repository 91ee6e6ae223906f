"""How long ``torchlift convert`` takes, as a ratio to the least any converter built on libcst could take.

The yardstick starts Python, imports libcst and parses the same script; the command starts Python, converts the script
and writes the result. Both are new processes, run in turns, and their medians are compared. Exits 1 over the limit.

    python tests/benchmarks/bench_convert.py [ROUNDS]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT = 3.0
ROUNDS = 9
REPOSITORY = Path(__file__).parents[2]
SCRIPT_LINES = 140

YARDSTICK = "import sys, libcst; libcst.parse_module(open(sys.argv[1], 'rb').read())"


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    sample = sample_of_about(SCRIPT_LINES)
    # Only the packages of this checkout; compiled modules are written by the first, unmeasured round, as they are for a
    # user: in a folder of this run's own, whatever the caller's environment says about writing them.
    paths = [str(REPOSITORY / root) for root in ("converter", "templates")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        environment["PYTHONPYCACHEPREFIX"] = str(Path(folder, "compiled"))
        script = Path(folder, "train.py")
        script.write_bytes(sample.read_bytes())
        commands = {
            "parse": [sys.executable, "-c", YARDSTICK, str(script)],
            "convert": [sys.executable, "-m", "torchlift_convert", "convert", "--force", "--quiet", str(script)],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                seconds = measure(command, environment)
                if number:
                    times[name].append(seconds)
                Path(folder, "train_lightning.py").unlink(missing_ok=True)
    middle = {name: statistics.median(values) for name, values in times.items()}
    ratio = middle["convert"] / middle["parse"]
    lines = len(sample.read_text(encoding="utf-8").splitlines())
    print(
        f"convert {sample.relative_to(REPOSITORY)} ({lines} lines): {1000 * middle['convert']:.0f} ms, "
        f"{ratio:.2f} times starting Python and parsing it with libcst ({1000 * middle['parse']:.0f} ms); "
        f"limit {LIMIT}, median of {rounds}"
    )
    return ratio > LIMIT


def sample_of_about(lines: int) -> Path:
    """The sample whose length is nearest."""
    samples = REPOSITORY.glob("samples/*/train.py")
    return min(sorted(samples), key=lambda path: abs(len(path.read_text(encoding="utf-8").splitlines()) - lines))


def measure(command: list[str], environment: dict[str, str]) -> float:
    """Seconds of the processor that a process takes; it has to succeed, or its time would mean nothing.

    Both commands only compute, so that this is the time that passes on a machine with nothing else to do.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{process.stderr}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
