"""What one training step costs, as a ratio to a bare loop. Exits 1 over a limit.

A small network on the CPU, one thread; a bare PyTorch loop, torchlift and lightning in turns, round after round, in one
process. Each row is compared with the bare loop of the same round, and the median of these ratios counts: a machine
that is busy for a while slows both sides of a ratio.

    python tests/benchmarks/bench_step.py [--steps 1000] [--rounds 11]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).parents[2] / "runtime"))

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LIMITS = {"torchlift, log and bar": 1.25, "torchlift": 1.15}
EVALUATION_LIMITS = {"torchlift, evaluation": 1.25}


def loader(steps: int) -> DataLoader:
    torch.manual_seed(0)
    return DataLoader(TensorDataset(torch.randn(steps * 4, 32), torch.randint(0, 10, (steps * 4,))), batch_size=4)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))


def bare(steps: int) -> float:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    batches = loader(steps)
    start = time.perf_counter()
    for x, y in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def bare_evaluation(steps: int) -> float:
    model = net().eval()
    batches = loader(steps)
    start = time.perf_counter()
    with torch.no_grad():
        for x, y in batches:
            nn.functional.cross_entropy(model(x), y)
    return time.perf_counter() - start


def trained(name: str, log: bool, evaluates: bool = False) -> Callable[[int], float]:
    """The time between the start and the end of an epoch on a runtime, with or without logging and a progress bar."""
    L = importlib.import_module(name)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def loss(self, batch: Any) -> torch.Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.net(x), y)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = self.loss(batch)
            if log:
                self.log("loss", loss, prog_bar=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.loss(batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    def run(steps: int) -> float:
        times = {}

        class Clock(L.Callback):
            def on_train_start(self, *args: Any) -> None:
                times["start"] = time.perf_counter()

            def on_train_end(self, *args: Any) -> None:
                times["end"] = time.perf_counter()

            on_validation_start, on_validation_end = on_train_start, on_train_end

        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=log,
            enable_model_summary=False,
            callbacks=[Clock()],
        )
        if evaluates:
            trainer.validate(Module(), loader(steps), verbose=False)
        else:
            trainer.fit(Module(), loader(steps))
        return times["end"] - times["start"]

    return run


def measure(rows: dict[str, Callable[[int], float]], steps: int, rounds: int) -> dict[str, list[float]]:
    """The seconds of each row in each round; a first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds + 1):
        for name, run in rows.items():
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                seconds = run(steps)
            if number:
                times[name].append(seconds)
    return times


def report(times: dict[str, list[float]], limits: dict[str, float], steps: int) -> bool:
    """Print a table, the first row being the yardstick; whether all limits hold."""
    yardstick = next(iter(times.values()))
    fine = True
    for name, values in times.items():
        ratio = statistics.median(value / base for value, base in zip(values, yardstick))
        over = name in limits and ratio > limits[name]
        fine &= not over
        note = f"  (limit {limits[name]:.2f}{', OVER' if over else ''})" if name in limits else ""
        print(f"{name:26} {statistics.median(values) / steps * 1e6:8.1f} us/step  x{ratio:.2f}{note}", flush=True)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    training = {
        "bare loop": bare,
        "torchlift, log and bar": trained("torchlift", log=True),
        "torchlift": trained("torchlift", log=False),
    }
    evaluation = {
        "bare evaluation": bare_evaluation,
        "torchlift, evaluation": trained("torchlift", log=False, evaluates=True),
    }
    with contextlib.suppress(ImportError):
        training["lightning, log and bar"] = trained("lightning", log=True)
        training["lightning"] = trained("lightning", log=False)
        evaluation["lightning, evaluation"] = trained("lightning", log=False, evaluates=True)
    fine = report(measure(training, options.steps, options.rounds), LIMITS, options.steps)
    fine &= report(measure(evaluation, options.steps, options.rounds), EVALUATION_LIMITS, options.steps)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
