"""End training when the loss jumps, and write down which batches to leave out.

Arguments, state and file are those of Lightning's ``SpikeDetection``; the idea is in Chowdhery et al., "PaLM: Scaling
Language Modeling with Pathways", section 5.1, https://arxiv.org/abs/2204.02311: go back to a checkpoint and skip the
batches around the spike.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from torchlift.callback import Callback
from torchlift.utilities.atomic import write_text
from torchlift.utilities.spike import TrainingSpikeException

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["SpikeDetection"]


class SpikeDetection(Callback):
    """Compare each batch's loss with the mean of those before it.

    A loss is a spike when it is worse than the one before and its distance from the running mean is at least `atol`
    and at least `rtol` times that mean. The batch before may have spoiled the weights, so both are written down.

    Args:
        mode: "min" if a lower loss is better, "max" if a higher one is.
        window: how many losses the mean is of.
        warmup: the first batch of an epoch that can be a spike.
        atol: absolute distance; ``None`` asks for none.
        rtol: distance relative to the mean; ``None`` asks for none.
        exclude_batches_path: the JSON file, or a folder for ``skip_batches.json``; by default in the Trainer's
            ``default_root_dir``.
        finite_only: take NaN and infinity for spikes.

    Raises:
        ModuleNotFoundError: torchmetrics is not installed.
        TrainingSpikeException: (during the run) there was a spike.
    """

    def __init__(
        self,
        mode: Literal["min", "max"] = "min",
        window: int = 10,
        warmup: int = 1,
        atol: float | None = None,
        rtol: float | None = 2.0,
        exclude_batches_path: str | os.PathLike[str] | None = None,
        finite_only: bool = True,
    ) -> None:
        from torchmetrics.aggregation import MeanMetric
        from torchmetrics.wrappers import Running

        self.last_val: Tensor | float = 0.0
        # Each process looks at its own loss.
        self.running_mean = Running(MeanMetric(dist_sync_on_step=False, sync_on_compute=False), window=window)
        self.running_mean.dist_sync_on_step = False
        self.running_mean.sync_on_compute = False
        self.mode = mode
        self.warmup = warmup
        self.atol = atol
        self.rtol = rtol
        self.bad_batches: list[int] = []
        self.exclude_batches_path = exclude_batches_path
        self.finite_only = finite_only

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = _loss(outputs)
        if batch_idx == 0:
            self.running_mean.to(trainer.strategy.root_device)
        self._resolve_path(trainer)
        spike = batch_idx >= self.warmup and self._is_spike(loss)
        # All processes end if one does.
        if trainer.strategy.reduce_boolean_decision(spike, all=False):
            self._handle_spike(trainer, batch_idx)
        elif self.finite_only or trainer.strategy.reduce_boolean_decision(bool(torch.isfinite(loss).all()), all=True):
            self.running_mean.update(loss)
            self.last_val = loss

    def _resolve_path(self, trainer: Trainer) -> None:
        path = str(self.exclude_batches_path or trainer.default_root_dir)
        self.exclude_batches_path = path if path.endswith(".json") else os.path.join(path, "skip_batches.json")

    def _is_spike(self, loss: Tensor) -> bool:
        if self.finite_only and not torch.isfinite(loss):
            return True
        if self._is_better(loss - self.last_val):
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # there may be no value yet
            mean = self.running_mean.compute()
        distance = abs(loss - mean)
        far = self.atol is None or bool(distance >= abs(self.atol))
        return far and (self.rtol is None or bool(distance >= abs(self.rtol * mean)))

    def _is_better(self, difference: Tensor) -> bool:
        if self.mode == "min":
            return bool((difference <= 0).all())
        if self.mode == "max":
            return bool((difference >= 0).all())
        raise ValueError(f"Invalid mode. Has to be min or max, found {self.mode}")

    def _handle_spike(self, trainer: Trainer, batch_idx: int) -> None:
        self.bad_batches.extend([batch_idx - 1, batch_idx])
        if trainer.is_global_zero:
            path = str(self.exclude_batches_path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_text(path, json.dumps(self.bad_batches, indent=4))
        raise TrainingSpikeException(batch_idx=batch_idx)

    def state_dict(self) -> dict[str, Any]:
        return {
            "last_val": self.last_val.item() if isinstance(self.last_val, Tensor) else self.last_val,
            "mode": self.mode,
            "warmup": self.warmup,
            "atol": self.atol,
            "rtol": self.rtol,
            "bad_batches": self.bad_batches,
            "bad_batches_path": None if self.exclude_batches_path is None else str(self.exclude_batches_path),
            "running": self.running_mean.state_dict(),
            "mean": self.running_mean.base_metric.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in ("last_val", "mode", "warmup", "atol", "rtol", "bad_batches"):
            setattr(self, name, state_dict[name])
        self.exclude_batches_path = state_dict["bad_batches_path"]
        self.running_mean.load_state_dict(state_dict["running"])
        self.running_mean.base_metric.load_state_dict(state_dict["mean"])


def _loss(outputs: Any) -> Tensor:
    if isinstance(outputs, Tensor):
        return outputs.detach()
    if isinstance(outputs, Mapping):
        loss: Tensor = outputs["loss"]
        return loss.detach()
    raise TypeError(f"outputs have to be of type torch.Tensor or Mapping, got {type(outputs).__qualname__}")
