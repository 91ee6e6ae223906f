"""What the runtime asks of a strategy: wrap, move, no_sync, reduce, save and load state."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Strategy(Protocol):
    """Knows devices and processes; never sees the trainer."""

    global_rank: int
    local_rank: int
    node_rank: int
    world_size: int
    num_nodes: int

    @property
    def root_device(self) -> torch.device:
        """The device of this process."""

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the first process of all."""

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as the loop calls it, for instance within DDP."""

    def move(self, module: nn.Module) -> None:
        """Bring the module to this process's device."""

    def release(self, module: nn.Module) -> None:
        """The run is over: give the device's memory back."""

    def no_sync(self, module: Any, enabled: bool = True) -> AbstractContextManager:
        """Within it, backward passes leave gradients as they are in each process."""

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """One value of the values of all processes."""

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """The same answer on every process: whether all of them said yes, or any of them."""

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """The values of all processes, stacked; the value itself in a single process."""

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """The object that process `src` has."""

    def barrier(self, name: str | None = None) -> None:
        """Wait until all processes are here."""

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: str | Path) -> None:
        """Write a checkpoint so that a reader sees the old file or the new one, never a part."""

    def load_checkpoint(self, filepath: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint."""

    def remove_checkpoint(self, filepath: str | Path) -> None:
        """Delete a checkpoint."""
