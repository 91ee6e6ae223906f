"""Names for the kinds of values that hooks take and give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

STEP_OUTPUT = Tensor | Mapping[str, Any] | None


@dataclass
class LRSchedulerConfig:
    """A learning-rate scheduler and when to step it.

    https://lightning.ai/docs/pytorch/stable/common/lightning_module.html#configure-optimizers
    """

    scheduler: Any
    name: str | None = None
    interval: str = "epoch"
    frequency: int = 1
    reduce_on_plateau: bool = False
    monitor: str | None = None
    strict: bool = True
