"""One process, one device."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torchlift.checkpoint_io import CheckpointIO
from torchlift.precision import Precision
from torchlift.strategies.strategy import Strategy

if TYPE_CHECKING:
    from torchlift.accelerators import Accelerator

__all__ = ["SingleDeviceStrategy"]


class SingleDeviceStrategy(Strategy):
    """Runs the module as it is on one device.

    Args:
        device: the device, such as ``"cpu"`` or ``"cuda:1"``.
        accelerator: the kind of hardware; the Trainer's by default.
        checkpoint_io: how checkpoints are written; the Trainer's by default.
        precision_plugin: the precision; the Trainer's by default.
    """

    strategy_name = "single_device"

    def __init__(
        self,
        device: torch.device | str | int = "cpu",
        accelerator: "Accelerator | None" = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
    ) -> None:
        super().__init__(accelerator, checkpoint_io, precision_plugin)
        self._root_device = torch.device(device)

    @property
    def root_device(self) -> torch.device:
        return self._root_device

    @property
    def is_global_zero(self) -> bool:
        return True

    def model_to_device(self) -> None:
        assert self.model is not None
        self.model.to(self.root_device)

    def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        return tensor

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """There is nobody to wait for."""

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return obj

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        return tensor
