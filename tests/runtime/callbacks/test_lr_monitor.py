"""LearningRateMonitor against Lightning's: the same names, values and steps."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR, StepLR

from torchlift.callbacks import LearningRateMonitor


def one_by_epoch(net: Any) -> Any:
    optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
    return [optimizer], [ExponentialLR(optimizer, 0.5)]


def one_by_step(net: Any) -> Any:
    optimizer = Adam(net.parameters(), lr=0.1, weight_decay=0.01)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": StepLR(optimizer, 2), "interval": "step"}}


def named(net: Any) -> Any:
    optimizer = SGD(net.parameters(), lr=0.1)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": StepLR(optimizer, 2), "name": "mine"}}


def groups(net: Any) -> Any:
    return SGD([{"params": [net.weight], "lr": 1.0}, {"params": [net.bias]}], lr=0.1)


def named_groups(net: Any) -> Any:
    return SGD([{"params": [net.weight], "name": "w"}, {"params": [net.bias], "name": "b"}], lr=0.1)


def one_named_group(net: Any) -> Any:
    return SGD([{"params": list(net.parameters()), "name": "all"}], lr=0.1)


def two(net: Any) -> Any:
    first, second = SGD([net.weight], lr=0.1), SGD([net.bias], lr=0.2)
    return [first, second], [StepLR(first, 1)]


def train(harness: Any, kind: str, root: Path, configure: Any, automatic: bool, **options: Any) -> dict[str, Any]:
    lightning = harness.runtime(kind)
    logged: list[Any] = []
    base = importlib.import_module("torchlift.loggers" if kind == "torchlift" else "lightning.pytorch.loggers").Logger

    class Recorder(base):  # type: ignore[misc,valid-type]
        name = version = ""

        def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
            logged.append((step, dict(metrics)))

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            pass

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Linear(1, 1)
            self.automatic_optimization = automatic

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.net(batch[0]).mean()
            if not automatic:
                for optimizer in self.optimizers():
                    optimizer.step()
            return loss

        def configure_optimizers(self) -> Any:
            return configure(self.net)

    monitor = harness.callback_class(kind, "LearningRateMonitor")(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=Recorder(),
            callbacks=[monitor],
            log_every_n_steps=3,
            default_root_dir=root,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 1)))
        trainer.fit(Module(), data)
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {
        "logged": logged,
        "lrs": monitor.lrs,
        "momentum": monitor.last_momentum_values,
        "decay": monitor.last_weight_decay_values,
        "metrics": values,
    }


@pytest.mark.parametrize("configure", [one_by_epoch, one_by_step, named, groups, named_groups, one_named_group, two])
@pytest.mark.parametrize(
    "options", [{}, {"logging_interval": "step"}, {"logging_interval": "epoch", "log_momentum": True}], ids=str
)
def test_logs_what_lightning_logs(harness: Any, kind: str, tmp_path: Path, configure: Any, options: Any) -> None:
    options = options | {"log_weight_decay": True}
    automatic = configure is not two
    theirs = train(harness, "lightning", tmp_path, configure, automatic, **options)
    assert train(harness, kind, tmp_path, configure, automatic, **options) == theirs
    assert theirs["logged"]


def test_a_group_that_joins_keeps_the_history_of_the_first(harness: Any, tmp_path: Path) -> None:
    monitor = LearningRateMonitor()
    monitor.lrs = {"lr-SGD": [0.1, 0.2]}
    monitor._follow_new_groups(["lr-SGD/pg1", "lr-SGD/pg2"])
    assert monitor.lrs == {"lr-SGD/pg1": [0.1, 0.2], "lr-SGD/pg2": []}


def test_groups_of_one_name_and_a_trainer_without_logger_are_refused(harness: Any, kind: str, tmp_path: Path) -> None:
    def same(net: Any) -> Any:
        return SGD([{"params": [net.weight], "name": "x"}, {"params": [net.bias], "name": "x"}], lr=0.1)

    with pytest.raises(Exception, match=r"identical `name` values.* lr-SGD has duplicated .* 'x'"):
        train(harness, kind, tmp_path, same, True)
    with pytest.raises(Exception, match="`Trainer` that has no logger"):
        harness.run(kind, [harness.callback_class(kind, "LearningRateMonitor")()], tmp_path, max_epochs=1)
    with pytest.raises(Exception, match="`step` or `epoch` or `None`"):
        LearningRateMonitor(logging_interval="batch")  # type: ignore[arg-type]
