"""What one training step and one evaluated batch cost, as ratios to a bare loop. Exits 1 over a limit.

A small network on the CPU, one thread. A bare PyTorch loop does ``zero_grad``, forward, ``backward`` and ``step`` over
a ``DataLoader`` and nothing else; each other row does the same over the same data, through torchlift, lightning,
accelerate or ignite, and is timed from just before the first batch to just after the last. (torchlift clears gradients
without the range that ``Optimizer.zero_grad`` opens for a profiler; so it can come out below 1.) The bare evaluation
loop runs under ``no_grad``, as scripts do; the two runtimes evaluate under ``inference_mode``, their default, which
gains part of what they cost: the row of a bare loop under it says how much.

Rows take turns, in a new order in each of many short rounds of one process. Each is compared with the bare loop of its
round, and the median of the ratios counts. They are of CPU time, so that other programs on the machine matter little;
those of wall-clock time stand beside them.

    python tests/benchmarks/bench_step.py [--steps 300] [--rounds 30]
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.util
import io
import logging
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).parents[2] / "runtime"))

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LIMITS = {"torchlift, log and bar": 1.10, "torchlift": 1.05, "torchlift, evaluation": 1.05}


class Seconds(NamedTuple):
    cpu: float
    wall: float


def now() -> Seconds:
    return Seconds(time.process_time(), time.perf_counter())


def since(start: Seconds) -> Seconds:
    end = now()
    return Seconds(end.cpu - start.cpu, end.wall - start.wall)


Row = Callable[[int], Seconds]


def loader(steps: int) -> DataLoader:
    torch.manual_seed(0)
    return DataLoader(TensorDataset(torch.randn(steps * 4, 32), torch.randint(0, 10, (steps * 4,))), batch_size=4)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


def bare(steps: int) -> Seconds:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batches = loader(steps)
    start = now()
    for x, y in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    return since(start)


def bare_evaluation(context: Callable[[], Any]) -> Row:
    def run(steps: int) -> Seconds:
        model = net().eval()
        batches = loader(steps)
        start = now()
        with context():
            for x, y in batches:
                nn.functional.cross_entropy(model(x), y)
        return since(start)

    return run


def trained(name: str, log: bool, evaluates: bool = False) -> Row:
    """An epoch on a runtime with Lightning's API, with or without one ``self.log`` and the progress bar."""
    L = importlib.import_module(name)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            x, y = batch
            loss = nn.functional.cross_entropy(self.net(x), y)
            if log:
                self.log("loss", loss, prog_bar=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            x, y = batch
            nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    class Clock(L.Callback):
        def on_train_start(self, *args: Any) -> None:
            self.start = now()

        def on_train_end(self, *args: Any) -> None:
            self.taken = since(self.start)

        on_validation_start, on_validation_end = on_train_start, on_train_end

    def run(steps: int) -> Seconds:
        clock = Clock()
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=log,
            enable_model_summary=False,
            callbacks=[clock],
        )
        if evaluates:
            trainer.validate(Module(), loader(steps), verbose=False)
        else:
            trainer.fit(Module(), loader(steps))
        return clock.taken

    return run


def accelerated(steps: int) -> Seconds:
    from accelerate import Accelerator

    accelerator, module = Accelerator(cpu=True), net()
    raw = torch.optim.SGD(module.parameters(), lr=0.01)
    model, optimizer, batches = accelerator.prepare(module, raw, loader(steps))
    start = now()
    for x, y in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        accelerator.backward(loss)
        optimizer.step()
    return since(start)


def ignited(steps: int) -> Seconds:
    from ignite.engine import create_supervised_trainer

    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    engine = create_supervised_trainer(model, optimizer, nn.functional.cross_entropy)
    batches = loader(steps)
    start = now()
    engine.run(batches, max_epochs=1)
    return since(start)


def installed(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if importlib.util.find_spec(name) is not None:
            yield name
        else:
            print(f"{name} is not installed, so it is not in the table (pip install 'torchlift[bench]').")


def rows() -> tuple[dict[str, Row], dict[str, Row]]:
    """Training and evaluation; the first row of each is the yardstick."""
    training: dict[str, Row] = {"bare loop": bare}
    evaluation: dict[str, Row] = {
        "bare evaluation": bare_evaluation(torch.no_grad),
        "bare, inference_mode": bare_evaluation(torch.inference_mode),
    }
    for name in ("torchlift", *installed(("lightning",))):
        training[f"{name}, log and bar"] = trained(name, log=True)
        training[name] = trained(name, log=False)
        evaluation[f"{name}, evaluation"] = trained(name, log=False, evaluates=True)
    others = {"accelerate": accelerated, "ignite": ignited}
    training |= {name: others[name] for name in installed(tuple(others))}
    return training, evaluation


def measure(rows: dict[str, Row], steps: int, rounds: int) -> dict[str, list[Seconds]]:
    """What each row took in each round; a first round warms up."""
    times: dict[str, list[Seconds]] = {name: [] for name in rows}
    order = list(rows)
    for number in range(rounds + 1):
        random.Random(number).shuffle(order)
        for name in order:
            gc.collect()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                taken = rows[name](steps)
            if number:
                times[name].append(taken)
    return times


def report(times: dict[str, list[Seconds]], steps: int) -> bool:
    """Print a table, the first row being the yardstick; whether all limits hold."""
    yardstick = next(iter(times.values()))
    fine = True
    for name, values in times.items():
        cpu = statistics.median(value.cpu / base.cpu for value, base in zip(values, yardstick))
        wall = statistics.median(value.wall / base.wall for value, base in zip(values, yardstick))
        over = name in LIMITS and cpu > LIMITS[name]
        fine &= not over
        note = f"  (limit {LIMITS[name]:.2f}{', OVER' if over else ''})" if name in LIMITS else ""
        taken = statistics.median(value.cpu for value in values) / steps * 1e6
        print(f"{name:24} {taken:8.1f} us/step  x{cpu:.2f}  wall x{wall:.2f}{note}", flush=True)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    results = [report(measure(table, options.steps, options.rounds), options.steps) for table in rows()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
