"""Runs of the same scripted training on real Lightning and on torchlift, with the callback of either.

``lightning`` with Lightning's callback is the oracle. ``bridged`` puts our callback into Lightning's Trainer: a class
that inherits from both, ours first, so that Lightning's isinstance checks accept it and every hook is ours.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset


def scripted_module(lightning: Any, script: dict[str, list[float]], **options: Any) -> Any:
    """A one-weight module of the runtime ``lightning`` that logs ``script[name][epoch]`` at the end of validation."""
    train_script = options.get("train_script", {})
    validates = options.get("validates", True)

    class Scripted(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.runs = 0
            self.automatic_optimization = not options.get("manual", False)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            for name, values in train_script.items():
                self.log(name, values[self.trainer.current_epoch], prog_bar=options.get("prog_bar", False))
            loss = self.layer(batch[0]).mean()
            if options.get("manual"):
                optimizer = self.optimizers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

        if validates:

            def validation_step(self, batch: Any, batch_idx: int) -> None:
                pass

            def on_validation_epoch_end(self) -> None:
                if self.trainer.sanity_checking:
                    return
                for name, values in script.items():
                    self.log(name, torch.tensor(values[self.runs]))
                self.runs += 1

    return Scripted()


def loader(batches: int = 4) -> DataLoader:
    return DataLoader(TensorDataset(torch.ones(batches, 1)), batch_size=1)


class Harness:
    """``run(kind, make, ...)``: train with the callback of ``kind`` and give back the trainer.

    ``kind`` is "lightning" (their Trainer and callback), "bridged" (their Trainer, our callback) or "torchlift" (ours).
    """

    kinds = ("bridged", "torchlift")

    @staticmethod
    def callback_class(kind: str, name: str) -> type:
        if kind == "lightning":
            return getattr(importlib.import_module("lightning.pytorch.callbacks"), name)
        ours = getattr(importlib.import_module("torchlift.callbacks"), name)
        if kind == "torchlift":
            return ours
        from lightning.pytorch import callbacks

        checkpoint = issubclass(ours, importlib.import_module("torchlift.callbacks").Checkpoint)
        return type(name, (ours, callbacks.Checkpoint if checkpoint else callbacks.Callback), {})

    @staticmethod
    def runtime(kind: str) -> Any:
        return importlib.import_module("torchlift" if kind == "torchlift" else "lightning")

    def run(
        self,
        kind: str,
        callbacks: list[Any],
        root: Path,
        script: dict[str, list[float]] | None = None,
        batches: int = 4,
        ckpt_path: str | None = None,
        module_options: dict[str, Any] | None = None,
        **trainer: Any,
    ) -> Any:
        lightning = self.runtime(kind)
        torch.manual_seed(0)
        module = scripted_module(lightning, script or {}, **(module_options or {}))
        options: dict[str, Any] = {
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
        }
        if not any(type(c).__name__ == "ModelCheckpoint" for c in callbacks):
            options["enable_checkpointing"] = False
        trained = lightning.Trainer(**(options | trainer), callbacks=callbacks, default_root_dir=root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trained.fit(module, loader(batches), loader(1), ckpt_path=ckpt_path)
        return trained


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture(params=Harness.kinds)
def kind(request: pytest.FixtureRequest) -> str:
    """The ways to run our callbacks."""
    return request.param
