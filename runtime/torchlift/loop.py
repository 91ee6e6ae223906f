"""The training loop. Read this first.

``fit`` runs ``train_epoch`` until it is done; ``train_epoch`` takes batches, hands each to a step (see
``torchlift.step``) and validates when it is time. ``check_sanity`` comes before. Everything is a plain function of the
``Run`` record. The order of events is Lightning's, to the random draw.
"""

import contextlib
import time
from typing import Any

import torch

from torchlift.data import set_epoch
from torchlift.evaluation import count_as_done, evaluate, is_validation_epoch, setup_evaluation
from torchlift.hooks import call_both, call_callbacks, call_module
from torchlift.lookup import follow_changes, look_up
from torchlift.profiling import timed
from torchlift.progress import COMPLETED, PROCESSED, READY, STARTED
from torchlift.replay import remember_first_batch, remember_validation, remembering, start_batches
from torchlift.rows import send_epoch, send_step
from torchlift.run import Run
from torchlift.schedulers import Schedulers
from torchlift.states import RunningStage
from torchlift.step import choose_step
from torchlift.training_data import setup_training
from torchlift.utilities.exceptions import PossibleUserWarning, SIGTERMException
from torchlift.utilities.rank_zero import info_once, rank_zero_info, rank_zero_warn, warn_once
from torchlift.utilities.seed import isolate_rng


def fit(run: Run) -> None:
    """Train: epochs until done."""
    with torch.autograd.set_detect_anomaly(run.trainer._detect_anomaly):
        setup_training(run)
        if resuming := run.fit.resuming:
            resuming.restore(run)
            if resuming.is_at_epoch_end():
                finish_epoch(run)
        if done(run) or run.trainer.limit_train_batches == 0:
            return
        torch.set_grad_enabled(True)
        if resuming:
            resuming.begin(run)
        start(run)
        while not done(run):
            start_epoch(run)
            with contextlib.suppress(StopIteration):
                timed(run.trainer, "run_training_epoch", train_epoch)(run)
            end_epoch(run)
        call_both(run.trainer, "on_train_end")


def check_sanity(run: Run) -> None:
    """Validate a few batches, so that a mistake there shows before an epoch of training is spent.

    The random generators are put back afterwards, so that having the check changes no number.
    """
    with isolate_rng():
        _validate_a_few(run)


def _validate_a_few(run: Run) -> None:
    trainer, val, resuming = run.trainer, run.fit.val_loop, run.fit.resuming
    if not trainer.enable_validation or trainer.num_sanity_val_steps <= 0 or (resuming and resuming.restarts):
        return
    trainer._enter(RunningStage.SANITY_CHECKING)
    run.logged.reset_results()
    run.logged.reset_metrics()
    call_callbacks(trainer, "on_sanity_check_start")
    evaluate(run, val)
    call_callbacks(trainer, "on_sanity_check_end")
    run.logged.reset_results()
    run.logged.reset_metrics()
    val.batch_progress.reset()
    trainer._enter(RunningStage.TRAINING)


def start(run: Run) -> None:
    """Before the first epoch: ``on_train_start``, and the decisions that hold for all epochs."""
    trainer, progress = run.trainer, run.fit.epoch_progress
    if trainer.max_steps == -1:
        progress.complete_processed()
    if run.fit.resuming is None:
        progress.reset_on_restart()  # an epoch that an exception cut short is run again
    if is_validation_epoch(run) and trainer.val_dataloaders is None:
        # For the progress bar, which wants to know how many batches there will be.
        trainer._enter(RunningStage.VALIDATING)
        setup_evaluation(run, run.fit.val_loop)
        trainer._enter(RunningStage.TRAINING)
    if in_eval := sum(not one.training for one in run.module.modules()):
        rank_zero_warn(
            f"Found {in_eval} module(s) in eval mode at the start of training. This may lead to unexpected behavior"
            " during training. If this is intentional, you can ignore this warning.",
            category=PossibleUserWarning,
        )
    call_both(trainer, "on_train_start")
    look_up(run)


def done(run: Run) -> bool:
    """Whether no further epoch begins; says why."""
    trainer, state = run.trainer, run.fit
    progress = state.epoch_progress
    if state.max_batches == 0:
        rank_zero_info("`Trainer.fit` stopped: No training batches.")
        return True
    if _is_out_of_steps(run) and not (state.resuming and state.resuming.has_to_go_on()):
        rank_zero_info(f"`Trainer.fit` stopped: `max_steps={state.max_steps!r}` reached.")
        return True
    assert state.max_epochs is not None
    if state.max_epochs != -1 and progress.processed >= state.max_epochs:
        # `current_epoch` has its final value even when the last epoch was restored from its end.
        progress.complete_processed()
        rank_zero_info(f"`Trainer.fit` stopped: `max_epochs={state.max_epochs!r}` reached.")
        return True
    return bool(trainer.should_stop) and state.can_stop_early()


def start_epoch(run: Run) -> None:
    """``on_train_epoch_start``, unless the epoch is resumed in its middle."""
    state, resuming = run.fit, run.fit.resuming
    if resuming:
        resuming.restore_random(run)
    setup_training(run)  # again, when loaders are reloaded every so many epochs
    assert state.combined is not None
    set_epoch(state.combined, state.epoch_progress.processed)
    follow_changes(run)
    if not (resuming and resuming.is_inside_epoch()):
        if not (resuming and resuming.is_at_epoch_start()):
            state.epoch_progress.ready += 1
        state.epoch_progress.phase = READY
        if run.hooks.on_train_epoch_start:
            run.hooks.on_train_epoch_start()
        state.epoch_progress.phase = STARTED
    elif state.epoch_progress.phase == COMPLETED:
        # The checkpoint was written after an epoch's last batch: this is the next epoch, and Lightning announces none.
        state.epoch_progress.ready += 1
        state.epoch_progress.phase = STARTED
    if state.combined._mode == "sequential":
        raise ValueError(
            '`FitLoop` does not support the `CombinedLoader(mode="sequential")` mode. The available modes are:'
            " min_size, max_size, max_size_cycle"
        )


def train_epoch(run: Run) -> None:
    """All batches of one epoch: take one, step, tell who listens, validate if it is time; until the epoch is over.

    What was looked up holds until a callback comes or goes or a method is replaced, which may be at any moment; as in
    Lightning a ``StopIteration`` ends the epoch, whoever raises it.
    """
    trainer, state, logged, results = run.trainer, run.fit, run.logged, run.fit.results
    progress, batches, resuming = state.batch_progress, state.batches, state.resuming
    assert batches is not None
    _begin_batches(run)
    follow_changes(run)
    choose_step(run)
    take, length = batches.choose_take()
    take = remembering(run, timed(trainer, "[_TrainingEpochLoop].train_dataloader_next", take))
    schedulers, validates, validates_between = Schedulers(run), is_validation_epoch(run), _validates_between(run)

    is_over = _epoch_is_over(run)
    while not is_over:
        if not (resuming and _skips_training(run, validates and _validation_is_due(run))):
            batch = take()  # raises StopIteration behind the last one
            index = progress.ready
            progress.is_last_batch = index + 1 >= length or batches.done
            batch = run.transfer(batch, 0)
            progress.ready, progress.phase = index + 1, READY
            logged.first_batch = logged.first_batch is None
            results.batch, results.batch_size = batch, None
            outputs: dict[str, Any] | None = None
            follow_changes(run)
            if batch is None:
                warn_once("train_dataloader yielded None. If this was on purpose, ignore this warning...")
            elif run.hooks.on_train_batch_start and run.hooks.on_train_batch_start(batch, index) == -1:
                # The rest of the epoch is left out: the schedulers take this for its last batch.
                progress.is_last_batch, progress.phase = True, PROCESSED
                schedulers.after_batch(index)
                break
            else:
                follow_changes(run)
                progress.phase = STARTED
                outputs = run.step(run, batch, index)
            progress.phase = PROCESSED
            if schedulers.any:
                schedulers.after_batch(index)
            follow_changes(run)
            if run.hooks.on_train_batch_end:
                run.hooks.on_train_batch_end(outputs, batch, index)
            results.batch, results.batch_size, logged.unread = None, None, True
            progress.phase = COMPLETED
            if trainer._loggers:
                send_step(run)
        is_end_near = progress.is_last_batch or trainer.should_stop
        if validates and (is_end_near or validates_between) and _validation_is_due(run):
            _validate(run)
        if trainer.accumulate_grad_batches == 1 or not state.accumulates(trainer.accumulate_grad_batches):
            if schedulers.any:
                schedulers.after_validation()
            state._batches_that_stepped += 1
        if is_end_near or state.max_steps != -1 or resuming or trainer.should_stop or trainer.received_sigterm:
            is_over = _turn_ends_epoch(run)


def _begin_batches(run: Run) -> None:
    """The counters within an epoch and the iterators: anew, or where a checkpoint left them."""
    state = run.fit
    if state.resuming:
        state.resuming.begin_epoch(run)
        state.resuming.start_batches(run)
        return
    state.start_epoch_counters()
    if state.epoch_progress.completed > 0:
        # The first epoch's iterator was made with the loaders, before `on_train_start`.
        start_batches(state)
    remember_first_batch(state)


def _turn_ends_epoch(run: Run) -> bool:
    """After a batch that may be the epoch's last, or after which somebody wants to stop."""
    trainer, state = run.trainer, run.fit
    if trainer.should_stop:
        for logger in trainer.loggers:
            logger.save()
    if state.resuming:
        state.resuming.iteration_done()
    if trainer.received_sigterm and not (state.on_last_batch or _is_out_of_steps(run)):
        raise SIGTERMException
    return _epoch_is_over(run)


def _skips_training(run: Run, validation_is_due: bool) -> bool:
    """Whether a resumed run turns to validation before it trains."""
    assert run.fit.resuming is not None
    if run.fit.resuming.skips_training(run, validation_is_due):
        return True
    if validation_is_due and run.fit.resuming.counts_validation:
        count_as_done(run, run.fit.val_loop)  # it is not run again
    return False


def end_epoch(run: Run) -> None:
    """The reductions of the epoch, ``on_train_epoch_end``, and the schedulers that look at a metric."""
    trainer, state, logged = run.trainer, run.fit, run.logged
    follow_changes(run)
    run.in_training_step, logged.fx = False, None  # where a StopIteration was raised, they are still set
    logged.epoch_end_reached()
    state.epoch_progress.phase = PROCESSED
    if run.hooks.on_train_epoch_end:
        run.hooks.on_train_epoch_end()
    finish_epoch(run)
    state.resuming = None  # from here on the run is like any other
    if trainer.received_sigterm:
        raise SIGTERMException


def finish_epoch(run: Run) -> None:
    """What comes after ``on_train_epoch_end``, where checkpoints are written: a resumed run begins with it."""
    state, logged = run.fit, run.logged
    logged.epoch_ended()
    if state.on_last_batch and (state.resuming is None or state.resuming.steps_schedulers):
        Schedulers(run).after_epoch()
    send_epoch(run)
    logged.reset_results()
    state.epoch_progress.phase = COMPLETED


def _epoch_is_over(run: Run) -> bool:
    trainer, state = run.trainer, run.fit
    if state.on_last_batch or _is_out_of_steps(run):
        # A checkpoint from the last batch may still have its validation to come.
        if not (state.resuming and state.resuming.has_unfinished_turn(state)):
            return True
    if not trainer.should_stop:
        return False
    if state.can_stop_early():
        return True
    info_once(
        f"Trainer was signaled to stop but the required `min_epochs={state.min_epochs!r}` or"
        f" `min_steps={state.min_steps!r}` has not been met. Training will continue..."
    )
    return False


def _is_out_of_steps(run: Run) -> bool:
    return run.fit.max_steps != -1 and run.fit.global_step >= run.fit.max_steps


def _validates_between(run: Run) -> bool:
    """Whether validation can be due elsewhere than after the epoch's last batch or before a stop."""
    trainer = run.trainer
    timed = trainer._val_check_time_interval is not None
    in_epochs = trainer.check_val_every_n_epoch is not None
    return timed or not in_epochs or trainer.val_check_batch not in (float("inf"), run.fit.max_batches)


def _validation_is_due(run: Run) -> bool:
    """Whether validation runs after this batch, in an epoch in which it does run."""
    trainer, state = run.trainer, run.fit
    every, is_last = trainer.val_check_batch, state.batch_progress.is_last_batch
    if is_last and every == float("inf"):
        return True
    if trainer.should_stop and state.can_stop_early():
        return True
    if trainer._val_check_time_interval is not None:
        return time.monotonic() - trainer._last_val_time >= trainer._val_check_time_interval
    if every == float("inf"):
        if isinstance(trainer.limit_train_batches, int):
            return (state.batch_idx + 1) % trainer.limit_train_batches == 0
        return is_last
    assert every is not None
    batches = state.total_batch_idx if trainer.check_val_every_n_epoch is None else state.batch_idx
    return (batches + 1) % every == 0


def _validate(run: Run) -> None:
    """Validation inside training: the training loop's view of the logged values is put aside meanwhile."""
    trainer, logged, first_batch = run.trainer, run.logged, run.logged.first_batch
    if run.fit.resuming and run.fit.resuming.skip_next_validation:
        return
    trainer._enter(RunningStage.VALIDATING)
    remember_validation(run)
    if not run.fit.accumulates(trainer.accumulate_grad_batches):
        call_module(trainer, "on_validation_model_zero_grad")
    evaluate(run, run.fit.val_loop)
    trainer._last_val_time = time.monotonic()
    trainer._enter(RunningStage.TRAINING)
    logged.first_batch = first_batch
