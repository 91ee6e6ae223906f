"""Starting the verifier, which needs torch and therefore lives in the runtime: it is known here by its name only."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from torchlift_convert.cli.exits import ExitCode
from torchlift_convert.report import Answer, Verdict

MODULE = "torchlift.verify"
NEEDED = ("torch", "torchlift")
ANSWERS: dict[int, Answer] = {ExitCode.DONE: Answer.EXACT, ExitCode.LEFT: Answer.DIFFERS}


def missing() -> str:
    """A sentence when the verifier cannot run in this interpreter, else ''. Imports nothing."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    return (
        f"verify runs both scripts with {sys.executable}, which has no {' and no '.join(absent)}. "
        f"Remedy: install it there, or run torchlift from the environment that trains."
    )


def command(arguments: Sequence[str]) -> list[str]:
    """The verifier's command line. -P: a script's own random.py in this folder must not shadow the library's."""
    return [sys.executable, "-P", "-m", MODULE, *arguments]


def pass_on(arguments: Sequence[str]) -> int:
    """Run the verifier on this terminal and return how it ended; an end by a signal counts as no answer."""
    process = subprocess.Popen(command(arguments))
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the terminal told the verifier as well: let it tidy up its own runs
            continue
        return code if code >= 0 else ExitCode.UNUSABLE


def prover(script_arguments: Sequence[str]) -> Callable[[Path, Path], Verdict]:
    """What compares two scripts by running them with these arguments."""
    return lambda before, after: compare(before, after, script_arguments)


def compare(before: Path, after: Path, script_arguments: Sequence[str]) -> Verdict:
    """Run both scripts and report what was seen. Whatever the verifier says goes to standard error."""
    if sentence := missing():
        return Verdict(Answer.NO_ANSWER, sentence)
    arguments = [str(before), str(after), *(["--", *script_arguments] if script_arguments else [])]
    process = subprocess.Popen(
        command(arguments), stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    )
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", file=sys.stderr, flush=True)
        said = line.strip() or said
    answer = ANSWERS.get(process.wait(), Answer.NO_ANSWER)
    steps = re.search(r"(\d+) steps?\b", said)
    return Verdict(answer, said, int(steps[1]) if steps and answer is Answer.EXACT else None)
