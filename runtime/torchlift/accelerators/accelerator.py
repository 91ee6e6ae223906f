"""What the runtime asks of a kind of hardware."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torchlift.trainer import Trainer

__all__ = ["Accelerator"]


class Accelerator(ABC):
    """A kind of hardware.

    To bring one of your own, derive from this and pass an instance as ``Trainer(accelerator=...)``.

    https://lightning.ai/docs/pytorch/stable/extensions/accelerator.html
    """

    def setup(self, trainer: "Trainer") -> None:  # noqa: B027 - most have nothing to do
        """Called before the module is moved to its device."""

    @abstractmethod
    def setup_device(self, device: torch.device) -> None:
        """Make the device ready for this process, before any hook runs."""

    @abstractmethod
    def teardown(self) -> None:
        """The run is over."""

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """Figures about the device, by name, for the loggers.

        Raises:
            NotImplementedError: this accelerator has none.
        """
        raise NotImplementedError

    @staticmethod
    @abstractmethod
    def parse_devices(devices: Any) -> Any:
        """What ``Trainer(devices=...)`` means: a number of devices, or their indices.

        Raises:
            TypeError, MisconfigurationException: it means nothing here.
        """

    @staticmethod
    @abstractmethod
    def get_parallel_devices(devices: Any) -> Any:
        """The devices for what :meth:`parse_devices` returned."""

    @staticmethod
    @abstractmethod
    def auto_device_count() -> int:
        """How many devices ``Trainer(devices="auto")`` means."""

    @staticmethod
    @abstractmethod
    def is_available() -> bool:
        """Whether this machine has it."""

    @staticmethod
    @abstractmethod
    def name() -> str:
        """Its name in ``Trainer(accelerator=...)``."""
