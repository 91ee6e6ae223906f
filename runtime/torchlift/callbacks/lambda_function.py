"""A callback made of functions.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.LambdaCallback.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchlift.callback import Callback

__all__ = ["LambdaCallback"]

_HOOKS = {name for name in vars(Callback) if name.startswith("on_")} | {"setup", "teardown"}


class LambdaCallback(Callback):
    """``LambdaCallback(on_train_start=lambda trainer, module: ...)``: each function becomes the hook of its name.

    Raises:
        TypeError: there is no hook of that name.
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        for name, function in hooks.items():
            if name not in _HOOKS:
                raise TypeError(f"LambdaCallback got an unexpected keyword argument: there is no hook {name!r}.")
            if function is not None:
                setattr(self, name, function)
