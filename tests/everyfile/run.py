"""Convert every Python file in sight: the standard library's and every installed package's.

Nearly all have no training loop. None may crash the converter, whatever is in it, and each has to be answered with a
result of its own kind. Exits 1 when one crashed.

    python tests/everyfile/run.py [--jobs N] [--mentioning WORD] [FOLDER ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torchlift_convert.api import convert
from torchlift_convert.types import Options

SLOWEST = 15
INTERNAL = "TL900"  # the code of an error of the converter's own


@dataclass(frozen=True)
class Answer:
    """What the converter said of one file. ``seconds``: of the processor. ``crash``: the traceback, if there is one."""

    path: Path
    status: str
    seconds: float
    crash: str = ""


def every_file(folders: Iterable[Path]) -> list[Path]:
    """All Python files of some folders, each once, in order."""
    return sorted({path for folder in folders for path in folder.rglob("*.py") if path.is_file()})


def installed() -> list[Path]:
    """The standard library and what is installed beside it."""
    paths = sysconfig.get_paths()
    return [Path(paths[name]) for name in ("stdlib", "purelib", "platlib")]


def answer(path: Path) -> Answer:
    """Convert one file, and keep what went wrong."""
    source = path.read_bytes()
    began = time.process_time()
    status, crash = "crash", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python, about the file
            result = convert(source, Options(filename=path.name))
        status = result.status.value
        own = [d for d in result.diagnostics if d.code == INTERNAL]
        crash = f"{own[0].message}\n" if own else ""
    except Exception:
        crash = traceback.format_exc()
    return Answer(path, status, time.process_time() - began, crash)


def answers(paths: list[Path], jobs: int) -> Iterator[Answer]:
    """The answers, in the order of the files."""
    if jobs == 1:
        yield from map(answer, paths)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(answer, paths, chunksize=16)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="instead of all that is installed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--mentioning", default="", metavar="WORD", help="only files with this word in them")
    options = parser.parse_args()
    word = options.mentioning.encode()
    paths = [p for p in every_file(options.folders or installed()) if word in p.read_bytes()]
    began, given = time.perf_counter(), []
    for number, one in enumerate(answers(paths, options.jobs), 1):
        given.append(one)
        if one.crash:
            print(f"{one.path}\n{one.crash}", flush=True)
        if number % 1000 == 0:
            print(f"{number} of {len(paths)} files, {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{len(given)} files in {time.perf_counter() - began:.0f} s:", dict(Counter(a.status for a in given)))
    print("Slowest, in seconds of the processor:")
    for one in sorted(given, key=lambda a: a.seconds, reverse=True)[:SLOWEST]:
        print(f"{one.seconds:8.2f}  {one.status:12}  {one.path}")
    crashed = sum(bool(a.crash) for a in given)
    print("No file crashed the converter." if not crashed else f"{crashed} files crashed the converter.")
    return bool(crashed)


if __name__ == "__main__":
    sys.exit(main())
