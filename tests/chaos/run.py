"""Kill training, `convert --in-place` and `scaffold` at any moment: nothing may be lost.

    python tests/chaos/run.py [--kills N] [--seed S]

A run is killed with SIGKILL, from outside when it has reached a step, or by itself at its n-th change of the disk (half
a file written, written but not in place, in place but its folder not synchronised, ...), goes on from the last
checkpoint, is killed again, and so on to its end. The moments are spread evenly over the run. After every kill, and at
the end, the folder is examined; each thing lost is printed as a sentence, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT / "runtime"),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    "CUDA_VISIBLE_DEVICES": "",
}
SCHEDULES = ("epochs", "steps", "link")  # as in training.py
LONGEST = 4  # kills of one run
TOP_K = 2


# -- one life of a training run ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """When to kill: ``part`` (0 to 1) of what is left of the run, counted in steps or in changes of the disk."""

    by: str
    part: float


@dataclass
class Life:
    """What one process reported. ``step`` and ``saved`` are None before the first one."""

    resumed: int | None = None
    step: int | None = None
    saves: list[int] = field(default_factory=list)
    changes: int = 0
    status: int = 0


class Server:
    """Starts a training process for each job."""

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "training.py")],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def train(self, folder: Path, schedule: str, fatal_change: int = 0, fatal_step: int | None = None) -> Life:
        """Train in ``folder`` to the end or to the kill; 0 and None kill nobody."""
        assert self.process.stdin and self.process.stdout
        job = {"folder": str(folder), "schedule": schedule, "fatal": fatal_change}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        life, pid = Life(), 0
        for line in self.process.stdout:
            what, number = line.split()[0], int(line.split()[1])
            if what == "pid":
                pid = number
            elif what == "saved":
                life.saves.append(number)
            elif what == "ended":
                life.status = number
                return life
            else:
                setattr(life, what, number)
            if what == "step" and number == fatal_step:
                os.kill(pid, signal.SIGKILL)  # ours: the server waits for it, so the number is nobody else's
        raise RuntimeError("The training server has ended; its message stands on standard error.")


# -- what a run leaves behind -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Whole:
    """A run that nobody killed: what an interrupted one has to end like."""

    changes: int
    steps: int
    saves: tuple[int, ...]
    final: dict[str, Any]
    best: dict[str, Any]
    rows: frozenset


def uninterrupted(server: Server, schedule: str, folder: Path) -> Whole:
    life = server.train(folder, schedule)
    if life.status != 0:
        raise RuntimeError(f"An undisturbed run ended with status {life.status}.")
    final = load(folder / "final.ckpt")
    rows, problems = metrics(folder)
    lost = problems + [f"{path} is left over" for path in leftovers(folder)]
    if lost:
        raise RuntimeError(f"An undisturbed run leaves this: {lost}")
    return Whole(life.changes, final["global_step"], tuple(life.saves), final, best(final), rows)


def load(path: Path) -> dict[str, Any]:
    contents: dict[str, Any] = torch.load(path, weights_only=True)
    return contents


def best(contents: dict[str, Any]) -> dict[str, Any]:
    """The best checkpoint, as the ModelCheckpoint in ``contents`` knows it."""
    return load(Path(model_checkpoint(contents)["best_model_path"]))


def model_checkpoint(contents: dict[str, Any]) -> dict[str, Any]:
    (state,) = contents["callbacks"].values()
    return dict(state)


def leftovers(folder: Path) -> list[Path]:
    """Files that are neither a checkpoint nor a log."""
    names = (".ckpt", ".csv", "hparams.yaml")
    return [path for path in folder.rglob("*") if not path.is_dir() and not path.name.endswith(names)]


def metrics(folder: Path) -> tuple[frozenset, list[str]]:
    """The rows of all tables in ``folder``, without their empty cells, and what is wrong with them."""
    rows, problems = set(), []
    for path in sorted(folder.glob("logs/*.csv")):
        text = path.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            problems.append(f"{path.name} ends within a row: {text.splitlines()[-1]!r}")
        for row in csv.DictReader(text.splitlines()):
            try:
                rows.add(frozenset((name, float(value)) for name, value in row.items() if value != ""))
            except (TypeError, ValueError):
                problems.append(f"{path.name} has a row that is not whole: {row}")
    return frozenset(rows), problems


def difference(ours: Any, theirs: Any, path: str = "") -> str:
    """Where two checkpoints differ, bit for bit; empty if nowhere. Paths of files are each run's own."""
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        same = ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.equal(theirs)
        return "" if same else path
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.keys() != theirs.keys():
            return f"the keys of {path}"
        return next((found for key in ours if (found := difference(ours[key], theirs[key], f"{path}.{key}"))), "")
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple) and len(ours) == len(theirs):
        return difference(dict(enumerate(ours)), dict(enumerate(theirs)), path)
    return "" if ours == theirs else f"{path} ({ours!r}, not {theirs!r})"


def trained(contents: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without the callbacks' states, which name files."""
    return {key: value for key, value in contents.items() if key != "callbacks"}


# -- what must hold ---------------------------------------------------------------------------------------------------


def after_kill(folder: Path, life: Life, kept: int, whole: Whole) -> tuple[int, list[str]]:
    """What is lost now, and the step that the next life has to begin at. ``kept`` is that of the life before."""
    lost = []
    for path in folder.rglob("*.ckpt"):
        try:
            contents = load(path)
        except Exception as error:
            lost.append(f"{path.name} cannot be read: {error}")
            continue
        if difference(shapes(contents), shapes(whole.final)):
            lost.append(f"{path.name} is not complete: {difference(shapes(contents), shapes(whole.final))} differ")
    begun = -1 if life.step is None else life.step
    due = max([kept, *life.saves, *(step for step in whole.saves if step <= begun)])
    last = folder / "checkpoints" / "last.ckpt"
    if not last.exists():
        return 0, lost + ([f"there is no last.ckpt, though step {due} was saved"] if due else [])
    contents = load(last)
    if contents["global_step"] < due:
        lost.append(f"last.ckpt holds {contents['global_step']} steps, though step {due} was saved")
    for path, score in model_checkpoint(contents)["best_k_models"].items():
        if not os.path.exists(path):
            lost.append(f"last.ckpt names {os.path.basename(path)} (score {score:.4f}) among the best; it is gone")
    if len(found := leftovers(folder)) > TOP_K + 1:  # one for each checkpoint that is kept
        lost.append(f"half-written files pile up: {[path.name for path in found]}")
    return contents["global_step"], lost + metrics(folder)[1]


def shapes(contents: dict[str, Any]) -> dict[str, Any]:
    """What has to be in every checkpoint of the run, whatever the values."""
    weights = {name: tuple(tensor.shape) for name, tensor in contents["state_dict"].items()}
    moments = [list(map(str, state["state"])) for state in contents["optimizer_states"]]
    return {"keys": sorted(contents), "weights": weights, "moments": moments, "n": len(contents["lr_schedulers"])}


def at_end(folder: Path, kills: int, whole: Whole) -> list[str]:
    """What the finished run has lost against one that was never killed."""
    final = load(folder / "final.ckpt")
    rows, lost = metrics(folder)
    if found := difference(trained(final), trained(whole.final)):
        lost.append(f"the trained model differs at {found}")
    if found := difference(trained(best(final)), trained(whole.best)):
        lost.append(f"the best checkpoint differs at {found}")
    lost += [f"the row {_row(row)} is not in the tables" for row in sorted(whole.rows - rows, key=_row)]
    lost += [f"the row {_row(row)} is in the tables" for row in sorted(rows - whole.rows, key=_row)]
    lost += [f"{path.name} is left over" for path in leftovers(folder)]
    checkpoints = list(folder.glob("checkpoints/*.ckpt"))
    if len(checkpoints) > TOP_K + 1 + kills:
        lost.append(f"checkpoints pile up: {sorted(path.name for path in checkpoints)}")
    return lost


def _row(row: frozenset) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(row))


# -- a run that is killed again and again -----------------------------------------------------------------------------


def interrupted(server: Server, schedule: str, kills: Sequence[Kill], folder: Path, whole: Whole) -> Iterator[str]:
    """Train in ``folder`` with these kills; yields what is lost."""
    begun = 0
    for happened, kill in enumerate([*kills, None]):
        left = (whole.steps - begun) / whole.steps
        fatal_change, fatal_step = 0, None
        if kill is not None and kill.by == "step":
            fatal_step = begun + int(kill.part * (whole.steps - begun))
        elif kill is not None:
            fatal_change = math.ceil(kill.part * left * whole.changes) or 1
        life = server.train(folder, schedule, fatal_change, fatal_step)
        at = f"after kill {happened} ({kill})"
        if life.resumed not in (begun, None):
            yield f"{at}: it begins at step {life.resumed} and not at {begun}"
        if life.status == 0:
            yield from (f"after {happened} kills: {sentence}" for sentence in at_end(folder, happened, whole))
            return
        if life.status != -signal.SIGKILL:
            yield f"{at}: it ended with status {life.status}"
            return
        begun, lost = after_kill(folder, life, begun, whole)
        yield from (f"kill {happened + 1} ({kill}), step {life.step}: {sentence}" for sentence in lost)


def moments(kills: int, chance: random.Random) -> list[list[Kill]]:
    """Kills spread evenly over the run, dealt out to runs of one to four kills."""
    parts = [(number + chance.random()) / kills for number in range(kills)]
    chance.shuffle(parts)
    chosen = [Kill("step" if number % 3 == 0 else "change", part) for number, part in enumerate(parts)]
    runs = []
    while chosen:
        length = chance.randint(1, LONGEST)
        runs.append(chosen[:length])
        chosen = chosen[length:]
    return runs


def training(kills: int, seed: int, schedules: Sequence[str] = SCHEDULES) -> Iterator[tuple[str, list[str]]]:
    """Each run as a sentence, with what it lost. ``kills`` is the number for all schedules together."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="torchlift-chaos-") as folder, Server() as server:
        for number, schedule in enumerate(schedules):
            whole = uninterrupted(server, schedule, new(Path(folder, schedule)))
            runs = moments(len(range(number, kills, len(schedules))), chance)
            for place, run in enumerate(runs):
                lost = list(interrupted(server, schedule, run, new(Path(folder, f"{schedule}-{place}")), whole))
                yield f"{schedule}, run {place}: {', '.join(f'{kill.by} {kill.part:.0%}' for kill in run)}", lost


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder


# -- all of it --------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill training and the commands at any moment; nothing may be lost.")
    parser.add_argument("--kills", type=int, default=200, help="how often to kill training (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    options = parser.parse_args()
    from commands import commands, kill_command  # beside this file

    failures = 0
    for sentence, lost in training(options.kills, options.seed):
        failures += bool(lost)
        print(f"{'LOST' if lost else 'ok  '}  {sentence}", *(f"      {each}" for each in lost), sep="\n", flush=True)
    chance = random.Random(options.seed)
    for name, command in commands().items():
        times, lost = kill_command(command, options.kills, chance)
        failures += bool(lost)
        print(f"{'LOST' if lost else 'ok  '}  {name}, killed at {times} changes of the disk", flush=True)
        print(*(f"      {each}\n" for each in lost), sep="", end="", flush=True)
    print(f"\n{failures} of them lost something." if failures else "\nNothing is lost.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
