"""The mark of callbacks that write checkpoints."""

from torchlift.callback import Callback

__all__ = ["Checkpoint"]


class Checkpoint(Callback):
    """Base of every callback that saves checkpoints; the Trainer runs these last, after all others."""

    resumes_fit = False
    """Whether ``fit`` without a ``ckpt_path`` goes on from what the callback saved."""
