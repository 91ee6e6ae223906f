#!/usr/bin/env python3
"""Measure the converter on public scripts and write docs/corpus.md.

    run.py --corpus DIR --src SRC [--work WORK] [--python PY] [--only 'ex-*,yj-*']

DIR holds the harness (``compare.py`` and ``manifest.yaml``), SRC the checked-out scripts; neither belongs to this
repository. PY is a Python that has torch, torchlift and what the scripts import. The scripts run: only give sources
that you trust. With --only the page goes to standard output, since a part of the table must not replace the whole.
Exit code 0 when no script is wrong, 1 when one is (see the page's first section), 2 when the input cannot be used.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from report import Details, Row, build_row, markdown, printed_verdict

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "corpus.md"
CONVERTER = f"{shlex.quote(str(Path(sys.executable).with_name('torchlift')))} convert {{script}} -o {{out}}"
IDENTITY = "{python} {here}/converters/identity.py {script} {out}"


class Unusable(Exception):
    """The corpus cannot be measured; the text says why."""


def main() -> int:
    options = arguments().parse_args()
    try:
        rows = measure(options)
    except Unusable as why:
        print(why, file=sys.stderr)
        return 2
    return publish(rows, options.output or (None if options.only else PAGE))


def arguments() -> argparse.ArgumentParser:
    """The options; SRC, WORK, PY and ONLY of the environment stand in for those left out (`make corpus` sets them)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    env = os.environ.get
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--src", type=Path, default=env("SRC"))
    parser.add_argument("--work", type=Path, default=Path(env("WORK") or REPOSITORY / "out" / "corpus"))
    parser.add_argument("--python", default=env("PY") or sys.executable)
    parser.add_argument("--only", default=env("ONLY") or None, help="names or patterns of entries, with commas between")
    parser.add_argument("--manifest", type=Path, help="another manifest than the harness's own")
    parser.add_argument("--converter", default=CONVERTER, help="another converter, for checking the harness itself")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, help="where the page goes")
    return parser


def measure(options: argparse.Namespace) -> list[Row]:
    """Convert, run and compare every entry, and judge it."""
    if not (options.corpus / "compare.py").is_file():
        raise Unusable(f"{options.corpus} holds no compare.py: --corpus is the folder of the harness.")
    if options.src is None or not Path(options.src).is_dir():
        raise Unusable(f"{options.src} is not a folder of scripts: say with --src (or SRC=) where they lie.")
    options.work.mkdir(parents=True, exist_ok=True)
    harness = load_harness(options.corpus)
    entries: list[dict[str, Any]] = harness.load(options.manifest, options.only)
    again = repeat_originals(options, entries)
    results = {result["id"]: result for result in compare(options, options.converter)}
    ours = options.converter == CONVERTER
    rows = []
    for entry in entries:
        details = explain(harness, options.work, entry) if ours else Details()
        lines = printed(harness, options.work, entry["id"], again)
        rows.append(build_row(entry, results[entry["id"]], details, lines))
    return rows


def load_harness(corpus: Path) -> ModuleType:
    """The harness's shared part (the manifest's reader), imported by its place."""
    spec = importlib.util.spec_from_file_location("corpus", corpus / "corpus.py")
    if spec is None or spec.loader is None:
        raise Unusable(f"{corpus} holds no corpus.py.")
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # the harness's folder may be read-only
    spec.loader.exec_module(module)
    return module


def compare(options: argparse.Namespace, converter: str, only: str | None = None) -> list[dict[str, Any]]:
    """Run compare.py and read its answer; what it prints goes to standard error."""
    only = only or options.only
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "results.json"
        command = [sys.executable, str(options.corpus / "compare.py"), "--src", str(options.src)]
        command += ["--work", str(options.work), "--fast", "--jobs", str(options.jobs), "--python", options.python]
        command += ["--converter", converter, "--json", str(answer)]
        command += ["--only", only] if only else []
        command += ["--manifest", str(options.manifest)] if options.manifest else []
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, stdout=sys.stderr, env=env)
        if done.returncode or not answer.exists():
            raise Unusable(f"compare.py stopped with exit code {done.returncode}.")
        results: list[dict[str, Any]] = json.loads(without_places(answer.read_text(), options.work))
        return results


def without_places(text: str, work: Path) -> str:
    """The text with each script named inside its project, not by where this machine keeps its copy."""
    return re.sub(re.escape(f"{work.resolve()}/") + r"(conv/[^/\"]+/)?", "", text)


def repeat_originals(options: argparse.Namespace, entries: Sequence[Mapping[str, Any]]) -> Path:
    """Run each original a second time, once for ever: what differs between two runs of it says nothing about ours.

    Returns:
        The folder that holds what the second runs printed, one file an entry.
    """
    folder: Path = options.work / "again"
    folder.mkdir(exist_ok=True)
    missing = [e["id"] for e in entries if e.get("run") is not False and not (folder / f"{e['id']}.printed").exists()]
    for result in compare(options, IDENTITY, ",".join(missing)) if missing else []:
        if not result.get("cmp", {}).get("identical"):
            raise Unusable(
                f"{result['id']}: two runs of the original differ or fail, so nothing can be measured on it."
            )
        shutil.copy(options.work / "ctraces" / f"{result['id']}.printed", folder)
    return folder


def printed(harness: ModuleType, work: Path, name: str, again: Path) -> str | None:
    """Compare what original and result printed; None where one of them did not run."""
    files = [work / "traces" / f"{name}.printed", again / f"{name}.printed", work / "ctraces" / f"{name}.printed"]
    if not all(file.exists() for file in files):
        return None
    return printed_verdict(*(harness.printed(file.read_text(encoding="utf-8")) for file in files))


def explain(harness: ModuleType, work: Path, entry: Mapping[str, Any]) -> Details:
    """Ask the converter about the copy of the script that compare.py prepared in WORK (edited for small runs)."""
    from torchlift_convert.api import convert
    from torchlift_convert.types import Options

    script = work / "conv" / entry["id"] / harness.script_of(entry)
    try:
        result = convert(script.read_bytes(), Options(filename=script.name))
    except Exception as bug:  # a crash is compare.py's to report; here it only leaves columns empty
        print(f"{entry['id']}: {bug!r}", file=sys.stderr)
        return Details()
    first = next((f"{d.code} line {d.span}: {d.message}" for d in result.refusals), "")
    return Details(
        optimization=str(result.optimization or ""),
        datamodule=bool(result.datamodule) if result.code is not None else None,
        refusal=first,
    )


def publish(rows: Sequence[Row], page: Path | None) -> int:
    """Write the page, or print it; say in the exit code whether a script came out wrong."""
    text = markdown(rows)
    if page is None:
        print(text, end="")
    else:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
        print(f"wrote {page}", file=sys.stderr)
    wrong = [row.id for row in rows if row.alarms]
    if wrong:
        print(f"wrong: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
