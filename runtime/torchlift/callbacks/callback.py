"""``torchlift.callbacks.Callback``: the base class, at the path it has in Lightning."""

from torchlift.callback import Callback

__all__ = ["Callback"]
