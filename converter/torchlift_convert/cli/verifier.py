"""Starting the verifier, which needs torch and therefore lives in the runtime: it is known here by its name only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from torchlift_convert.cli import cells
from torchlift_convert.cli.exits import ExitCode
from torchlift_convert.files import FileProblem
from torchlift_convert.report import Answer, Verdict

ANSWERS: dict[int, Answer] = {ExitCode.DONE: Answer.EXACT, ExitCode.LEFT: Answer.DIFFERS}

# As `python -m torchlift.verify`, but a torch that is missing or broken gets a sentence and exit code 2: the traceback
# of a plain -m would end with 1, which means that the two scripts differ.
BOOT = """
import runpy, sys
try:
    import torch, torchlift
except Exception as error:
    print(f"error: verify runs both scripts with {sys.executable}, which cannot import torch and torchlift: {error}."
          " Remedy: run torchlift from the environment that trains.")
    sys.exit(2)
runpy.run_module("torchlift.verify", run_name="__main__", alter_sys=True)
"""


def command(arguments: Sequence[str]) -> list[str]:
    """The verifier's command line. -P: a script's own random.py in this folder must not shadow the library's."""
    return [sys.executable, "-P", "-c", BOOT, *arguments]


def pass_on(arguments: Sequence[str]) -> int:
    """Run the verifier on this terminal and return how it ended; an end by a signal counts as no answer."""
    with ExitStack() as stack:
        try:
            runnable = [stack.enter_context(cells.as_script(a)) for a in scripts_of(arguments)]
        except FileProblem as problem:
            print(f"error: {problem}", file=sys.stderr)
            return ExitCode.UNUSABLE
        process = subprocess.Popen(command([*runnable, *arguments[len(runnable) :]]))
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:  # the terminal told the verifier as well: let it tidy up its own runs
                continue
            return code if code >= 0 else ExitCode.UNUSABLE


def scripts_of(arguments: Sequence[str]) -> Sequence[str]:
    """The verifier's own arguments, among which the two scripts are; what follows -- is the scripts'."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def prover(
    script_arguments: Sequence[str],
    steps: int | None = None,
    timeout: float | None = None,
    roots: tuple[Path, Path] | None = None,
) -> Callable[[Path, Path], Verdict]:
    """What compares two scripts by running them with these arguments, within these bounds.

    ``roots``: the folders that the two runs get copies of; None: each script's own.
    """
    given: list[tuple[str, object]] = [("steps", steps), ("timeout", timeout)]
    if roots is not None:
        given += [("root", os.path.abspath(roots[0])), ("root-after", os.path.abspath(roots[1]))]
    options = [f"--{name}={value}" for name, value in given if value is not None]
    return lambda before, after: compare(before, after, options, script_arguments)


def compare(before: Path, after: Path, options: Sequence[str], script_arguments: Sequence[str]) -> Verdict:
    """Run both scripts. What the verifier says goes to standard error; its verdict comes back through a file.

    A verifier that writes no verdict has given no answer, however it ended.
    """
    with tempfile.TemporaryDirectory(prefix="torchlift-verdict-") as folder:
        report = Path(folder, "verdict.json")
        with cells.as_script(os.path.abspath(before)) as one, cells.as_script(os.path.abspath(after)) as other:
            code, said = overheard([one, other, *options, f"--report={report}", "--", *script_arguments])
        if not report.exists():
            return Verdict(Answer.NO_ANSWER, said or f"the verifier ended with exit code {code} and said nothing")
        verdict = json.loads(report.read_text(encoding="utf-8"))["verdict"]
    answer = ANSWERS.get(verdict["exit_code"], Answer.NO_ANSWER)
    return Verdict(answer, verdict["sentence"], verdict["counts"]["steps"])


def overheard(arguments: Sequence[str]) -> tuple[int, str]:
    """Run the verifier, repeating on standard error what it says as it says it; its exit code and its last line."""
    said = ""
    with subprocess.Popen(
        command(arguments), stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="", file=sys.stderr, flush=True)
                said = line.strip() or said
            return process.wait(), said
        except KeyboardInterrupt:  # the terminal told the verifier as well: let it tidy up its own runs
            process.wait()
            raise
