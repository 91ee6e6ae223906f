"""The training that is killed, and the server that starts it again and again.

    python training.py      reads jobs as lines of JSON, forks for each, and reports on standard output

A job says where to train, how checkpoints are written and at which change of the disk to die (see `dying.py`). Each is
a process of its own that goes on from the last checkpoint, or from the beginning when there is none; forking saves
only the time to import torch. What it reports, a line each:

    pid N          the process has started
    resumed N      training begins; N steps of the optimizer are behind it
    step N         step N begins
    saved N        the checkpoint to go on from now holds N steps
    changes N      it trained to the end, after so many changes of the disk
    ended N        its exit status; negative: the signal

Nothing is seeded after the start: the order of batches, the noise on the data and the dropout are drawn from the global
generators, as in any script, and the interrupted run has to end in the same bits.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimizer would import it, in every fork anew
from dying import Fuse
from torch import nn
from torch.utils.data import DataLoader, Dataset

import torchlift as L
from torchlift.callbacks import Callback, ModelCheckpoint
from torchlift.loggers import CSVLogger

EPOCHS, BATCHES, BATCH_SIZE = 4, 6, 8
SCHEDULES: dict[str, dict[str, Any]] = {
    "epochs": {"monitor": "val_loss", "save_last": True},
    "steps": {"monitor": "train_loss_step", "save_last": True, "every_n_train_steps": 4},
    "link": {"monitor": "train_loss_step", "save_last": "link", "every_n_train_steps": 4},
}


class Noisy(Dataset):
    """Examples that look a little different each time, through noise of torch's and of Python's generator."""

    def __init__(self, size: int, seed: int, noise: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x, self.noise = torch.randn(size, 12, generator=generator), noise
        self.y = self.x[:, :3].argmax(1)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        return self.x[index] + self.noise * (torch.randn(12) + random.random()), self.y[index]


class Classifier(L.LightningModule):
    """Two layers and all that has a state: buffers, dropout, Adam's moments, a scheduler by epoch and one by step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        random.seed(0)
        self.net = nn.Sequential(nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 3))
        self.data = Noisy(BATCHES * BATCH_SIZE, seed=1, noise=0.1)
        self.held_out = Noisy(16, seed=2)

    def train_dataloader(self) -> Any:
        return DataLoader(self.data, BATCH_SIZE, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.held_out, BATCH_SIZE)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def loss(self, batch: Any) -> torch.Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        return [optimizer], [
            torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5),
            {"scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99), "interval": "step"},
        ]


class Reports(Callback):
    """Says how far the run has come."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        report("resumed", trainer.global_step)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, index: int) -> None:
        report("step", trainer.global_step)


class ReportedCheckpoint(ModelCheckpoint):
    """Says when the file to go on from is in place."""

    def _save_last_checkpoint(self, trainer: Any, metrics: Any) -> None:
        super()._save_last_checkpoint(trainer, metrics)
        report("saved", self._last_global_step_saved)


def report(what: str, number: int) -> None:
    os.write(1, f"{what} {number}\n".encode())  # one line is one write, whole whatever happens next


def train(folder: str, schedule: str, fatal: int) -> None:
    """Go on to the end, or die at the ``fatal``-th change below ``folder``."""
    warnings.simplefilter("ignore")
    for name in ("torchlift", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    fuse = Fuse(fatal, folder)
    fuse.arm()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        log_every_n_steps=1,
        logger=CSVLogger(folder, name="", version="logs"),
        callbacks=[Reports(), ReportedCheckpoint(Path(folder, "checkpoints"), save_top_k=2, **SCHEDULES[schedule])],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(), ckpt_path="last")
    trainer.save_checkpoint(Path(folder, "final.ckpt"))
    report("changes", fuse.changes)


def serve() -> None:
    for line in sys.stdin.buffer:
        child = os.fork()
        if not child:
            report("pid", os.getpid())
            train(**json.loads(line))
            os._exit(0)
        report("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    serve()
