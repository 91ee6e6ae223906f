"""Clipping of gradients."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
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
    if value <= 0:
        return
    if getattr(optimizer, "_step_supports_amp_scaling", False) and trainer.scaler is not None:
        raise RuntimeError(
            f"The current optimizer, {type(optimizer).__qualname__}, does not allow for gradient clipping because it"
            " performs unscaling of gradients internally. HINT: Are you using a 'fused' optimizer?"
        )
    clip_parameters(optimizer, value, chosen or own or GradClipAlgorithmType.NORM)


def clip_parameters(optimizer: Any, value: float, algorithm: GradClipAlgorithmType) -> None:
    """Clip the gradients of the optimizer's parameters to a norm, or each element to an absolute value."""
    if algorithm is GradClipAlgorithmType.VALUE:
        torch.nn.utils.clip_grad_value_(_main_parameters(optimizer), clip_value=value)
    else:
        torch.nn.utils.clip_grad_norm_(_main_parameters(optimizer), value)


def _main_parameters(optimizer: Any) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]
