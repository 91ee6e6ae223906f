"""Log how busy the device is.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.DeviceStatsMonitor.html
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from torchlift.callback import Callback
from torchlift.callbacks._logging import is_logging_step, log_to_all, logged_step
from torchlift.utilities.exceptions import MisconfigurationException

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

    Raises:
        MisconfigurationException: (at the start) the Trainer has no logger.
        ModuleNotFoundError: (at the start) the processor's figures need ``psutil``, which is not installed.
    """

    def __init__(self, cpu_stats: bool | None = None) -> None:
        self._cpu_stats = cpu_stats

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if not trainer.loggers:
            raise MisconfigurationException("DeviceStatsMonitor has nowhere to log to: the Trainer has no logger.")
        if self._wants_cpu(trainer) and importlib.util.find_spec("psutil") is None:
            raise ModuleNotFoundError("DeviceStatsMonitor reads the processor with psutil: pip install psutil.")

    def _wants_cpu(self, trainer: Trainer) -> bool:
        return trainer.strategy.root_device.type == "cpu" if self._cpu_stats is None else self._cpu_stats

    def _log(self, trainer: Trainer, moment: str, batches: int) -> None:
        if not is_logging_step(trainer, batches):
            return
        device = trainer.strategy.root_device
        figures = {} if device.type == "cpu" else dict(trainer.accelerator.get_device_stats(device))
        if self._wants_cpu(trainer):
            figures |= _cpu_figures()
        if figures:
            prefix = f"{type(self).__qualname__}.{moment}"
            log_to_all(trainer, {f"{prefix}/{name}": value for name, value in figures.items()}, separator="/")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._log(trainer, "on_train_batch_start", logged_step(trainer) + 1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._log(trainer, "on_train_batch_end", logged_step(trainer) + 1)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._log(trainer, "on_validation_batch_start", batch_idx + 1)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._log(trainer, "on_validation_batch_end", batch_idx + 1)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._log(trainer, "on_test_batch_start", batch_idx + 1)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._log(trainer, "on_test_batch_end", batch_idx + 1)


def _cpu_figures() -> dict[str, float]:
    import psutil  # type: ignore[import-untyped]

    return {
        "cpu_percent": psutil.cpu_percent(),
        "cpu_vm_percent": psutil.virtual_memory().percent,
        "cpu_swap_percent": psutil.swap_memory().percent,
    }
