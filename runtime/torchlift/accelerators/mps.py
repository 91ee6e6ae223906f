"""Apple's GPUs."""

import os
import platform
from typing import Any

import torch

from torchlift.accelerators._gpu_indices import parse_gpu_indices
from torchlift.accelerators.accelerator import Accelerator
from torchlift.accelerators.cpu import import_psutil
from torchlift.utilities.exceptions import MisconfigurationException

__all__ = ["MPSAccelerator"]


class MPSAccelerator(Accelerator):
    """The GPU of an Apple Silicon machine, of which there is one."""

    def setup_device(self, device: torch.device) -> None:
        if device.type != "mps":
            raise MisconfigurationException(f"Device should be MPS, got {device} instead.")

    def teardown(self) -> None:
        """There is nothing to give back."""

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """The machine's load in percent: ``M1_vm_percent``, ``M1_percent``, ``M1_swap_percent``."""
        psutil = import_psutil("MPS")
        return {
            "M1_vm_percent": psutil.virtual_memory().percent,
            "M1_percent": psutil.cpu_percent(),
            "M1_swap_percent": psutil.swap_memory().percent,
        }

    @staticmethod
    def parse_devices(devices: Any) -> list[int] | None:
        return parse_gpu_indices(devices, _get_all_available_mps_gpus())

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        return [torch.device("mps", index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        if os.environ.get("DISABLE_MPS") == "1":
            return False
        return torch.backends.mps.is_available() and platform.processor() in ("arm", "arm64")

    @staticmethod
    def name() -> str:
        return "mps"


def _get_all_available_mps_gpus() -> list[int]:
    """The index of the GPU, if there is one."""
    return [0] if MPSAccelerator.is_available() else []
