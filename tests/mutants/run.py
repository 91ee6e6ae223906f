"""Test the tester: `verify` has to catch every wrong twin of three small scripts, and to pass the right ones.

    python tests/mutants/run.py [NAME...]

The twins are in mutants.toml. Prints one line for each and exits 1 when a wrong one survives or a right one fails.
"""

from __future__ import annotations

import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(HERE.parents[1] / "runtime"))  # for a checkout that is not installed

from torchlift.verify.compare import compare  # noqa: E402
from torchlift.verify.launch import ForkServer, Launcher  # noqa: E402
from torchlift.verify.records import Trace  # noqa: E402
from torchlift.verify.run import Run, trace  # noqa: E402
from torchlift.verify.verdict import Answer, Verdict  # noqa: E402

# torch._dynamo is what the first optimizer imports, in a second or more
PRELOAD = ("torch", "torch._dynamo", "numpy", "sklearn.datasets", "torch.utils.tensorboard")


@dataclass(frozen=True)
class Twin:
    """A script in which `old`, found exactly once, became `new`; `expected` is the answer that verify owes."""

    name: str
    script: str
    old: str
    new: str
    expected: Answer

    def text(self, original: str) -> str:
        if original.count(self.old) != 1:
            raise ValueError(f"{self.name!r}: {self.old!r} stands {original.count(self.old)} times in {self.script}.py")
        return original.replace(self.old, self.new)


def twins() -> list[Twin]:
    data = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
    wrong = [Twin(**item, expected=Answer.DIFFERS) for item in data["mutant"]]
    return wrong + [Twin(**item, expected=Answer.EXACT) for item in data["twin"]]


def verdicts(chosen: Sequence[Twin], launcher: Launcher) -> Iterator[tuple[Twin, Verdict]]:
    """Each original is run twice, to be known as reproducible, and each twin once."""
    originals: dict[str, Trace] = {}
    with tempfile.TemporaryDirectory(prefix="torchlift-mutants-") as folder:
        for twin in chosen:
            source = (HERE / "scripts" / f"{twin.script}.py").read_text(encoding="utf-8")
            if twin.script not in originals:
                first, again = (_traced(source, twin.script, Path(folder), launcher) for _ in range(2))
                alone = compare(first, again)
                if alone.answer is not Answer.EXACT:
                    raise RuntimeError(f"{twin.script}.py against itself: {alone.sentence}")
                originals[twin.script] = first
            twin_trace = _traced(twin.text(source), twin.script, Path(folder), launcher)
            yield twin, compare(originals[twin.script], twin_trace)


def _traced(source: str, name: str, folder: Path, launcher: Launcher) -> Trace:
    root = folder / "source"
    root.mkdir(exist_ok=True)
    script = root / f"{name}.py"
    script.write_text(source, encoding="utf-8")
    found = trace(Run(script, root, root, timeout=60.0), launcher, folder)
    script.unlink()
    return found


def main(names: Sequence[str]) -> int:
    chosen = [twin for twin in twins() if not names or twin.name in names]
    wrong = 0
    with ForkServer(PRELOAD) as server:
        for twin, verdict in verdicts(chosen, server):
            good = verdict.answer is twin.expected
            wrong += not good
            print(f"{'ok ' if good else 'BAD'}  {twin.script:11} {twin.name:58} {verdict.sentence}", flush=True)
    caught = sum(twin.expected is Answer.DIFFERS for twin in chosen)
    print(f"{caught} wrong twins and {len(chosen) - caught} right ones: {wrong or 'none'} judged wrongly")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
