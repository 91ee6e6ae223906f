"""What ``Trainer(plugins=...)`` takes; the names are those of ``lightning.pytorch.plugins``."""

from torchlift.checkpoint_io import CheckpointIO, TorchCheckpointIO
from torchlift.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision

__all__ = [
    "CheckpointIO",
    "DoublePrecision",
    "HalfPrecision",
    "MixedPrecision",
    "Precision",
    "TorchCheckpointIO",
]
