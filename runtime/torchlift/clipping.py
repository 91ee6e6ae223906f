"""Clipping of gradients."""

from typing import TYPE_CHECKING

from torch.optim import Optimizer

from torchlift.utilities.enums import GradClipAlgorithmType
from torchlift.utilities.exceptions import MisconfigurationException

if TYPE_CHECKING:
    from torchlift.trainer import Trainer


def clip_algorithm(given: str | None) -> GradClipAlgorithmType | None:
    """The algorithm of this name.

    Raises:
        MisconfigurationException: there is none.
    """
    if given is None:
        return None
    if not GradClipAlgorithmType.supported_type(given.lower()):
        raise MisconfigurationException(
            f"`gradient_clip_algorithm` {given} is invalid. Allowed algorithms:"
            f" {GradClipAlgorithmType.supported_types()}."
        )
    return GradClipAlgorithmType(given.lower())


def clip_gradients(trainer: "Trainer", optimizer: Optimizer, value: float | None, algorithm: str | None) -> None:
    """Clip as asked, or else as the Trainer says; see ``LightningModule.clip_gradients``."""
    if value is None:
        value = trainer.gradient_clip_val or 0.0
    elif trainer.gradient_clip_val is not None and trainer.gradient_clip_val != value:
        raise MisconfigurationException(
            f"You have set `Trainer(gradient_clip_val={trainer.gradient_clip_val!r})` and have passed"
            f" `clip_gradients(gradient_clip_val={value!r})`. Please use only one of them."
        )
    if not isinstance(value, (int, float)):
        raise TypeError(f"`gradient_clip_val` should be an int or a float. Got {value}.")
    own = trainer.gradient_clip_algorithm
    chosen = clip_algorithm(algorithm)
    if chosen is not None and own is not None and chosen != own:
        raise MisconfigurationException(
            f"You have set `Trainer(gradient_clip_algorithm={own.value!r})` and have passed"
            f" `clip_gradients(gradient_clip_algorithm={algorithm!r})` Please use only one of them."
        )
    trainer.precision_plugin.clip_gradients(optimizer, value, chosen or own or GradClipAlgorithmType.NORM)
