"""What ``import torchlift`` costs beside ``import torch``, with its main names touched. Exits 1 over the limit.

New processes, in turns; medians are compared. A third row defines a module and makes a Trainer, for information.

    python tests/benchmarks/bench_import.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 1.05
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
    environment = {**os.environ, "PYTHONPATH": RUNTIME, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - start


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
    medians = {name: statistics.median(values) for name, values in times.items()}
    base = medians["import torch"]
    ratio = medians[LIMITED] / base
    for name, median in medians.items():
        note = f"  (limit {LIMIT:.2f}{', OVER' if ratio > LIMIT else ''})" if name == LIMITED else ""
        print(f"{name:26} {median:8.3f} s  x{median / base:.3f}{note}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
