"""What ``Trainer(plugins=...)`` takes; the names are those of ``lightning.pytorch.plugins``."""

from torchlift.async_checkpoint_io import AsyncCheckpointIO
from torchlift.checkpoint_io import CheckpointIO, TorchCheckpointIO
from torchlift.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision

__all__ = [
    "AsyncCheckpointIO",
    "CheckpointIO",
    "DoublePrecision",
    "HalfPrecision",
    "MixedPrecision",
    "Precision",
    "TorchCheckpointIO",
]
