"""Runs of the same training on real Lightning and on torchlift, with the logger of either."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset


def logging_module(lightning: Any) -> Any:
    """A module of the runtime ``lightning`` that logs by step and by epoch, in training and in validation."""

    class Logs(lightning.LightningModule):
        def __init__(self, width: int = 3, name: str = "net") -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.layer(batch[0]).square().mean()
            self.log("train_loss", loss)
            self.log("both", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.layer(batch[0]).mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Logs()


class Harness:
    module = staticmethod(logging_module)

    @staticmethod
    def logger_class(kind: str, name: str) -> type:
        """Lightning's logger, ours, or ours as a class that Lightning's Trainer accepts ("bridged")."""
        package = "lightning.pytorch.loggers" if kind == "lightning" else "torchlift.loggers"
        found = getattr(importlib.import_module(package), name)
        if kind != "bridged":
            return found
        from lightning.pytorch.loggers import Logger

        return type(name, (found, Logger), {})

    @staticmethod
    def run(kind: str, logger: Any, root: Path, **trainer: Any) -> Any:
        lightning = importlib.import_module("torchlift" if kind == "torchlift" else "lightning")
        torch.manual_seed(0)
        module = logging_module(lightning)
        data = DataLoader(TensorDataset(torch.arange(4.0)[:, None]), batch_size=1)
        trained = lightning.Trainer(
            accelerator="cpu",
            logger=logger,
            default_root_dir=root,
            log_every_n_steps=2,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **trainer,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trained.fit(module, data, data)
        return trained


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture(params=["bridged", "torchlift"])
def kind(request: pytest.FixtureRequest) -> str:
    """The ways to run our loggers."""
    return request.param
