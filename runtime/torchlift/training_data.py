"""The loaders of training, and how often validation comes between their batches."""

import time

from torchlift.data import Batches, has_length, limits, load
from torchlift.profiling import timed
from torchlift.replay import load_states_of_loaders, start_batches
from torchlift.run import Run, overrides
from torchlift.states import RunningStage
from torchlift.utilities.exceptions import MisconfigurationException, PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn


def setup_training(run: Run) -> None:
    """Make the training loaders and the first iterator, unless they are there and not due to be made again."""
    trainer, state = run.trainer, run.fit
    every = trainer.reload_dataloaders_every_n_epochs
    due = bool(every) and trainer.current_epoch - state.last_reload_epoch >= every
    if state.combined is not None and not due:
        return
    if trainer.limit_train_batches == 0 or not overrides(run.module, "training_step"):
        return
    make = timed(trainer, "setup_train_dataloader", load)
    combined = state.combined = make(trainer, state.source, RunningStage.TRAINING, "max_size_cycle")
    trainer.strategy.barrier("train_dataloader()")
    combined.limits = limits(trainer, combined, RunningStage.TRAINING)
    state.batches = Batches(combined)
    load_states_of_loaders(state)
    if state.resuming is None or not state.resuming.makes_iterators:
        start_batches(state)
    total = combined.total()
    state.max_batches = float("inf") if total is None else total
    if state.max_batches == 0:
        return
    state.last_reload_epoch = trainer.current_epoch
    _set_validation_interval(run, has_length(combined))
    if trainer.loggers and state.max_batches < trainer.log_every_n_steps and not trainer.fast_dev_run:
        rank_zero_warn(
            f"The number of training batches ({state.max_batches}) is smaller than the logging interval"
            f" Trainer(log_every_n_steps={trainer.log_every_n_steps}). Set a lower value for log_every_n_steps if you"
            " want to see logs for the training epoch.",
            category=PossibleUserWarning,
        )


def _set_validation_interval(run: Run, sized: bool) -> None:
    """``trainer.val_check_batch``: after every so many training batches; infinite is the end of the epoch."""
    trainer, state, interval = run.trainer, run.fit, run.trainer.val_check_interval
    if trainer._val_check_time_interval is not None:
        trainer.val_check_batch = None
        trainer._last_val_time = time.monotonic()
    elif isinstance(interval, int):
        trainer.val_check_batch = interval
        in_epoch = trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches > 0
        if interval > state.max_batches and in_epoch:
            raise ValueError(
                f" `val_check_interval` ({interval}) must be less than or equal to the number of the training batches"
                f" ({state.max_batches}). If you want to disable validation set `limit_val_batches` to 0.0 instead. If"
                " you want to validate based on the total training batches, set `check_val_every_n_epoch=None`."
            )
    elif sized:
        trainer.val_check_batch = max(1, int(state.max_batches * interval))
    elif interval == 1.0:
        trainer.val_check_batch = float("inf")
    else:
        raise MisconfigurationException(
            "When using an IterableDataset for `train_dataloader`, `Trainer(val_check_interval)` must be time based,"
            " `1.0` or an int. An int k specifies checking validation every k training batches."
        )
