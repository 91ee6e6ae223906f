"""What a checkpoint holds, and how it is restored. Keys and their contents are Lightning's, in both directions."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchlift import position
from torchlift.checkpoint_errors import (
    LIGHTNING_VERSION,
    check_contents,
    check_optimizers,
    release,
    weights_explained,
)
from torchlift.hooks import call_callbacks, call_module
from torchlift.hparams import to_stored
from torchlift.resume import Resuming
from torchlift.states import TrainerFn
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn

if TYPE_CHECKING:
    from torchlift.run import Run
    from torchlift.trainer import Trainer


def dump(trainer: "Trainer", weights_only: bool = False) -> dict[str, Any]:
    """The state of the run as a dictionary that ``torch.load(weights_only=True)`` can read.

    Args:
        trainer: its run is dumped.
        weights_only: leave out callbacks, optimizers, schedulers and the gradient scaler.
    """
    module, datamodule, precision = trainer.lightning_module, trainer.datamodule, trainer.precision_plugin
    contents: dict[str, Any] = {
        "epoch": trainer.current_epoch,
        "global_step": trainer.global_step,
        "pytorch-lightning_version": LIGHTNING_VERSION,
        "state_dict": trainer.strategy.lightning_module_state_dict(),
        "loops": _loops(trainer),
    }
    if not weights_only:
        states = {callback.state_key: callback.state_dict() for callback in trainer.callbacks}
        contents["callbacks"] = {key: state for key, state in states.items() if state}
        contents["optimizer_states"] = [trainer.strategy.optimizer_state(one) for one in trainer.optimizers]
        contents["lr_schedulers"] = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        if scaling := precision.state_dict():
            contents[type(precision).__qualname__] = scaling
        precision.on_save_checkpoint(contents)
        if where := position.dump(trainer):
            contents[position.KEY] = where
    for holder in (module, datamodule):
        if holder is not None and holder.hparams:
            if hasattr(holder, "_hparams_name"):
                contents[holder.CHECKPOINT_HYPER_PARAMS_NAME] = holder._hparams_name
            kept, kind = to_stored(holder.hparams)
            contents[holder.CHECKPOINT_HYPER_PARAMS_KEY] = kept
            if kind is not None:
                contents[holder.CHECKPOINT_HYPER_PARAMS_TYPE] = kind
    if datamodule is not None and (state := datamodule.state_dict()):
        contents[type(datamodule).__qualname__] = state
    if not weights_only:
        call_callbacks(trainer, "on_save_checkpoint", contents)
    call_module(trainer, "on_save_checkpoint", contents)
    return contents


def _loops(trainer: "Trainer") -> dict[str, Any]:
    return {
        "fit_loop": trainer.fit_loop.state_dict(),
        "validate_loop": trainer.validate_loop.state_dict(""),
        "test_loop": trainer.test_loop.state_dict(""),
        "predict_loop": trainer.predict_loop.state_dict(""),
    }


def read(trainer: "Trainer", path: str | Path | None, weights_only: bool | None) -> dict[str, Any]:
    """The checkpoint at `path`; empty when there is none to restore.

    Raises:
        FileNotFoundError, ValueError: see ``checkpoint_io.load``.
    """
    trainer._ckpt_path = path
    if not path:
        return {}
    rank_zero_info(f"Restoring states from the checkpoint path at {path}")
    contents = trainer.strategy.load_checkpoint(path, weights_only=weights_only)
    check_contents(contents, path)
    return _of_today(contents, path)


def _of_today(contents: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """A checkpoint of an old version in the form of the present one."""
    version = contents.get("pytorch-lightning_version")
    if version is None or release(version) >= (2, 0, 0):
        return contents
    from torchlift.utilities.migration.utils import _pl_migrate_checkpoint

    return _pl_migrate_checkpoint(contents, path)


def restore_modules_and_callbacks(trainer: "Trainer", contents: dict[str, Any]) -> None:
    """The module's weights, the data module's state and the callbacks' states."""
    if not contents:
        return
    module, datamodule = trainer.lightning_module, trainer.datamodule
    call_module(trainer, "on_load_checkpoint", contents)
    with weights_explained(trainer.ckpt_path, "set `strict_loading = False` on your module"):
        trainer.strategy.load_model_state_dict(contents, strict=module.strict_loading)
    if datamodule is not None and type(datamodule).__qualname__ in contents:
        datamodule.load_state_dict(contents[type(datamodule).__qualname__])
    states = contents.get("callbacks")
    if states is None:
        return
    if missing := states.keys() - {callback.state_key for callback in trainer.callbacks}:
        rank_zero_warn(
            "Be aware that when using `ckpt_path`, callbacks used to create the checkpoint need to be provided during"
            f" `Trainer` instantiation. Please add the following callbacks: {list(missing)}."
        )
    call_callbacks(trainer, "on_load_checkpoint", contents)
    for callback in trainer.callbacks:
        if state := states.get(callback.state_key, states.get(type(callback))):  # before 1.5, by its class
            callback.load_state_dict(copy.deepcopy(state))


def _place_in_training(trainer: "Trainer", contents: dict[str, Any]) -> tuple[int, int] | None:
    """The epoch and step at which the loggers show what a Trainer that has trained nothing finds in a checkpoint.

    They are those of the moment at which it was saved, where Lightning would begin at 0 again.
    """
    if trainer.global_step or "loops" not in contents:
        return None
    epoch_loop = contents["loops"]["fit_loop"].get("epoch_loop.state_dict", {})
    return contents["epoch"], epoch_loop.get("_batches_that_stepped", contents["global_step"])


def _resuming(run: "Run", contents: dict[str, Any]) -> Resuming:
    from torchlift.exact_resume import ExactResuming

    if position.KEY in contents:
        return ExactResuming(run, contents[position.KEY])
    return Resuming(run.fit)


def restore_training_state(run: "Run", contents: dict[str, Any]) -> None:
    """The gradient scaler, how far the loops had come, the optimizers and the schedulers.

    Raises:
        KeyError: the checkpoint holds weights only.
        MisconfigurationException: it is further than ``max_epochs``.
    """
    trainer, precision, fn = run.trainer, run.precision, run.trainer.state.fn
    run.logged.restored_at = None if fn == TrainerFn.FITTING else _place_in_training(trainer, contents)
    if not contents:
        return
    precision.on_load_checkpoint(contents)
    if type(precision).__qualname__ in contents:
        precision.load_state_dict(contents[type(precision).__qualname__])
    loops = contents.get("loops")
    if loops is not None:
        if fn == TrainerFn.FITTING:
            run.fit.load_state_dict(loops["fit_loop"])
            idle = run.fit.manual_steps if run.automatic else run.fit.steps
            idle.total = idle.before = 0  # a migrated checkpoint has the steps in both
            run.fit.resuming = _resuming(run, contents)
        elif fn == TrainerFn.PREDICTING:
            trainer.predict_loop.load_state_dict(loops["predict_loop"], "")
        else:
            assert fn is not None
            trainer._evaluation_state.load_state_dict(loops[f"{fn.value}_loop"], "")
    if fn != TrainerFn.FITTING:
        rank_zero_info(f"Loaded model weights from the checkpoint at {trainer.ckpt_path}")
        return
    if trainer.max_epochs not in (-1, None) and trainer.current_epoch > (trainer.max_epochs or 0):
        raise MisconfigurationException(
            f"You restored a checkpoint with current_epoch={trainer.current_epoch}, but you have set"
            f" Trainer(max_epochs={trainer.max_epochs})."
        )
    ours = trainer.strategy.lightning_restore_optimizer
    for key, what in (("optimizer_states", "optimizer"), ("lr_schedulers", "learning rate scheduler")):
        if key not in contents and (ours or key == "lr_schedulers"):
            raise KeyError(
                f"Trying to restore {what} state but checkpoint contains only the model. This is probably due to"
                " `ModelCheckpoint.save_weights_only` being set to `True`."
            )
    if ours:
        check_optimizers(trainer.ckpt_path, len(contents["optimizer_states"]), len(trainer.optimizers))
        trainer.strategy.load_optimizer_state_dict(contents)
    for config, state in zip(trainer.lr_scheduler_configs, contents["lr_schedulers"]):
        config.scheduler.load_state_dict(state)
    rank_zero_info(f"Restored all states from the checkpoint at {trainer.ckpt_path}")
