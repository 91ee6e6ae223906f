"""What changed in the form of checkpoints, by the version of Lightning that changed it.

Source: the changelogs of https://github.com/Lightning-AI/pytorch-lightning/releases, and checkpoints of these versions.
Each function takes a checkpoint from the form before its version to the form after it, in place.
"""

import re
from collections.abc import Callable
from typing import Any

from torchlift.callbacks.early_stopping import EarlyStopping
from torchlift.callbacks.model_checkpoint import ModelCheckpoint
from torchlift.utilities.exceptions import PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn

Checkpoint = dict[str, Any]
Migration = Callable[[Checkpoint], Checkpoint]


def _migration_index() -> dict[str, list[Migration]]:
    """The changes by version, oldest first."""
    return {
        "0.10.0": [callbacks_get_states_of_their_own],
        "1.6.0": [steps_are_counted_by_the_loops, epochs_are_counted_by_the_loops],
        "1.6.5": [stepping_batches_are_counted],
        "1.9.0": [state_keys_lose_the_epoch_end],
        "2.0.0": [apex_is_gone, batch_loop_is_gone, optimizer_loop_is_gone, dataloader_loops_are_gone],
    }


def callbacks_get_states_of_their_own(checkpoint: Checkpoint) -> Checkpoint:
    """0.10.0: the values of two callbacks lay at the top."""
    moved = {
        "checkpoint_callback_best_model_score": (ModelCheckpoint, "best_model_score"),
        "checkpoint_callback_best_model_path": (ModelCheckpoint, "best_model_path"),
        "checkpoint_callback_best": (ModelCheckpoint, "best_model_score"),
        "early_stop_callback_wait": (EarlyStopping, "wait_count"),
        "early_stop_callback_patience": (EarlyStopping, "patience"),
    }
    states = checkpoint["callbacks"] = checkpoint.get("callbacks") or {}
    for old, (kind, name) in moved.items():
        if old in checkpoint:
            states[kind] = states.get(kind) or {}
            states[kind][name] = checkpoint.pop(old)
    return checkpoint


def steps_are_counted_by_the_loops(checkpoint: Checkpoint) -> Checkpoint:
    """1.6.0: optimizer steps are counted in automatic and in manual optimization."""
    fit_loop = _fit_loop_of_1_6(checkpoint)
    step = checkpoint["global_step"]
    optimizer = fit_loop["epoch_loop.batch_loop.optimizer_loop.optim_progress"]["optimizer"]
    optimizer["step"]["total"]["completed"] = step
    fit_loop["epoch_loop.batch_loop.manual_loop.optim_step_progress"]["total"]["completed"] = step
    return checkpoint


def epochs_are_counted_by_the_loops(checkpoint: Checkpoint) -> Checkpoint:
    """1.6.0: the loop over epochs counts them."""
    _fit_loop_of_1_6(checkpoint)["epoch_progress"]["current"]["completed"] = checkpoint["epoch"]
    return checkpoint


def stepping_batches_are_counted(checkpoint: Checkpoint) -> Checkpoint:
    """1.6.5: the loggers' step is a count of its own."""
    state = checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]
    state.setdefault("_batches_that_stepped", checkpoint["global_step"])
    return checkpoint


def state_keys_lose_the_epoch_end(checkpoint: Checkpoint) -> Checkpoint:
    """1.9.0: ``save_on_train_epoch_end`` no longer tells one ModelCheckpoint's state from another's."""
    if "callbacks" not in checkpoint:
        return checkpoint
    states = checkpoint["callbacks"]
    renamed = {
        re.sub(r", 'save_on_train_epoch_end': (None|True|False)", "", key)
        if key.startswith("ModelCheckpoint")
        else key: (state)
        for key, state in states.items()
        if isinstance(key, str)
    }
    if len(renamed) < len(states):
        rank_zero_warn(
            "You have multiple `ModelCheckpoint` callback states in this checkpoint, but we found state keys that would"
            " end up colliding with each other after an upgrade. At least one of your `ModelCheckpoint` callbacks will"
            " not be able to reload the state.",
            category=PossibleUserWarning,
        )
        return checkpoint
    checkpoint["callbacks"] = renamed
    return checkpoint


def apex_is_gone(checkpoint: Checkpoint) -> Checkpoint:
    """2.0.0: mixed precision is torch's own."""
    if checkpoint.pop("amp_scaling_state", None) is not None:
        rank_zero_warn("This checkpoint contains apex AMP data, but apex support has been removed in v2.0.0.")
    return checkpoint


def batch_loop_is_gone(checkpoint: Checkpoint) -> Checkpoint:
    """2.0.0: with truncated backpropagation went the loop over parts of a batch."""
    fit_loop = checkpoint.get("loops", {}).get("fit_loop")
    if fit_loop is None:
        return checkpoint
    for name in ("manual_loop.optim_step_progress", "manual_loop.state_dict"):
        _rename(fit_loop, f"epoch_loop.batch_loop.{name}", f"epoch_loop.{name}")
    for name in ("optimizer_loop.optim_progress", "optimizer_loop.state_dict"):
        _rename(fit_loop, f"epoch_loop.batch_loop.{name}", f"epoch_loop.{name}")
    if own := fit_loop.pop("epoch_loop.batch_loop.state_dict", None):
        fit_loop["epoch_loop.state_dict"]["old_batch_loop_state_dict"] = own  # of a loop that a user wrote
    return checkpoint


def optimizer_loop_is_gone(checkpoint: Checkpoint) -> Checkpoint:
    """2.0.0: one optimizer in automatic optimization, so no loop over them and no place in it."""
    fit_loop = checkpoint.get("loops", {}).get("fit_loop")
    if fit_loop is None:
        return checkpoint
    fit_loop.get("epoch_loop.optimizer_loop.optim_progress", {}).pop("optimizer_position", None)
    for old, new in (("optimizer_loop", "automatic_optimization"), ("manual_loop", "manual_optimization")):
        for name in ("state_dict", "optim_progress", "optim_step_progress"):
            _rename(fit_loop, f"epoch_loop.{old}.{name}", f"epoch_loop.{new}.{name}")
    return checkpoint


def dataloader_loops_are_gone(checkpoint: Checkpoint) -> Checkpoint:
    """2.0.0: the loop over loaders and the loop over batches of an evaluation became one."""
    for name in ("predict_loop", "validate_loop", "test_loop"):
        loop = checkpoint.get("loops", {}).get(name)
        if loop is None:
            continue
        loop.pop("dataloader_progress", None)
        inner = {key: loop.pop(key) for key in list(loop) if key.startswith("epoch_loop.")}
        loop.update({key.removeprefix("epoch_loop."): value for key, value in inner.items()})
    return checkpoint


def _rename(state: dict[str, Any], old: str, new: str) -> None:
    if old in state:
        state[new] = state.pop(old)


def _fit_loop_of_1_6(checkpoint: Checkpoint) -> dict[str, Any]:
    """The state of the loops, as 1.6.0 would have begun."""
    loops = checkpoint.setdefault("loops", {})
    return loops.setdefault("fit_loop", _initial_fit_loop())


def _initial_fit_loop() -> dict[str, Any]:
    def counts(*names: str) -> dict[str, Any]:
        return {part: dict.fromkeys(names, 0) for part in ("current", "total")}

    four = ("completed", "processed", "ready", "started")
    inner, val = "epoch_loop.batch_loop", "epoch_loop.val_loop"
    return {
        f"{inner}.manual_loop.optim_step_progress": counts("completed", "ready"),
        f"{inner}.manual_loop.state_dict": {},
        f"{inner}.optimizer_loop.optim_progress": {
            "optimizer": {"step": counts("completed", "ready"), "zero_grad": counts("completed", "ready", "started")},
            "optimizer_position": 0,
        },
        f"{inner}.optimizer_loop.state_dict": {},
        f"{inner}.state_dict": {},
        "epoch_loop.batch_progress": {**counts(*four), "is_last_batch": False},
        "epoch_loop.scheduler_progress": counts("completed", "ready"),
        "epoch_loop.state_dict": {"_batches_that_stepped": 0},
        f"{val}.dataloader_progress": counts("completed", "ready"),
        f"{val}.epoch_loop.batch_progress": {**counts(*four), "is_last_batch": False},
        f"{val}.epoch_loop.state_dict": {},
        f"{val}.state_dict": {},
        "epoch_progress": counts(*four),
        "state_dict": {},
    }
