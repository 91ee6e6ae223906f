"""What ``import torchlift`` costs beside ``import torch``, with its main names touched. Exits 1 over the limit.

New processes, in turns; the CPU time of each is compared with its round's ``import torch``, and the median counts. A
third row touches the names that every script uses, for information.

    python tests/benchmarks/bench_import.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

LIMIT = 1.03
RUNTIME = str(Path(__file__).parents[2] / "runtime")
ROWS = {
    "import torch": "import torch",
    "import torchlift": "import torch, torchlift",
    "its main names": (
        "import torch, torchlift as L;"
        " L.LightningModule, L.LightningDataModule, L.Trainer, L.Callback, L.seed_everything"
    ),
}
LIMITED = "import torchlift"


def seconds(code: str) -> float:
    """The CPU time of a new process: other programs on the machine matter little to it."""
    environment = {**os.environ, "PYTHONPATH": RUNTIME, "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in ROWS}
    for number in range(rounds + 1):
        for name, code in ROWS.items():
            taken = seconds(code)
            if number:  # the first round writes compiled modules and warms the disk
                times[name].append(taken)
    fine = True
    for name, values in times.items():
        ratio = statistics.median(value / base for value, base in zip(values, times["import torch"]))
        over = name == LIMITED and ratio > LIMIT
        fine &= not over
        note = f"  (limit {LIMIT:.2f}{', OVER' if over else ''})" if name == LIMITED else ""
        print(f"{name:26} {statistics.median(values):8.3f} s  x{ratio:.3f}{note}")
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
