"""The processor."""

from typing import Any

import torch

from torchlift.accelerators.accelerator import Accelerator
from torchlift.utilities.exceptions import MisconfigurationException

__all__ = ["CPUAccelerator"]


class CPUAccelerator(Accelerator):
    """The processor; its "devices" are processes."""

    def setup_device(self, device: torch.device) -> None:
        if device.type != "cpu":
            raise MisconfigurationException(f"Device should be CPU, got {device} instead.")

    def teardown(self) -> None:
        """There is nothing to give back."""

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """The machine's load in percent: ``cpu_vm_percent``, ``cpu_percent``, ``cpu_swap_percent``.

        Raises:
            ModuleNotFoundError: ``psutil`` is not installed.
        """
        psutil = import_psutil("CPU")
        return {
            "cpu_vm_percent": psutil.virtual_memory().percent,
            "cpu_percent": psutil.cpu_percent(),
            "cpu_swap_percent": psutil.swap_memory().percent,
        }

    @staticmethod
    def parse_devices(devices: Any) -> int:
        count = int(devices) if isinstance(devices, str) and devices.strip().isdigit() else devices
        if not isinstance(count, int) or count <= 0:
            raise TypeError(f"`devices` selected with `CPUAccelerator` should be an int > 0. Got {devices!r}.")
        return count

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [torch.device("cpu")] * CPUAccelerator.parse_devices(devices)

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "cpu"


def import_psutil(what: str) -> Any:
    """The module that reads the machine's load."""
    try:
        import psutil  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Fetching {what} device stats requires `psutil` to be installed: `pip install psutil`."
        ) from error
    return psutil
