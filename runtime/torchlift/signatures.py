"""What the signature of a hook must have, given the loaders."""

import inspect
from typing import Any

from torchlift.utilities.exceptions import MisconfigurationException


def accepts(function: Any, name: str, explicit: bool = False) -> bool:
    """Whether a method takes an argument of this name (or, unless `explicit`, any number of arguments)."""
    function = getattr(function, "__wrapped__", function)
    specification = inspect.getfullargspec(function)
    return name in specification.args[1:] or (not explicit and specification.varargs is not None)


def check_dataloader_idx(module: Any, names: tuple[str, ...], several: bool, prefix: str) -> None:
    """With several loaders each of these hooks takes ``dataloader_idx``; with one it must be optional.

    Raises:
        RuntimeError: one of them is not so.
    """
    for name in names:
        function = getattr(module, name)
        place = f"`{type(module).__name__}.{name}()`"
        if several and not accepts(function, "dataloader_idx"):
            raise RuntimeError(
                f"You provided multiple `{prefix}_dataloader`, but no `dataloader_idx` argument in {place}. Try adding"
                " `dataloader_idx=0` to its signature."
            )
        if not several and accepts(function, "dataloader_idx"):
            parameter = inspect.signature(function).parameters.get("dataloader_idx")
            if parameter is not None and parameter.default is inspect.Parameter.empty:
                raise RuntimeError(
                    f"You provided only a single `{prefix}_dataloader`, but have included `dataloader_idx` in {place}."
                    " Either remove the argument or give it a default value i.e. `dataloader_idx=0`."
                )


def refuse_dataloader_iter(module: Any) -> None:
    """A step that takes ``dataloader_iter`` fetches its own batches, which this runtime does not hand out.

    Raises:
        MisconfigurationException: one does.
    """
    for name in ("training_step", "validation_step", "test_step", "predict_step"):
        step = getattr(module, name)
        # Setting a step to None is a known way of turning it off.
        if callable(step) and accepts(step, "dataloader_iter", explicit=True):
            raise MisconfigurationException(
                f"`{type(module).__name__}.{name}(self, dataloader_iter)` is not supported: take `(self, batch,"
                " batch_idx)`."
            )
