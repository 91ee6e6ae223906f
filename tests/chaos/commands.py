"""The commands that change a folder, killed at their changes of the disk: the old files are there, or the new ones."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("converter", "templates")),
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Command:
    """A command that changes a folder as a whole: what it is given, and the files that stand for before and after."""

    arguments: tuple[str, ...]
    given: dict[str, bytes]

    def run(self, folder: Path, fatal: int) -> tuple[int, int]:
        """Its exit status, and how many changes of the disk it made (0 when it was killed)."""
        module = [sys.executable, str(HERE / "dying.py"), str(fatal), str(folder), "torchlift_convert"]
        done = subprocess.run([*module, *self.arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
        return done.returncode, int(done.stderr.split()[-1]) if done.returncode >= 0 else 0


def commands() -> dict[str, Command]:
    script = (ROOT / "samples" / "digits_mlp" / "train.py").read_bytes()
    return {
        "convert --in-place": Command(("convert", "--in-place", "train.py"), {"train.py": script}),
        "convert": Command(("convert", "train.py"), {"train.py": script}),
        "scaffold": Command(("scaffold", "demo"), {}),
    }


def kill_command(command: Command, kills: int, chance: random.Random) -> tuple[int, list[str]]:
    """Kill it at ``kills`` different changes of the disk, or at each. Returns how often, and what was lost."""
    lost: list[str] = []
    with tempfile.TemporaryDirectory(prefix="torchlift-chaos-") as root:
        status, changes = command.run(prepared(command, Path(root, "whole")), 0)
        if status not in (0, 1):
            raise RuntimeError(f"{command.arguments} ended with status {status}")
        after = visible(Path(root, "whole"))
        chosen = sorted(chance.sample(range(1, changes + 1), min(kills, changes)))
        for fatal in chosen:
            folder = prepared(command, Path(root, str(fatal)))
            status, _ = command.run(folder, fatal)
            lost += [f"change {fatal}: {sentence}" for sentence in _between(visible(folder), command.given, after)]
            if status != -signal.SIGKILL:
                lost.append(f"change {fatal}: it was not killed, it ended with status {status}")
            elif visible(folder) == command.given:  # nothing of the first try is in the way of the second
                command.run(folder, 0)
                lost += [f"change {fatal}, again: {name} differs" for name in _unlike(visible(folder), after)]
    return len(chosen), lost


def prepared(command: Command, folder: Path) -> Path:
    folder.mkdir()
    for name, content in command.given.items():
        (folder / name).write_bytes(content)
    return folder


def visible(folder: Path) -> dict[str, bytes]:
    """Every file but those below a hidden name, which nobody takes for a result."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if not any(part.startswith(".") for part in Path(name).parts[:1])
    }


def _between(now: dict[str, bytes], before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[str]:
    """What is neither as it was nor as it will be, and what was replaced with no copy left."""
    for name, content in now.items():
        if content not in (before.get(name), after.get(name)):
            yield f"{name} is neither the old file nor the new one"
    yield from (f"{name} is gone" for name in before if name not in now)
    yield from (f"nothing holds the old {name}" for name, content in before.items() if content not in now.values())
    folders = {name.split("/")[0] for name in now if "/" in name}
    for folder in folders:
        if missing := [name for name in after if name.startswith(f"{folder}/") and name not in now]:
            yield f"{folder} is there without {missing[0]}"


def _unlike(now: dict[str, bytes], then: dict[str, bytes]) -> list[str]:
    return sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
