"""Names for classes: what a string in ``Trainer(strategy=...)`` or ``Trainer(accelerator=...)`` stands for."""

from collections.abc import Callable
from typing import Any

__all__ = ["Registry"]


class Registry(dict[str, dict[str, Any]]):
    """Name -> the class, a description, and the arguments that the class is made with.

    Args:
        kind: what is registered, as in ``"strategy"``; the entries keep the class under this key.
        plural: of the kind.
        taken: the error for a name that is there already.

    Example::

        StrategyRegistry.register("mine", MyStrategy, description="...", option=1)
        Trainer(strategy="mine")
    """

    def __init__(self, kind: str, plural: str, taken: type[Exception]) -> None:
        super().__init__()
        self._kind, self._plural, self._taken = kind, plural, taken

    def register(
        self,
        name: str,
        cls: Callable[..., Any] | None = None,
        description: str | None = None,
        override: bool = False,
        **init_params: Any,
    ) -> Callable[..., Any]:
        """Give a class a name; without a class, a decorator that does so.

        Args:
            name: what users write.
            cls: made when the name is used.
            description: one line for those who list the names.
            override: replace an entry of the same name.
            init_params: arguments for the class.

        Raises:
            TypeError: `name` is no string.
            Exception: of the registry's own type when the name is taken.
        """
        if not isinstance(name, str):
            raise TypeError(f"`name` must be a str, found {name}")
        if name in self and not override:
            raise self._taken(f"'{name}' is already present in the registry. HINT: Use `override=True`.")

        def enter(found: Callable[..., Any]) -> Callable[..., Any]:
            self[name] = {
                "description": description or "",
                "init_params": init_params,
                self._kind: found,
                f"{self._kind}_name": name,
            }
            return found

        return enter if cls is None else enter(cls)

    def get(self, name: str, default: Any = None) -> Any:
        """An instance of the class of this name, made now.

        Raises:
            KeyError: there is none, and no `default`.
        """
        if name in self:
            entry = self[name]
            return entry[self._kind](**entry["init_params"])
        if default is not None:
            return default
        raise KeyError(f"'{name}' not found in registry. Available names: {', '.join(sorted(self)) or 'none'}")

    def remove(self, name: str) -> None:
        """Forget a name."""
        self.pop(name)

    def __str__(self) -> str:
        return f"Registered {self._plural.capitalize()}: {', '.join(self)}"
