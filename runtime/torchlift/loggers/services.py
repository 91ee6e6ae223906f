"""The loggers of tracking services, which this runtime does not bring yet: importable, and clear about it when used.

So a script that can use one of several loggers runs, and ``isinstance(logger, WandbLogger)`` in a callback is false.
"""

from __future__ import annotations

from typing import Any

from torchlift.loggers.logger import Logger

__all__ = ["CometLogger", "LitLogger", "MLFlowLogger", "NeptuneLogger", "WandbLogger"]


class _Absent(Logger):
    """Says that it is not there.

    Raises:
        ModuleNotFoundError: always; it is what Lightning raises where the service's own package is missing.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        service = next(cls for cls in type(self).__mro__ if _Absent in cls.__bases__)  # `self` may be a subclass
        raise ModuleNotFoundError(
            f"`{service.__name__}` is not part of this runtime yet. Use `CSVLogger` or `TensorBoardLogger`, write a"
            " subclass of `Logger` around the service's own client, or run this code on the real Lightning by changing"
            " its import line."
        )

    @property
    def name(self) -> str | None:
        return None

    @property
    def version(self) -> str | None:
        return None

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Never reached."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Never reached."""


class CometLogger(_Absent):
    """Comet (https://www.comet.com); not here yet."""


class LitLogger(_Absent):
    """Lightning's own service; not here yet."""


class MLFlowLogger(_Absent):
    """MLflow (https://mlflow.org); not here yet."""


class NeptuneLogger(_Absent):
    """Neptune (https://neptune.ai); not here yet."""


class WandbLogger(_Absent):
    """Weights & Biases (https://wandb.ai); not here yet."""
