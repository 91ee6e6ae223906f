"""What can be known about loaders and batches without drawing from them."""

import os
from typing import Any

import torch

from torchlift.results import extract_batch_size
from torchlift.utilities.combined_loader import sized_len
from torchlift.utilities.rank_zero import rank_zero_warn

__all__ = ["extract_batch_size", "has_iterable_dataset", "has_len_all_ranks", "suggested_max_num_workers"]


def has_iterable_dataset(loader: object) -> bool:
    """Whether a loader reads an ``IterableDataset``, which decides itself what comes when."""
    from torch.utils.data import IterableDataset

    return isinstance(getattr(loader, "dataset", None), IterableDataset)


def has_len_all_ranks(loader: object, strategy: Any, allow_zero_length: bool = False) -> bool:
    """Whether a loader has a length; warns where the length is zero or cannot be relied on.

    Args:
        loader: any iterable.
        strategy: adds up the lengths of all processes.
        allow_zero_length: one process may have no batch while others have some.

    Raises:
        RuntimeError: this process has no batch while others have some, and that is not allowed.
    """
    length = sized_len(loader)
    if length is None:
        return False
    name = type(loader).__name__
    total = int(strategy.reduce(torch.tensor(length, device=strategy.root_device), reduce_op="sum"))
    if total == 0:
        rank_zero_warn(f"Total length of `{name}` across ranks is zero. Please make sure this was your intention.")
    elif length == 0 and not allow_zero_length:
        raise RuntimeError(
            f"`{name}` within local rank has zero length. Please make sure that it returns at least 1 batch."
        )
    if has_iterable_dataset(loader):
        rank_zero_warn(
            "Your `IterableDataset` has `__len__` defined. In combination with multi-process data loading (when"
            " num_workers > 1), `__len__` could be inaccurate if each worker is not configured independently to avoid"
            " having duplicate data."
        )
    return True


def suggested_max_num_workers(local_world_size: int) -> int:
    """How many worker processes a loader can have, so that one core is left for each training process.

    Args:
        local_world_size: the number of training processes on this machine.

    Raises:
        ValueError: that is less than one.
    """
    if local_world_size < 1:
        raise ValueError(f"`local_world_size` should be >= 1, got {local_world_size}.")
    return max(1, _num_cpus_available() // local_world_size - 1)


def _num_cpus_available() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
