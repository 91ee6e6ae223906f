"""Where the module runs and how processes work together."""

from torchlift.strategies.single_device import SingleDeviceStrategy
from torchlift.strategies.strategy import Strategy

__all__ = ["SingleDeviceStrategy", "Strategy"]
