"""Going on from a checkpoint of Lightning's: what its counters say about the moment it was written.

A checkpoint can be written at any hook. Which work is done again, which is left out and which hooks run follows
Lightning 2.6, so that a run resumed here and one resumed there do the same. Our own checkpoints hold more than the
counters; a run goes on from them as if nothing had happened: see ``torchlift.exact_resume``.
"""

import math
from typing import TYPE_CHECKING

from torchlift.progress import COMPLETED, PROCESSED, READY, STARTED
from torchlift.replay import is_stateful, remember_first_batch
from torchlift.utilities.exceptions import PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn

if TYPE_CHECKING:
    from torchlift.loop_state import FitState
    from torchlift.run import Run


class Resuming:
    """A restored run, until its first epoch is over; the loop asks it where to begin.

    Attributes:
        restarts: the epoch was under way when the checkpoint was written (always taken so with ``max_steps``).
        epoch_phase: the moment the epoch had reached.
        batch_phase: the moment the last batch had reached.
        inside_validation: the checkpoint was written during validation.
        first_iteration: no batch has been trained on since.
        skip_next_validation: the validation due now had run before the checkpoint was written.
        makes_iterators: the first epoch's iterators are not made with the loaders, but by :meth:`start_batches`.
        counts_validation: a validation that is due before the first batch counts as done and is not run.
    """

    makes_iterators = False

    def __init__(self, state: "FitState") -> None:
        progress = state.epoch_progress
        unfinished = progress.started != progress.processed or progress.ready != progress.processed
        self.restarts = unfinished or state.max_steps != -1
        self.epoch_phase = self.batch_phase = COMPLETED
        self.inside_validation = self.skip_next_validation = False
        self.first_iteration = True

    def restore(self, run: "Run") -> None:
        """Before it is asked whether there is anything left to do."""

    def is_at_epoch_end(self) -> bool:
        """Whether the end of the epoch, after ``on_train_epoch_end``, is still to come."""
        return False

    def has_to_go_on(self) -> bool:
        """Whether something of an epoch is to be finished though no further step is allowed."""
        return False

    def begin(self, run: "Run") -> None:
        """Before ``on_train_start``: settle what was half done."""
        state = run.fit
        epoch, batch, val = state.epoch_progress, state.batch_progress, state.val_loop.batch_progress
        self.epoch_phase, self.batch_phase = epoch.phase, batch.phase
        self.inside_validation = self.restarts and val.phase == STARTED
        if not self.restarts:
            if epoch.phase == PROCESSED:
                epoch.phase = COMPLETED
            return
        after_batch = batch.phase == PROCESSED
        if after_batch and batch.is_last_batch and (epoch.phase == STARTED or not val.is_last_batch):
            epoch.phase = COMPLETED

    def has_unfinished_turn(self, state: "FitState") -> bool:
        """Whether the validation of a last batch may still have to come."""
        return self.counts_validation and not state.val_loop.has_run

    def restore_random(self, run: "Run") -> None:
        """Before the first epoch begins, or goes on."""

    def is_inside_epoch(self) -> bool:
        """Whether the epoch under way had begun, so that it does not begin again."""
        return self.restarts and self.epoch_phase in (STARTED, PROCESSED)

    def is_at_epoch_start(self) -> bool:
        """Whether the checkpoint was written in ``on_train_epoch_start``, which runs again."""
        return self.restarts and self.epoch_phase == READY

    @property
    def loads_loaders(self) -> bool:
        """Whether loaders that keep a state of their own get it back."""
        return self.restarts

    def begin_epoch(self, run: "Run") -> None:
        """The batches' counters at the start of the loop over batches: anew, or where the checkpoint left them."""
        state = run.fit
        if not self.restarts:
            state.start_epoch_counters()
            return
        batch = state.batch_progress
        waits = state.accumulates(run.trainer.accumulate_grad_batches)
        if not waits and self.batch_phase != COMPLETED:
            # The checkpoint was written before the batch was counted for the loggers.
            state._batches_that_stepped += 1
        if self.batch_phase == PROCESSED:
            batch.phase = COMPLETED
            if batch.completed >= state.max_batches:
                state.start_epoch_counters()
        batch.reset_on_restart()
        _warn_if_inside(run)

    def start_batches(self, run: "Run") -> None:
        """Lightning goes on with a new iterator's first batch, and counts on from where it was."""
        state = run.fit
        assert state.batches is not None
        remember_first_batch(state)
        state.counted_ahead = state.batch_progress.ready
        state.batches.fetched += state.batch_progress.ready

    def skips_training(self, run: "Run", validation_is_due: bool) -> bool:
        """Whether the first iteration only finishes, or leaves out, the validation that the file was written in."""
        if not self.counts_validation or not validation_is_due:
            return False
        if self.inside_validation:
            return True
        if self.batch_phase == COMPLETED:
            self.skip_next_validation = True
            return True
        return False

    @property
    def counts_validation(self) -> bool:
        return self.restarts and self.first_iteration

    @property
    def steps_schedulers(self) -> bool:
        """Whether the schedulers that look at a metric step at the end of the first epoch."""
        return not self.restarts

    def iteration_done(self) -> None:
        """One turn of the loop over batches is over."""
        self.first_iteration = False
        self.skip_next_validation = False


def _warn_if_inside(run: "Run") -> None:
    state = run.fit
    if state.max_batches == float("inf") or state.combined is None:
        return
    expected = math.ceil(state.max_batches / run.trainer.accumulate_grad_batches)
    if state.global_step % expected and not all(map(is_stateful, state.combined.flattened)):
        rank_zero_warn(
            "You're resuming from a checkpoint that ended before the epoch ended and your dataloader is not resumable."
            " This can cause unreliable results if further training is done. Consider using an end-of-epoch checkpoint"
            " or make your dataloader resumable by implementing the `state_dict` / `load_state_dict` interface.",
            category=PossibleUserWarning,
        )
