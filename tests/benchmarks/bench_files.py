"""How long ``convert`` takes over whole folders, as a ratio to parsing the same files with libcst and nothing else.

Files without a training loop are most of what a folder holds, so they are to cost no more than half on top; a file
with one is cheaper than libcst's own metadata about it. Both are measured over files that are installed (every so many
of them) and over the samples, in seconds of the processor, in turns. Exits 1 over a limit.

    python tests/benchmarks/bench_files.py
"""

from __future__ import annotations

import statistics
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / "converter"), str(REPOSITORY / "templates")]  # for a checkout that is not installed

import libcst  # noqa: E402

from torchlift_convert.api import convert  # noqa: E402
from torchlift_convert.types import Status  # noqa: E402

IDLE_LIMIT, LOOP_LIMIT = 1.5, 8.0
EVERY = 250
TURNS = 3


def main() -> int:
    warnings.simplefilter("ignore")  # of Python, about the files
    library = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("**/*.py"))[::EVERY]
    packages = sorted(Path(sysconfig.get_paths()["purelib"]).glob("**/*.py"))[::EVERY]
    idle = [p for p in [*library, *packages] if is_kind(p, loop=False)]
    loops = [p for p in sorted(REPOSITORY.glob("samples/*/train.py")) if is_kind(p, loop=True)]
    ratio_of_idle, _ = compare("without a loop", idle, IDLE_LIMIT)
    ratio_of_loops, median = compare("with a loop", loops, LOOP_LIMIT)
    return ratio_of_idle > IDLE_LIMIT or max(ratio_of_loops, median) > LOOP_LIMIT


def is_kind(path: Path, loop: bool) -> bool:
    """Has a file, which both can read, a loop or none? Asking warms up what both import."""
    try:
        libcst.parse_module(path.read_bytes())
    except Exception:  # no Python 3, no text: libcst has many ways to say so
        return False
    status = convert(path.read_bytes()).status
    return status in (Status.CONVERTED, Status.REFUSED) if loop else status is Status.NO_LOOP


def compare(kind: str, paths: list[Path], limit: float) -> tuple[float, float]:
    """The ratio of all the time, and the median of each file's."""
    converting, parsing = [], []
    for path in paths:
        source = path.read_bytes()
        pairs = [(seconds(convert, source), seconds(libcst.parse_module, source)) for _ in range(TURNS)]
        converting.append(min(c for c, _ in pairs))
        parsing.append(min(p for _, p in pairs))
    total = sum(converting) / sum(parsing)
    median = statistics.median(c / p for c, p in zip(converting, parsing, strict=True))
    print(
        f"convert {len(paths)} files {kind}: {total:.2f} times parsing them with libcst "
        f"({1000 * sum(converting):.0f} to {1000 * sum(parsing):.0f} ms), median of each {median:.2f}; limit {limit}"
    )
    return total, median


def seconds(work: Callable[[bytes], object], source: bytes) -> float:
    began = time.process_time()
    work(source)
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
