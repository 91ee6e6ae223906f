"""Class methods that must not be called on an instance."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any


class _OnlyOnTheClass:
    """``model.load_from_checkpoint(path)`` would leave `model` as it is, and nobody would notice: it is an error."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        @wraps(self.method)
        def bound(*args: Any, **kwargs: Any) -> Any:
            if instance is not None:
                raise TypeError(
                    f"The classmethod `{owner.__name__}.{self.method.__name__}` cannot be called on an instance. Please"
                    " call it on the class type and make sure the return value is used."
                )
            return self.method(owner, *args, **kwargs)

        return bound


if TYPE_CHECKING:
    only_on_the_class = classmethod
else:
    only_on_the_class = _OnlyOnTheClass
