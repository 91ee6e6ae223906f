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


def net_module(lightning: Any, **options: Any) -> Any:
    """A module of the runtime ``lightning`` with a backbone (batch norm in it) and a head, on random data.

    Options: ``batch_norm``, ``scheduler`` (one that halves the rate each epoch), ``adam``; ``crash_at`` an epoch, at
    its batch ``crash_batch``.
    """

    class Net(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            layers: list[Any] = [torch.nn.Linear(4, 6), torch.nn.ReLU()]
            if options.get("batch_norm", True):
                layers.insert(1, torch.nn.BatchNorm1d(6))
            self.backbone = torch.nn.Sequential(*layers)
            self.head = torch.nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> Any:
            return self.head(self.backbone(x))

        def training_step(self, batch: torch.Tensor, batch_idx: int) -> Any:
            if (self.current_epoch, batch_idx) == (options.get("crash_at"), options.get("crash_batch", 0)):
                raise ConnectionError("the machine went away")
            loss = (self(batch) - 1).pow(2).mean()
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
            self.log("val_loss", (self(batch) - 1).pow(2).mean())

        def configure_optimizers(self) -> Any:
            trained = [p for p in self.parameters() if p.requires_grad]
            if options.get("adam"):
                return torch.optim.Adam(trained, lr=0.1)
            optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9)
            if not options.get("scheduler"):
                return optimizer
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]

    return Net()


def same(left: Any, right: Any) -> bool:
    """Whether two values of tensors and containers are equal to the bit."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


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
        return self._fit(lightning, module, callbacks, root, (loader(batches), loader(1)), ckpt_path, trainer)

    def run_net(
        self,
        kind: str,
        callbacks: list[Any],
        root: Path,
        net_options: dict[str, Any] | None = None,
        ckpt_path: str | None = None,
        **trainer: Any,
    ) -> Any:
        """As ``run``, with the module of ``net_module`` on 10 random samples in batches of 2."""
        lightning = self.runtime(kind)
        torch.manual_seed(0)
        module = net_module(lightning, **(net_options or {}))
        data = DataLoader(torch.randn(10, 4), batch_size=2)
        return self._fit(lightning, module, callbacks, root, (data, data), ckpt_path, {"max_epochs": 4} | trainer)

    def compare_net(
        self, root: Path, make: Any, net_options: dict[str, Any] | None = None, **trainer: Any
    ) -> list[Any]:
        """Train with ``make(name -> class)``'s callbacks on both runtimes; the last checkpoints are equal to the bit.

        Returns:
            The two trainers, Lightning's first.
        """
        trained, saved = [], []
        for kind in ("lightning", "torchlift"):
            folder = root / kind
            last = self.callback_class(kind, "ModelCheckpoint")(folder, save_last=True)
            callbacks = [*make(lambda name, kind=kind: self.callback_class(kind, name)), last]
            trained.append(self.run_net(kind, callbacks, root, net_options, **trainer))
            saved.append(torch.load(folder / "last.ckpt", weights_only=True))
        theirs, ours = saved
        for states in (theirs["callbacks"], ours["callbacks"]):
            states.pop(next(key for key in states if key.startswith("ModelCheckpoint")))  # it holds the folder
        for state in ours["callbacks"].values():
            state.pop("trainable_parameters", None)  # what fine-tuning adds to Lightning's
        assert theirs.keys() == ours.keys() - {"torchlift"}  # what ours adds to Lightning's
        for key in theirs.keys() - {"loops"}:
            assert same(theirs[key], ours[key]), key
        weights = [dict(one.lightning_module.state_dict()) for one in trained]
        assert same(*weights)
        return trained

    def _fit(
        self, lightning: Any, module: Any, callbacks: list[Any], root: Path, data: Any, ckpt_path: Any, trainer: Any
    ) -> Any:
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
            try:
                trained.fit(module, *data, ckpt_path=ckpt_path)
            except ConnectionError:
                assert trained.interrupted
        return trained


@pytest.fixture
def harness() -> Harness:
    return Harness()


@pytest.fixture(params=Harness.kinds)
def kind(request: pytest.FixtureRequest) -> str:
    """The ways to run our callbacks."""
    return request.param
