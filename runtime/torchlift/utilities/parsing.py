"""Attributes that may lie in a module, in its hyperparameters or in its data module."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torchlift.hparams import AttributeDict, clean_namespace, is_picklable

if TYPE_CHECKING:
    from torchlift.module import LightningModule

__all__ = [
    "AttributeDict",
    "clean_namespace",
    "is_picklable",
    "lightning_getattr",
    "lightning_hasattr",
    "lightning_setattr",
]


def lightning_hasattr(model: "LightningModule", attribute: str) -> bool:
    """Whether the module, its ``hparams``, its data module or that one's ``hparams`` has `attribute`."""
    return any(True for _ in _holders(model, attribute))


def lightning_getattr(model: "LightningModule", attribute: str) -> Any:
    """The value of `attribute`; of several places the last counts, the data module's before the module's.

    Raises:
        AttributeError: no place has it.
    """
    *_, holder = _found(model, attribute)
    return holder[attribute] if isinstance(holder, dict) else getattr(holder, attribute)


def lightning_setattr(model: "LightningModule", attribute: str, value: Any) -> None:
    """Set `attribute` in every place that has it.

    Raises:
        AttributeError: no place has it.
    """
    for holder in _found(model, attribute):
        if isinstance(holder, dict):
            holder[attribute] = value
        else:
            setattr(holder, attribute, value)


def _holders(model: "LightningModule", attribute: str) -> Iterator[Any]:
    trainer = model._trainer
    for place in (model, trainer.datamodule if trainer is not None else None):
        if place is None:
            continue
        if hasattr(place, attribute):
            yield place
        if attribute in getattr(place, "hparams", ()):
            yield place.hparams


def _found(model: "LightningModule", attribute: str) -> list[Any]:
    holders = list(_holders(model, attribute))
    if not holders:
        raise AttributeError(
            f"{attribute} is neither stored in the model namespace nor the `hparams` namespace/dict, nor the"
            " datamodule."
        )
    return holders
