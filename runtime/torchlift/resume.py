"""Going on from a checkpoint: what the counters that it holds say about the moment it was written.

A checkpoint can be written at any hook. Which work is done again, which is left out and which hooks run follows
Lightning 2.6, so that a run resumed here and one resumed there do the same.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torchlift.progress import COMPLETED, PROCESSED, READY, STARTED
from torchlift.utilities.exceptions import PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn

if TYPE_CHECKING:
    from torchlift.run import Run


@dataclass
class Resuming:
    """A restored run, until its first epoch is over.

    Attributes:
        restarts: the epoch was under way when the checkpoint was written (always taken so with ``max_steps``).
        epoch_phase: the moment the epoch had reached.
        batch_phase: the moment the last batch had reached.
        inside_validation: the checkpoint was written during validation.
        first_iteration: no batch has been trained on since.
        skip_next_validation: the validation due now had run before the checkpoint was written.
        validation_has_run: it was run since.
    """

    restarts: bool
    epoch_phase: int = COMPLETED
    batch_phase: int = COMPLETED
    inside_validation: bool = False
    first_iteration: bool = True
    skip_next_validation: bool = False

    @property
    def restarts_batches(self) -> bool:
        return self.restarts and self.first_iteration


def after_loading(run: "Run") -> None:
    """The counters were just restored."""
    state = run.fit
    progress = state.epoch_progress
    unfinished = progress.started != progress.processed or progress.ready != progress.processed
    state.resuming = Resuming(restarts=unfinished or state.max_steps != -1)


def begin(run: "Run") -> None:
    """Before ``on_train_start``: settle what was half done."""
    state, resuming = run.fit, run.fit.resuming
    if resuming is None:
        return
    epoch, batch, val = state.epoch_progress, state.batch_progress, state.val_loop.batch_progress
    resuming.epoch_phase, resuming.batch_phase = epoch.phase, batch.phase
    resuming.inside_validation = resuming.restarts and val.phase == STARTED
    if not resuming.restarts:
        if epoch.phase == PROCESSED:
            epoch.phase = COMPLETED
        return
    after_batch = batch.phase == PROCESSED
    if after_batch and batch.is_last_batch and (epoch.phase == STARTED or not val.is_last_batch):
        epoch.phase = COMPLETED


def is_inside_epoch(run: "Run") -> bool:
    """Whether the epoch under way had begun when the checkpoint was written, so that it does not begin again."""
    resuming = run.fit.resuming
    return resuming is not None and resuming.restarts and resuming.epoch_phase in (STARTED, PROCESSED)


def is_at_epoch_start(run: "Run") -> bool:
    """Whether the checkpoint was written in ``on_train_epoch_start``, which runs again."""
    resuming = run.fit.resuming
    return resuming is not None and resuming.restarts and resuming.epoch_phase == READY


def begin_epoch(run: "Run") -> None:
    """The batches' counters at the start of the loop over batches: anew, or where the checkpoint left them."""
    state, resuming = run.fit, run.fit.resuming
    if resuming is None or not resuming.restarts:
        state.start_epoch_counters()
        return
    batch = state.batch_progress
    waits = state.accumulates(run.trainer.accumulate_grad_batches)
    if not waits and resuming.batch_phase != COMPLETED:
        # The checkpoint was written before the batch was counted for the loggers.
        state._batches_that_stepped += 1
    if resuming.batch_phase == PROCESSED:
        batch.phase = COMPLETED
        if batch.completed >= state.max_batches:
            state.start_epoch_counters()
    batch.reset_on_restart()
    _warn_if_inside(run)


def _warn_if_inside(run: "Run") -> None:
    state = run.fit
    if state.max_batches == float("inf") or state.combined is None:
        return
    expected = math.ceil(state.max_batches / run.trainer.accumulate_grad_batches)
    stateful = all(hasattr(one, "load_state_dict") and hasattr(one, "state_dict") for one in state.combined.flattened)
    if state.global_step % expected and not stateful:
        rank_zero_warn(
            "You're resuming from a checkpoint that ended before the epoch ended and your dataloader is not resumable."
            " This can cause unreliable results if further training is done. Consider using an end-of-epoch checkpoint"
            " or make your dataloader resumable by implementing the `state_dict` / `load_state_dict` interface.",
            category=PossibleUserWarning,
        )


def skips_training(run: "Run", validation_is_due: bool) -> bool:
    """Whether the first iteration only finishes, or leaves out, the validation around which the file was written."""
    resuming = run.fit.resuming
    assert resuming is not None
    if not resuming.restarts_batches or not validation_is_due:
        return False
    if resuming.inside_validation:
        return True
    if resuming.batch_phase == COMPLETED:
        resuming.skip_next_validation = True
        return True
    return False


def iteration_done(run: "Run") -> None:
    """One turn of the loop over batches is over."""
    resuming = run.fit.resuming
    assert resuming is not None
    resuming.first_iteration = False
    resuming.skip_next_validation = False


def epoch_done(run: "Run") -> None:
    """The first epoch after the checkpoint is over: from here on the run is like any other."""
    run.fit.resuming = None
