"""Log how busy the device is.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.DeviceStatsMonitor.html
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from torchlift.accelerators import CPUAccelerator
from torchlift.callback import Callback
from torchlift.callbacks._logging import is_logging_moment, log_to_all
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import warn_once

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["DeviceStatsMonitor"]


class DeviceStatsMonitor(Callback):
    """Logs, before and after batches, the figures of the accelerator and of the processor.

    A GPU gives those of ``torch.cuda.memory_stats`` (bytes), the processor ``cpu_percent``, ``cpu_vm_percent`` and
    ``cpu_swap_percent`` of the machine. Names read ``DeviceStatsMonitor.<hook>/<figure>``.

    Args:
        cpu_stats: whether to log the processor's figures; None means if it is what computes.
        filter_keys: log only these figures; all of them by default.

    Raises:
        MisconfigurationException: (at the start) the Trainer has no logger.
        ModuleNotFoundError: (at the start) the processor's figures need ``psutil``, which is not installed.
    """

    def __init__(self, cpu_stats: bool | None = None, filter_keys: set[str] | None = None) -> None:
        self._cpu_stats, self._filter_keys = cpu_stats, filter_keys

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if not trainer.loggers:
            raise MisconfigurationException("Cannot use `DeviceStatsMonitor` callback with `Trainer(logger=False)`.")
        if self._wants_cpu(trainer) and importlib.util.find_spec("psutil") is None:
            raise ModuleNotFoundError(
                "`DeviceStatsMonitor` cannot log CPU stats as `psutil` is not installed: pip install psutil."
            )

    def _wants_cpu(self, trainer: Trainer) -> bool:
        return trainer.strategy.root_device.type == "cpu" if self._cpu_stats is None else self._cpu_stats

    def _log(self, trainer: Trainer, moment: str) -> None:
        if is_logging_moment(trainer) and (figures := self._figures(trainer)):
            prefix = f"{type(self).__qualname__}.{moment}"
            log_to_all(trainer, {f"{prefix}/{name}": value for name, value in figures.items()}, separator="/")

    def _figures(self, trainer: Trainer) -> dict[str, Any]:
        device = trainer.strategy.root_device
        figures = {} if device.type == "cpu" else dict(trainer.accelerator.get_device_stats(device))
        if self._wants_cpu(trainer):
            figures |= CPUAccelerator().get_device_stats("cpu")
        if self._filter_keys is None:
            return figures
        if unknown := self._filter_keys - figures.keys():
            warn_once(f"filter_keys contains keys not found in device stats: {sorted(unknown)}")
        return {name: value for name, value in figures.items() if name in self._filter_keys}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._log(trainer, "on_train_batch_start")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._log(trainer, "on_train_batch_end")

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._log(trainer, "on_validation_batch_start")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._log(trainer, "on_validation_batch_end")

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._log(trainer, "on_test_batch_start")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._log(trainer, "on_test_batch_end")
