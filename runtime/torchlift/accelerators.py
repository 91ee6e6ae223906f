"""Which device a run uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info


@dataclass(frozen=True)
class Accelerator:
    """A kind of hardware; ``device_type`` is torch's name of it."""

    device_type: str = "cpu"

    @staticmethod
    def is_available() -> bool:
        """Whether this machine has it."""
        return True

    @staticmethod
    def name() -> str:
        """Its name in ``Trainer(accelerator=...)``."""
        return "cpu"

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        """Figures about the device, by name, for the loggers."""
        return {}


@dataclass(frozen=True)
class CPUAccelerator(Accelerator):
    """The processor."""


@dataclass(frozen=True)
class CUDAAccelerator(Accelerator):
    """An NVIDIA GPU."""

    device_type: str = "cuda"

    @staticmethod
    def is_available() -> bool:
        return torch.cuda.is_available()

    @staticmethod
    def name() -> str:
        return "cuda"

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        return dict(torch.cuda.memory_stats(device))


@dataclass(frozen=True)
class MPSAccelerator(Accelerator):
    """An Apple GPU."""

    device_type: str = "mps"

    @staticmethod
    def is_available() -> bool:
        return torch.backends.mps.is_available()

    @staticmethod
    def name() -> str:
        return "mps"


_BY_NAME = {"cpu": CPUAccelerator, "cuda": CUDAAccelerator, "mps": MPSAccelerator}
_ELSEWHERE = ("tpu", "hpu", "ipu", "xla")


def choose_accelerator(given: str | Accelerator) -> Accelerator:
    """What ``Trainer(accelerator=given)`` means on this machine.

    Raises:
        ValueError: there is no such accelerator.
        MisconfigurationException: this machine or this runtime does not have it.
    """
    if isinstance(given, Accelerator):
        return given
    name = given.lower() if isinstance(given, str) else given
    if name in ("auto", "gpu"):
        found = next((kind for kind in (CUDAAccelerator, MPSAccelerator) if kind.is_available()), None)
        if found is None and name == "gpu":
            raise MisconfigurationException(
                "No supported gpu backend found! This machine has neither CUDA nor MPS; use `accelerator='cpu'` or"
                " 'auto'."
            )
        return (found or CPUAccelerator)()
    if name in _ELSEWHERE:
        raise MisconfigurationException(
            f"`Trainer(accelerator={given!r})`: this runtime runs on the CPU, on CUDA and on MPS. For {name.upper()}"
            " use the real Lightning: generated code runs there after changing its import line."
        )
    if name not in _BY_NAME:
        raise ValueError(
            f"You selected an invalid accelerator name: `accelerator={given!r}`. Available names are: auto, gpu,"
            f" {', '.join(_BY_NAME)}."
        )
    kind = _BY_NAME[name]
    if not kind.is_available():
        raise MisconfigurationException(
            f"`{kind.__name__}` can not run on your system since the accelerator is not available."
            f" `Trainer(accelerator={given!r})` needs it; use 'auto' to take what there is."
        )
    return kind()


def choose_device(accelerator: Accelerator, devices: Sequence[int] | str | int) -> torch.device:
    """The one device that ``Trainer(devices=...)`` names.

    Args:
        accelerator: the kind of the device.
        devices: ``"auto"``, ``-1``, a number of devices, or indices, as a list or in a string (``"1,"`` is index 1).

    Raises:
        MisconfigurationException: no device, an index that does not exist, or more than one device.
    """
    count, indices = _parse_devices(devices, accelerator)
    if count == 0:
        raise MisconfigurationException(
            f"`Trainer(devices={devices!r})` value is not a valid input using {accelerator.name()} accelerator."
        )
    if count > 1:
        raise MisconfigurationException(
            f"`Trainer(devices={devices!r})` asks for {count} devices, and this runtime uses one. Set `devices=1`, or"
            " run this code on the real Lightning by changing its import line."
        )
    if accelerator.device_type != "cuda":
        return torch.device(accelerator.device_type)
    available = torch.cuda.device_count()
    if indices[0] >= available:
        raise MisconfigurationException(
            f"You requested gpu: {indices} But your machine only has: {list(range(available))}"
        )
    return torch.device("cuda", indices[0])


def _parse_devices(devices: Sequence[int] | str | int, accelerator: Accelerator) -> tuple[int, list[int]]:
    """How many devices, and the indices of them."""
    if isinstance(devices, str):
        text = devices.strip()
        if text == "auto":
            _tell_of_other_gpus(accelerator)
            return 1, [0]
        devices = [int(part) for part in text.split(",") if part.strip()] if "," in text else int(text)
    if isinstance(devices, int):
        if devices == -1:
            devices = torch.cuda.device_count() if accelerator.device_type == "cuda" else 1
        return devices, list(range(devices))
    return len(devices), list(devices)


def _tell_of_other_gpus(accelerator: Accelerator) -> None:
    if accelerator.device_type == "cuda" and (count := torch.cuda.device_count()) > 1:
        rank_zero_info(f"This machine has {count} GPUs; `devices='auto'` uses the first of them.")
