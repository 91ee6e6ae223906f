"""One process, one device."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchlift import checkpoint_io


class SingleDeviceStrategy:
    """Runs the module as it is on one device."""

    global_rank = 0
    local_rank = 0
    node_rank = 0
    world_size = 1
    num_nodes = 1

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._root_device = torch.device(device)

    @property
    def root_device(self) -> torch.device:
        return self._root_device

    @property
    def is_global_zero(self) -> bool:
        return True

    def wrap(self, module: nn.Module) -> nn.Module:
        return module

    def move(self, module: nn.Module) -> None:
        if self._root_device.type == "cuda":
            torch.cuda.set_device(self._root_device)
        module.to(self._root_device)

    def release(self, module: nn.Module) -> None:
        module.cpu()
        if self._root_device.type == "cuda":
            torch.cuda.empty_cache()

    def no_sync(self, module: Any, enabled: bool = True) -> AbstractContextManager:
        return nullcontext()

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        return tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        return decision

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        return tensor

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return obj

    def barrier(self, name: str | None = None) -> None:
        """There is nobody to wait for."""

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: str | Path) -> None:
        checkpoint_io.save(checkpoint, filepath)

    def load_checkpoint(self, filepath: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        return checkpoint_io.load(filepath, map_location="cpu", weights_only=weights_only)

    def remove_checkpoint(self, filepath: str | Path) -> None:
        checkpoint_io.remove(filepath)
