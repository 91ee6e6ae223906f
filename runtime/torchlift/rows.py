"""The rows that the loggers get while training: one for a step that is due, one for an epoch.

Both come when the step or the epoch is over, as in Lightning. Only a checkpoint does not wait for that: a run that goes
on from it begins behind this step or epoch, so what was logged until then is sent first. Else a kill between the two
would lose the row.
"""

from torchlift.progress import PROCESSED
from torchlift.run import Run
from torchlift.states import TrainerFn


def send_step(run: Run) -> None:
    """Every ``log_every_n_steps``, hand the metrics of this step to the loggers."""
    if _is_due(run):
        _send(run, run.fit._batches_that_stepped)
        run.logged.sent_early.clear()


def send_epoch(run: Run) -> None:
    """Hand the epoch's metrics to the loggers. Lightning's get them at the step of its last batch."""
    _send(run, run.fit._batches_that_stepped - 1)
    run.logged.sent_early.clear()


def send_before_checkpoint(run: Run | None) -> None:
    """What a checkpoint counts as done has been logged when it is written."""
    if run is None or run.trainer.state.fn != TrainerFn.FITTING or not run.trainer.training:
        return
    state, logged = run.fit, run.logged
    if state.epoch_progress.phase == PROCESSED:
        stepped = state._batches_that_stepped - 1
    elif state.batch_progress.phase == PROCESSED and _is_due(run):
        stepped = state._batches_that_stepped
    else:
        return
    metrics = logged.for_loggers()
    _send(run, stepped)
    logged.sent_early.update(metrics)


def _is_due(run: Run) -> bool:
    trainer, state = run.trainer, run.fit
    every = trainer.log_every_n_steps
    due = every and ((state._batches_that_stepped + 1) % every == 0 or trainer.should_stop)
    if not (due or trainer.fast_dev_run):  # first, because it is so at most steps
        return False
    return not (run.automatic and state.accumulates(trainer.accumulate_grad_batches))


def _send(run: Run, step: int) -> None:
    run.logged.send(run.logged.for_loggers(), run.trainer.loggers, run.trainer.current_epoch, step)
