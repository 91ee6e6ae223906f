"""TPUs, which this runtime does not drive: the name is there so that asking for one gets a clear answer."""

from typing import Any

import torch

from torchlift.accelerators.accelerator import Accelerator

__all__ = ["XLAAccelerator"]


class XLAAccelerator(Accelerator):
    """Never available here."""

    def setup_device(self, device: torch.device) -> None:
        raise NotImplementedError("This runtime does not drive TPUs.")

    def teardown(self) -> None:
        """There is nothing to give back."""

    @staticmethod
    def parse_devices(devices: Any) -> Any:
        return devices

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return []

    @staticmethod
    def auto_device_count() -> int:
        return 0

    @staticmethod
    def is_available() -> bool:
        return False

    @staticmethod
    def name() -> str:
        return "tpu"
