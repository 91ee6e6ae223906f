"""The error that ends a run whose loss jumped."""

from typing import Any

__all__ = ["TrainingSpikeException"]


class TrainingSpikeException(RuntimeError):
    """The loss of a training batch was far from those before it.

    Args:
        batch_idx: the batch, within its epoch.
    """

    def __init__(self, batch_idx: int, *args: Any) -> None:
        super().__init__(f"Training spike detected in batch {batch_idx}", *args)
