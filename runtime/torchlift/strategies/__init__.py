"""Where the module runs and how processes work together, one file each; a name is imported when it is first used."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__; a test compares it with the files
    from torchlift.strategies.registry import StrategyRegistry as StrategyRegistry
    from torchlift.strategies.single_device import SingleDeviceStrategy as SingleDeviceStrategy
    from torchlift.strategies.strategy import Strategy as Strategy

__getattr__, __dir__ = lazy_exports(__name__)
