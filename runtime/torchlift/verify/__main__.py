"""`python -m torchlift.verify BEFORE AFTER`: run both scripts and compare every loss and every weight bit for bit."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from torchlift.verify import report, scratch
from torchlift.verify.prove import Limits, Proof, plan, prove
from torchlift.verify.run import TARGETS, Run
from torchlift.verify.verdict import Answer, Verdict

BUG = 3
Say = Callable[[str], None]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torchlift verify",
        description="Runs BEFORE twice and AFTER once; compares every loss, weight, printed line and file bit for bit.",
        epilog="Exit status: 0 equal; 1 they differ; 2 no answer (not reproducible, could not be run, no training).",
    )
    parser.add_argument("before", metavar="BEFORE", type=Path, help="the original script")
    parser.add_argument("after", metavar="AFTER", type=Path, help="what it became")
    parser.add_argument("args", metavar="-- ARGS", nargs="*", help="handed to both scripts")
    parser.add_argument("--steps", type=_positive(int), metavar="N", help="stop both before optimizer step N + 1")
    parser.add_argument(
        "--timeout", type=_positive(float), default=600.0, metavar="S", help="seconds for each run (600)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="for Python, numpy and torch (0)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the folder to copy (default: that of the script)")
    parser.add_argument(
        "--root-after", type=Path, metavar="DIR", help="the folder to copy for AFTER, when it is another"
    )
    linked = "a folder below the root to link instead of copying; the scripts must only read there"
    parser.add_argument("--link", type=Path, action="append", default=[], metavar="DIR", help=linked)
    parser.add_argument("--target", choices=sorted(TARGETS), help="run AFTER on this runtime, whichever it imports")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="of the verdict on standard output")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the verdict and both traces there, as JSON")
    return parser


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return parse


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    own, args = (given[: given.index("--")], given[given.index("--") + 1 :]) if "--" in given else (given, [])
    options = _parser().parse_args(own)
    notices = sys.stdout if options.format == "text" else sys.stderr

    def say(line: str) -> None:
        print(line, file=notices, flush=True)

    try:
        proof = _prove(options, (*options.args, *args), say)
        if options.report:
            options.report.write_text(json.dumps(report.data(proof)), encoding="utf-8")
    except (scratch.ScratchError, OSError) as error:
        proof = Proof(Verdict(Answer.ERROR, f"error: {error}"))
    except KeyboardInterrupt:
        proof = Proof(Verdict(Answer.ERROR, "error: interrupted"))
    print(
        report.text(proof) if options.format == "text" else json.dumps(report.verdict_data(proof.verdict)), flush=True
    )
    return proof.verdict.exit_code


def _prove(options: argparse.Namespace, args: tuple[str, ...], say: Say) -> Proof:
    for path in (options.before, options.after):
        if not path.is_file():
            raise scratch.ScratchError(f"{path} is no file.")
    limits = Limits(options.steps, options.timeout, options.seed)
    links = tuple(options.link)
    before, after = plan(
        options.before, options.after, args, limits, options.root, links, options.target, options.root_after
    )
    _announce(before, after, say)
    return prove(before, after, say=say)


def _announce(before: Run, after: Run, say: Say) -> None:
    size = scratch.measure(before.root, before.linked)
    say(
        f"verify runs {before.script.name} twice and {after.script.name} once, seed {before.seed}, "
        f"each in a scratch copy of {before.root} ({size})."
    )
    say("The files there stay as they are; what the scripts do elsewhere (absolute paths, network) really happens.")
    if size.bytes > scratch.LARGE:
        say("That is a large folder: --link DIR spares the copying of a folder that the scripts only read.")


if __name__ == "__main__":
    try:
        status = main()
    except Exception:  # our own bug: Python's status for it, 1, would read as "they differ"
        traceback.print_exc()
        status = BUG
    sys.exit(status)
