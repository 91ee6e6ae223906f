"""Loggers have a row before a checkpoint counts its step or epoch as done, once, and as Lightning's loggers get it."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch


def rows(L: Any, lab: Any, saves: str | None, **options: Any) -> tuple[list[Any], list[Any]]:
    """What a logger got; and what it had at each checkpoint."""
    package = {"lightning": "lightning.pytorch"}.get(L.__name__, L.__name__)
    logger_class = importlib.import_module(f"{package}.loggers.logger").Logger
    got: list[Any] = []
    had: list[Any] = []

    class Rows(logger_class):
        name, version = "rows", 0

        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            got.append((step, {name: round(value, 5) for name, value in metrics.items()}))

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    class Saves(L.Callback):
        def save(self, trainer: Any, module: Any, *args: Any) -> None:
            module.log("late", 1.0)
            trainer.save_checkpoint("rows.ckpt")
            had.append(list(got))

    if saves:
        setattr(Saves, saves, Saves.save)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(6, 3)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.layer(batch[0]).square().mean()
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

        def on_train_batch_end(self, *args: Any) -> None:
            self.log("after", 2.0)

        def on_train_epoch_end(self) -> None:
            self.log("end", 3.0)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    torch.manual_seed(0)
    quiet = {**lab.QUIET, "logger": Rows(), "log_every_n_steps": 2, "max_epochs": 2, **options}
    L.Trainer(**quiet, callbacks=[Saves()]).fit(Module(), lab.loader())
    return got, had


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 2}], ids=str)
@pytest.mark.parametrize("moment", ["on_train_batch_end", "on_train_epoch_end"])
def test_a_checkpoint_comes_after_the_rows_it_counts(
    lab: Any, moment: str, options: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours, had = rows(lab.RUNTIMES["torchlift"], lab, moment, **options)
    theirs, _ = rows(lab.RUNTIMES["lightning"], lab, moment, **options)
    assert by_step(ours) == by_step(theirs)
    last = had[-1][-1]
    assert "loss_epoch" in last[1] if moment == "on_train_epoch_end" else "loss_step" in last[1]
    assert last[0] == theirs[-1][0]


def by_step(got: list[Any]) -> dict[Any, dict[str, float]]:
    """All that was logged at each step; no value twice."""
    found: dict[Any, dict[str, float]] = {}
    for step, metrics in got:
        known = found.setdefault(step, {})
        assert not (known.keys() & metrics.keys()) - {"epoch"}
        known |= metrics
    return found


def test_without_a_checkpoint_rows_come_whole(lab: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours, theirs = (rows(lab.RUNTIMES[name], lab, None)[0] for name in ("torchlift", "lightning"))
    assert ours == theirs
