"""In which hooks ``self.log`` is allowed, and at which level it logs there when nothing is said.

https://lightning.ai/docs/pytorch/stable/extensions/logging.html#automatic-logging
"""

from typing import NamedTuple

from torchlift.utilities.exceptions import MisconfigurationException


class Levels(NamedTuple):
    """What a hook may ask for, and what it gets by default."""

    on_step: bool
    on_epoch: bool
    step_allowed: bool


_STEP = Levels(on_step=True, on_epoch=False, step_allowed=True)
_EVALUATION = Levels(on_step=False, on_epoch=True, step_allowed=True)
_EPOCH = Levels(on_step=False, on_epoch=True, step_allowed=False)

_LEVELS = {
    **dict.fromkeys(
        (
            "training_step",
            "on_train_batch_start",
            "on_train_batch_end",
            "on_before_zero_grad",
            "optimizer_zero_grad",
            "on_before_backward",
            "backward",
            "on_after_backward",
            "on_before_optimizer_step",
            "optimizer_step",
            "configure_gradient_clipping",
            "clip_gradients",
        ),
        _STEP,
    ),
    **dict.fromkeys(
        (
            "validation_step",
            "on_validation_batch_start",
            "on_validation_batch_end",
            "test_step",
            "on_test_batch_start",
            "on_test_batch_end",
        ),
        _EVALUATION,
    ),
    **dict.fromkeys(
        (
            "on_train_start",
            "on_train_epoch_start",
            "on_train_epoch_end",
            "on_validation_start",
            "on_validation_epoch_start",
            "on_validation_epoch_end",
            "on_test_start",
            "on_test_epoch_start",
            "on_test_epoch_end",
        ),
        _EPOCH,
    ),
}


def levels(fx: str, on_step: bool | None, on_epoch: bool | None) -> tuple[bool, bool]:
    """Return ``(on_step, on_epoch)`` with the defaults of hook `fx` filled in.

    Raises:
        MisconfigurationException: the hook may not log, or not at that level.
    """
    allowed = _LEVELS.get(fx)
    if allowed is None:
        raise MisconfigurationException(
            f"You can't `self.log()` inside `{fx}`. HINT: You can still log directly to the logger by using"
            " `self.logger.experiment`."
        )
    on_step = allowed.on_step if on_step is None else on_step
    on_epoch = allowed.on_epoch if on_epoch is None else on_epoch
    if on_step and not allowed.step_allowed:
        raise MisconfigurationException(
            f"You can't `self.log(on_step=True)` inside `{fx}`: it runs once per epoch. Leave `on_step` out."
        )
    if not on_epoch and not allowed.step_allowed:
        raise MisconfigurationException(
            f"You can't `self.log(on_epoch=False)` inside `{fx}`: it runs once per epoch. Leave `on_epoch` out."
        )
    if not on_step and not on_epoch:
        raise MisconfigurationException("`self.log(on_step=False, on_epoch=False)` is not useful.")
    return on_step, on_epoch
