"""torchlift: Lightning's API on a training loop that can be read.

Names resolve on first use (PEP 562), so that ``import torchlift`` costs next to nothing and a script pays only for
the parts it touches.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchlift.callback import Callback as Callback
    from torchlift.datamodule import LightningDataModule as LightningDataModule
    from torchlift.module import LightningModule as LightningModule
    from torchlift.trainer import Trainer as Trainer
    from torchlift.utilities.seed import seed_everything as seed_everything

__version__ = "0.1.0"

_HOME = {
    "Callback": "torchlift.callback",
    "LightningDataModule": "torchlift.datamodule",
    "LightningModule": "torchlift.module",
    "Trainer": "torchlift.trainer",
    "seed_everything": "torchlift.utilities.seed",
}
_SUBMODULES = {
    "accelerators",
    "callbacks",
    "demos",
    "loggers",
    "plugins",
    "profilers",
    "pytorch",
    "serve",
    "strategies",
    "tuner",
    "utilities",
}

__all__ = ["Callback", "LightningDataModule", "LightningModule", "Trainer", "__version__", "seed_everything"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"torchlift.{name}")
    else:
        raise AttributeError(f"module 'torchlift' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_SUBMODULES})
