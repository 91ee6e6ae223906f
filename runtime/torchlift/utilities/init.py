"""Creating modules without filling their parameters."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode


class NoInitialization(TorchFunctionMode):
    """Within it the functions of ``torch.nn.init`` leave their tensor as it is, and draw nothing."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)
