"""Going on from a checkpoint of our own: as if the run had never been interrupted, to the bit.

Nothing runs twice and nothing is left out: a turn of the loop that was under way is finished, the batches that follow
are those that would have followed, and the random generators stand where they stood.
"""

from typing import TYPE_CHECKING, Any

from torchlift.evaluation import setup_evaluation
from torchlift.logged_state import restore_logged, restore_metrics
from torchlift.position import (
    AFTER_BATCH,
    BATCH,
    BATCH_END,
    EPOCH_END,
    EPOCH_START,
    INSIDE_EPOCH,
    VALIDATION,
    VALIDATION_END,
)
from torchlift.progress import COMPLETED, STARTED
from torchlift.replay import go_past, is_stateful, remember_first_batch, start_batches
from torchlift.resume import Resuming
from torchlift.rows import send_step
from torchlift.run import own_method
from torchlift.utilities import random_states
from torchlift.utilities.rank_zero import rank_zero_info
from torchlift.utilities.seed import isolate_rng

if TYPE_CHECKING:
    from torchlift.run import Run


class ExactResuming(Resuming):
    """A run restored from its exact position, until its first epoch is over.

    Args:
        position: what ``position.dump`` gave.
    """

    makes_iterators = True
    steps_schedulers = True
    counts_validation = False

    def __init__(self, run: "Run", position: dict[str, Any]) -> None:
        super().__init__(run.fit)
        self.position = position
        self.moment: str = position["moment"]
        self.restarts = self.moment in (*INSIDE_EPOCH, EPOCH_START)
        self.was_cut_short = not run.fit.batch_progress.is_last_batch  # as by `max_steps`
        self.val_progress = run.fit.val_loop.batch_progress.state_dict()

    def restore(self, run: "Run") -> None:
        fit, val, position = run.fit, run.fit.val_loop, self.position
        run.own_scheduler_step = own_method(run, "lr_scheduler_step")
        if position.get("cut_short") and fit.max_steps != -1 and fit.global_step >= fit.max_steps:
            self.moment = EPOCH_END  # no more steps are allowed than there were: the epoch is over
        if "logged" in position:
            restore_logged(run.logged, fit.results, position["logged"], run.module)
            restore_metrics(run.module, position["metrics"])
        if position["validation"]["batches_logged"]:
            setup_evaluation(run, val)
            val.batches_logged = dict(position["validation"]["batches_logged"])
        val.batch_progress.load_state_dict(self.val_progress)  # the sanity check began to count anew
        if self.moment == AFTER_BATCH:
            fit.epoch_progress.phase = STARTED
        self._put_back(run)  # in case there is nothing left to do

    def begin(self, run: "Run") -> None:
        """All that was half done is finished in its turn."""

    def is_at_epoch_end(self) -> bool:
        return self.moment == EPOCH_END

    def has_to_go_on(self) -> bool:
        return self.first_iteration and self.moment in (BATCH_END, VALIDATION, VALIDATION_END)

    def has_unfinished_turn(self, state: Any) -> bool:
        return self.has_to_go_on()

    def is_inside_epoch(self) -> bool:
        return self.moment in INSIDE_EPOCH

    def is_at_epoch_start(self) -> bool:
        return self.moment == EPOCH_START

    def restore_random(self, run: "Run") -> None:
        self._put_back(run)
        self.makes_iterators = False  # loaders that are made again now are made as they would have been

    @property
    def loads_loaders(self) -> bool:
        return self.is_inside_epoch() or self.was_cut_short

    def begin_epoch(self, run: "Run") -> None:
        state = run.fit
        if not self.is_inside_epoch():
            state.start_epoch_counters()
            return
        if self.moment == BATCH:
            state.batch_progress.reset_on_restart()
            state.batch_progress.is_last_batch = False
        run.logged.first_batch = False if state.batch_progress.ready else None
        for name, parameter in run.module.named_parameters():
            if (gradient := self.position.get("gradients", {}).get(name)) is not None:
                parameter.grad = gradient.to(parameter.device)

    def start_batches(self, run: "Run") -> None:
        """The epoch's iterators as they were, or, at the start of an epoch, as they would have been made."""
        state, saved = run.fit, self.position.get("epoch_random")
        assert state.combined is not None and state.batches is not None
        loaders = state.combined.flattened
        if state.epoch_progress.completed:
            _start_persistent_workers(loaders)
        if not saved:
            start_batches(state)
            remember_first_batch(state)
            return
        ahead, done = self.position["counted_ahead"], state.batch_progress.ready
        now = random_states.collect(loaders)
        self._set_random(run, saved["iterators"])
        start_batches(state)
        if "first_batch" in saved:
            self._set_random(run, saved["first_batch"])
            remember_first_batch(state)
        if all(map(is_stateful, loaders)):
            state.batches.fetched = done
        else:
            saved_restarts = self.position["restarts"].items()
            restarts = {i: (began, random_states.from_plain(plain)) for i, (began, plain) in saved_restarts}
            go_past(state.batches, done - ahead, restarts)
            state.batches.fetched += ahead
            state.counted_ahead = ahead
        if state.batches.length is not None:
            state.batches.done = state.batches.fetched >= state.batches.length
        random_states.restore(now, loaders)
        if "first_batch" not in saved:
            remember_first_batch(state)
        if done:
            epoch = state.epoch_progress.processed
            rank_zero_info(f"Going on within epoch {epoch}, behind {done} batches.")

    def skips_training(self, run: "Run", validation_is_due: bool) -> bool:
        state, logged = run.fit, run.logged
        if not self.first_iteration or self.moment in (BATCH, AFTER_BATCH):
            return False
        if self.moment == BATCH_END:
            logged.batch_ended()
            state.batch_progress.phase = COMPLETED
            if run.trainer._loggers:
                send_step(run)
        elif self.moment == VALIDATION:
            progress = state.val_loop.batch_progress
            progress.ready, progress.phase = 0, COMPLETED
            run.trainer._last_val_time = float("-inf")  # due, if it is the clock that decides
            self._set_random(run, self.position["validation"]["random"])
        elif self.moment == VALIDATION_END:
            self.skip_next_validation = True
        else:
            return False
        return True

    def _put_back(self, run: "Run") -> None:
        """What the preparations change on their way."""
        self._set_random(run, self.position["random"])
        run.fit.last_reload_epoch = self.position["last_reload_epoch"]
        run.fit.val_loop.last_reload_epoch = self.position["validation"]["last_reload_epoch"]

    def _set_random(self, run: "Run", plain: dict[str, Any]) -> None:
        loaders = run.fit.combined.flattened if run.fit.combined is not None else []
        random_states.restore(random_states.from_plain(plain), loaders)


def _start_persistent_workers(loaders: list[Any]) -> None:
    """Workers that live on are seeded by a draw when they start: here it is one that does not count."""
    with isolate_rng():
        for loader in loaders:
            if getattr(loader, "persistent_workers", False) and loader._iterator is None:
                states = [(one, one.get_state()) for one in random_states.generators_of([loader])]
                iter(loader)
                for generator, state in states:
                    generator.set_state(state)
