"""Callbacks as users write them: the same code does the same on torchlift and on Lightning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

Callback = Any


def metrics_logger(lightning: Any, root: Path) -> Callback:
    """Collects what was logged, and says at the end what it has."""

    class MetricsLogger(lightning.Callback):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.history: list[dict[str, float]] = []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.history.append({name: value.item() for name, value in trainer.callback_metrics.items()})

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            (root / "history.json").write_text(json.dumps([self.history, trainer.current_epoch, trainer.max_epochs]))

    return MetricsLogger()


def gradient_monitor(lightning: Any, root: Path) -> Callback:
    """Logs norms between the gradients and the update, through the module."""

    class GradientMonitor(lightning.Callback):  # type: ignore[misc, name-defined]
        def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
            norms = [p.grad.norm() for p in pl_module.parameters() if p.grad is not None]
            pl_module.log("gradients", torch.stack(norms).norm(), on_step=True, on_epoch=True)

        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            self.log("head", pl_module.head.weight.grad.norm())

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
            (root / "gradients.json").write_text(json.dumps(logged))

    return GradientMonitor()


def own_checkpoint(lightning: Any, root: Path) -> Callback:
    """Saves by itself every so many steps, and adds to what is saved."""

    class OwnCheckpoint(lightning.Callback):  # type: ignore[misc, name-defined]
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if trainer.global_step % 4 == 0:
                trainer.save_checkpoint(root / f"step{trainer.global_step}.ckpt")

        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            checkpoint["note"] = {"loss": trainer.callback_metrics["loss"]}

        def state_dict(self) -> dict[str, Any]:
            return {"seen": 3}

        @property
        def state_key(self) -> str:
            return "own"

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            told = {}
            for path in sorted(root.glob("*.ckpt")):
                contents = torch.load(path, weights_only=True)
                told[path.name] = [contents["note"]["loss"].item(), contents["callbacks"], contents["global_step"]]
                path.unlink()
            (root / "checkpoints.json").write_text(json.dumps(told))

    return OwnCheckpoint()


def freeze_and_unfreeze(lightning: Any, root: Path) -> Callback:
    """Trains the head alone for one epoch."""

    class FreezeAndUnfreeze(lightning.Callback):  # type: ignore[misc, name-defined]
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            pl_module.backbone.requires_grad_(False)

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                pl_module.backbone.requires_grad_(True)

    return FreezeAndUnfreeze()


def only_when_it_helps(lightning: Any, root: Path) -> Callback:
    """Changes the batch size of accumulation and stops, each on a condition."""

    class Conditional(lightning.Callback):  # type: ignore[misc, name-defined]
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.sanity_checking or trainer.callback_metrics["val_loss"] > 5:
                return
            if trainer.current_epoch == 1:
                trainer.accumulate_grad_batches = 2
            if trainer.current_epoch == 2:
                trainer.should_stop = True

    return Conditional()


def rates_in_stages(lightning: Any, root: Path) -> Callback:
    """Sets the learning rate by the epoch."""

    class Stages(lightning.Callback):  # type: ignore[misc, name-defined]
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            for optimizer in trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = [0.1, 0.05, 0.01, 0.001][trainer.current_epoch]

    return Stages()


def skips_batches(lightning: Any, root: Path) -> Callback:
    """Looks at batches, gradients and exceptions in every hook with arguments of its own."""

    class Watch(lightning.Callback):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            self.seen.append(("start", batch.sum().item(), batch_idx))

        def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
            self.seen.append(("backward", loss.item()))

        def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            self.seen.append(("zero", type(optimizer).__name__))

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.seen.append(("end", {name: value.item() for name, value in outputs.items()}, batch_idx))

        def on_validation_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
        ) -> None:
            self.seen.append(("validated", outputs, batch_idx, dataloader_idx))

        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            (root / "seen.json").write_text(json.dumps([self.seen, stage]))

    return Watch()


EXAMPLES = [
    metrics_logger,
    gradient_monitor,
    own_checkpoint,
    freeze_and_unfreeze,
    only_when_it_helps,
    rates_in_stages,
    skips_batches,
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_a_callback_of_ones_own_does_what_it_does_on_lightning(harness: Any, example: Any, tmp_path: Path) -> None:
    results = []
    for kind in ("lightning", "torchlift"):
        root = tmp_path / kind
        root.mkdir()
        callback = example(harness.runtime(kind), root)
        trained = harness.run_net(kind, [callback], root, {"scheduler": False}, num_sanity_val_steps=1)
        weights = {name: value.tolist() for name, value in trained.lightning_module.state_dict().items()}
        written = {path.name: path.read_text() for path in sorted(root.iterdir())}
        results.append((written, weights, trained.global_step, trained.current_epoch))
    assert results[0] == results[1]


def test_all_of_them_together_in_any_order(harness: Any, tmp_path: Path) -> None:
    """They do not depend on one another, so their order does not matter."""
    results = []
    for number, examples in enumerate((EXAMPLES, EXAMPLES[::-1])):
        root = tmp_path / str(number)
        root.mkdir()
        callbacks = [example(harness.runtime("torchlift"), root) for example in examples]
        trained = harness.run_net("torchlift", callbacks, root)
        results.append({name: value.tolist() for name, value in trained.lightning_module.state_dict().items()})
    assert results[0] == results[1]


def test_exceptions_reach_every_callback(harness: Any, tmp_path: Path) -> None:
    told = []
    for kind in ("lightning", "torchlift"):

        class Listener(harness.runtime(kind).Callback):  # type: ignore[misc]
            def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
                told.append((type(exception).__name__, trainer.current_epoch, trainer.global_step))

        harness.run_net(kind, [Listener(), Listener()], tmp_path, {"crash_at": 2})
    assert told == [("ConnectionError", 2, 10)] * 4
