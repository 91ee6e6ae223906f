"""Log how much the run gets done per second.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.ThroughputMonitor.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from torchlift.callback import Callback
from torchlift.callbacks._logging import is_logging_moment, logged_step
from torchlift.states import RunningStage, TrainerFn
from torchlift.utilities.rank_zero import rank_zero_only, rank_zero_warn
from torchlift.utilities.throughput import Throughput, compute_dtype, get_available_flops

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["ThroughputMonitor"]


@dataclass
class _Totals:
    """Since the start of a stage."""

    start: float
    batches: int = 0
    samples: int = 0
    lengths: int = 0


class ThroughputMonitor(Callback):
    """Logs the rates of ``torchlift.utilities.throughput.Throughput`` at every ``log_every_n_steps``, as
    ``train/device/samples_per_sec`` and so on.

    A module with an attribute ``flops_per_batch`` (see ``measure_flops``) also gets its operations per second, and
    their share of the device's peak. On a GPU each batch waits for the device.

    Args:
        batch_size_fn: the number of samples in a batch.
        length_fn: the number of items (such as tokens) in a batch.
        kwargs: ``window_size`` and ``separator`` of ``Throughput``.
    """

    def __init__(
        self, batch_size_fn: Callable[[Any], int], length_fn: Callable[[Any], int] | None = None, **kwargs: Any
    ) -> None:
        self.batch_size_fn, self.length_fn, self.kwargs = batch_size_fn, length_fn, kwargs
        self.available_flops: int | None = None
        self._throughputs: dict[RunningStage, Throughput] = {}
        self._totals: dict[RunningStage, _Totals] = {}
        self._has_flops: bool | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.available_flops = get_available_flops(
            trainer.strategy.root_device, compute_dtype(trainer.precision_plugin)
        )
        assert trainer.state.stage is not None
        stages = [trainer.state.stage]
        if stage == TrainerFn.FITTING and trainer.enable_validation:
            stages.append(RunningStage.VALIDATING)
        for one in stages:
            self._throughputs[one] = Throughput(self.available_flops, trainer.world_size, **self.kwargs)

    def _start(self, trainer: Trainer) -> None:
        """A stage begins: anew in fit; validate, test and predict go on counting when they are called again."""
        stage = trainer.state.stage
        assert stage is not None
        if trainer.state.fn == TrainerFn.FITTING or stage not in self._totals:
            self._throughputs[stage].reset()
            self._totals[stage] = _Totals(time.perf_counter())
        else:
            self._totals[stage].start = time.perf_counter()

    @torch.inference_mode()
    def _update(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        """One more batch is done."""
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()  # or the clock would be read before the device is done
        assert trainer.state.stage is not None
        totals = self._totals[trainer.state.stage]
        elapsed = time.perf_counter() - totals.start
        totals.batches += 1
        totals.samples += self.batch_size_fn(batch)
        if self.length_fn is not None:
            totals.lengths += self.length_fn(batch)
        self._throughputs[trainer.state.stage].update(
            time=elapsed,
            batches=totals.batches,
            samples=totals.samples,
            lengths=totals.lengths if self.length_fn is not None else None,
            flops=self._flops_of(pl_module),
        )

    def _flops_of(self, module: Any) -> int | None:
        if self._has_flops is None:
            self._has_flops = hasattr(module, "flops_per_batch")
            if not self._has_flops:
                rank_zero_warn(
                    "When using the `ThroughputMonitor`, you need to define a `flops_per_batch` attribute or property"
                    f" in {type(module).__name__} to compute the FLOPs."
                )
        return module.flops_per_batch if self._has_flops else None

    def _log(self, trainer: Trainer, step: int | None = None) -> None:
        """Hand the figures to the loggers, if this is a batch at which they want to hear."""
        if not is_logging_moment(trainer):
            return
        assert trainer.state.stage is not None
        throughput = self._throughputs[trainer.state.stage]
        prefix = f"{trainer.state.stage.value}{throughput.separator}"
        figures: dict[str, Any] = {f"{prefix}{name}": value for name, value in throughput.compute().items()}
        trainer._logged.send(figures, trainer.loggers, trainer.current_epoch, logged_step(trainer), step=step)

    # -- moments ------------------------------------------------------------------------------------------------------

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._update(trainer, pl_module, batch)
        if not trainer.fit_loop.accumulates(trainer.accumulate_grad_batches):  # the update is part of what is measured
            self._log(trainer)

    @rank_zero_only
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._start(trainer)

    @rank_zero_only
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The time that validation took is not training's."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        last = {stage: one._time[-1] if one._time else 0.0 for stage, one in self._throughputs.items()}
        train, validate = self._totals[RunningStage.TRAINING], self._totals[RunningStage.VALIDATING]
        trained_until = train.start + last[RunningStage.TRAINING]
        train.start += validate.start - trained_until + last[RunningStage.VALIDATING]

    @rank_zero_only
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    @rank_zero_only
    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start(trainer)

    @rank_zero_only
    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not trainer.sanity_checking:
            self._evaluated(trainer, pl_module, batch)

    @rank_zero_only
    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluated(trainer, pl_module, batch)

    @rank_zero_only
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluated(trainer, pl_module, batch)

    def _evaluated(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        self._update(trainer, pl_module, batch)
        self._log(trainer, step=trainer._active_loop.batch_progress.total.ready)
