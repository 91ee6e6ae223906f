"""NVIDIA GPUs."""

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from torchlift.accelerators._gpu_indices import parse_gpu_indices
from torchlift.accelerators.accelerator import Accelerator
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info

if TYPE_CHECKING:
    from torchlift.trainer import Trainer

__all__ = ["CUDAAccelerator", "find_usable_cuda_devices", "is_cuda_available", "num_cuda_devices"]


class CUDAAccelerator(Accelerator):
    """An NVIDIA GPU (or an AMD one under ROCm, which torch calls by the same name)."""

    def setup_device(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise MisconfigurationException(f"Device should be GPU, got {device} instead")
        _tell_of_tensor_cores(device)
        torch.cuda.set_device(device)

    def setup(self, trainer: "Trainer") -> None:
        # the order in which nvidia-smi counts them
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        torch.cuda.empty_cache()

    def teardown(self) -> None:
        _free_memory()

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        return torch.cuda.memory_stats(device)

    @staticmethod
    def parse_devices(devices: Any) -> list[int] | None:
        return parse_gpu_indices(devices, range(num_cuda_devices()))

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        return [torch.device("cuda", index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        return num_cuda_devices()

    @staticmethod
    def is_available() -> bool:
        return num_cuda_devices() > 0

    @staticmethod
    def name() -> str:
        return "cuda"


def num_cuda_devices() -> int:
    """How many GPUs this process sees."""
    return torch.cuda.device_count()


def is_cuda_available() -> bool:
    """Whether torch can use one of them."""
    return torch.cuda.is_available()


def find_usable_cuda_devices(num_devices: int = -1) -> list[int]:
    """The indices of GPUs that take a tensor; another process may hold one for itself.

    Args:
        num_devices: how many to find; ``-1`` for all there are.

    Raises:
        ValueError: the machine does not have so many.
        RuntimeError: it has, but too few of them are free.
    """
    visible = range(num_cuda_devices())
    if num_devices == 0:
        return []
    if num_devices > len(visible) or not visible:
        raise ValueError(
            f"You requested to find {num_devices} devices but this machine only has {len(visible)} visible CUDA"
            " devices."
        )
    usable = []
    for index in visible:
        try:
            torch.tensor(0, device=torch.device("cuda", index))
        except RuntimeError:
            continue
        usable.append(index)
        if len(usable) == num_devices:
            return usable
    if num_devices != -1:
        raise RuntimeError(
            f"You requested to find {num_devices} devices but only {len(usable)} are currently available. The others"
            " are occupied by other processes."
        )
    return usable


def _free_memory() -> None:
    # cuBLAS keeps workspaces of its own (https://github.com/pytorch/pytorch/issues/95668).
    clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if clear is not None:
        clear()
    torch.cuda.empty_cache()


@cache
def _tell_of_tensor_cores(device: torch.device) -> None:
    """Full-precision products leave most of such a GPU idle; the choice is the user's, so it is only said."""
    if not torch.cuda.is_available() or torch.get_float32_matmul_precision() != "highest":
        return
    if torch.cuda.get_device_capability(device)[0] >= 8:
        rank_zero_info(
            f"The GPU {torch.cuda.get_device_name(device)!r} has Tensor Cores. `torch.set_float32_matmul_precision("
            "'medium' | 'high')` makes use of them, at lower precision: https://pytorch.org/docs/stable/generated/"
            "torch.set_float32_matmul_precision.html"
        )
