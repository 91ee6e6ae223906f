"""Is the module fit for the entry point? Said before anything runs."""

from typing import TYPE_CHECKING

from torchlift.dead_hooks import warn_of_dead_hooks
from torchlift.run import overrides
from torchlift.signatures import accepts, refuse_dataloader_iter
from torchlift.states import TrainerFn
from torchlift.utilities.exceptions import MisconfigurationException, PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_deprecation, rank_zero_warn

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

REMOVED = {
    TrainerFn.FITTING: ("training_epoch_end", "validation_epoch_end"),
    TrainerFn.VALIDATING: ("validation_epoch_end",),
    TrainerFn.TESTING: ("test_epoch_end",),
}
"""Hooks that Lightning 2 took away, by the entry point that called them."""


def validate_configuration(trainer: "Trainer", module: "LightningModule") -> None:
    """Check that the module has what the entry point needs.

    Raises:
        MisconfigurationException: a method is missing, or an option does not go with manual optimization.
        NotImplementedError: a hook that Lightning 2 removed is defined.
    """
    fn = trainer.state.fn
    if fn == TrainerFn.FITTING:
        _check_training(trainer, module)
        _check_manual_optimization(trainer, module)
    elif fn == TrainerFn.PREDICTING:
        if module.predict_step is None:
            raise MisconfigurationException("`predict_step` cannot be None to run `Trainer.predict`")
        if not overrides(module, "predict_step") and not overrides(module, "forward"):
            raise MisconfigurationException("`Trainer.predict` requires `forward` method to run.")
    else:
        step = "test_step" if fn == TrainerFn.TESTING else "validation_step"
        if not overrides(module, step):
            assert fn is not None
            raise MisconfigurationException(f"No `{step}()` method defined to run `Trainer.{fn.value}`.")
    for old in REMOVED.get(fn, ()):  # type: ignore[arg-type]
        if callable(getattr(module, old, None)):
            new = f"on_{old.replace('training', 'train')}"
            raise NotImplementedError(
                f"Support for `{old}` has been removed in v2.0.0. `{type(module).__name__}` implements this method. You"
                f" can use the `{new}` hook instead. To access outputs, save them in-memory as instance attributes."
            )
    _check_model_hooks(module)
    refuse_dataloader_iter(module)
    warn_of_dead_hooks(trainer, module)


def _check_model_hooks(module: "LightningModule") -> None:
    if not overrides(module, "configure_sharded_model"):
        return
    name = type(module).__name__
    if overrides(module, "configure_model"):
        raise RuntimeError(
            f"Both `{name}.configure_model`, and `{name}.configure_sharded_model` are overridden. The latter is"
            " deprecated and it should be replaced with the former."
        )
    rank_zero_deprecation(
        f"You have overridden `{name}.configure_sharded_model` which is deprecated. Please override the"
        " `configure_model` hook instead: what it makes has the device and the dtype of the run right away."
    )


def _check_training(trainer: "Trainer", module: "LightningModule") -> None:
    for name in ("training_step", "configure_optimizers"):
        if not overrides(module, name):
            raise MisconfigurationException(
                f"No `{name}()` method defined. Lightning `Trainer` expects as minimum a `training_step()`,"
                " `train_dataloader()` and `configure_optimizers()` to be defined."
            )
    if accepts(module.training_step, "optimizer_idx", explicit=True):
        raise RuntimeError(
            "Training with multiple optimizers is only supported with manual optimization. Remove the `optimizer_idx`"
            " argument from `training_step`, set `self.automatic_optimization = False` and access your optimizers in"
            " `training_step` with `opt1, opt2, ... = self.optimizers()`."
        )
    has_loader, has_step = trainer.fit_loop.val_loop.source.is_defined(), overrides(module, "validation_step")
    if has_loader and not has_step:
        rank_zero_warn("You passed in a `val_dataloader` but have no `validation_step`. Skipping val loop.")
    if has_step and not has_loader:
        rank_zero_warn(
            "You defined a `validation_step` but have no `val_dataloader`. Skipping val loop.",
            category=PossibleUserWarning,
        )


def _check_manual_optimization(trainer: "Trainer", module: "LightningModule") -> None:
    if module.automatic_optimization:
        return
    if trainer.gradient_clip_val is not None and trainer.gradient_clip_val > 0:
        raise MisconfigurationException(
            "Automatic gradient clipping is not supported for manual optimization. Remove"
            f" `Trainer(gradient_clip_val={trainer.gradient_clip_val})` or switch to automatic optimization."
        )
    if trainer.accumulate_grad_batches != 1:
        raise MisconfigurationException(
            "Automatic gradient accumulation is not supported for manual optimization. Remove"
            f" `Trainer(accumulate_grad_batches={trainer.accumulate_grad_batches})` or switch to automatic"
            " optimization."
        )
