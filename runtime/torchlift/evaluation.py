"""The evaluation loop: validation inside fit, ``validate`` and ``test``."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from torchlift.data import Batches, limits, load, set_epoch
from torchlift.hooks import call_module
from torchlift.loop_state import EvalState
from torchlift.profiling import timed_iterator
from torchlift.progress import COMPLETED, PROCESSED, READY, STARTED
from torchlift.run import Run, batch_step, overrides
from torchlift.signatures import check_dataloader_idx
from torchlift.states import TrainerFn
from torchlift.utilities.exceptions import SIGTERMException

# Pairs and no dictionary: the hash of a torchmetrics object changes with its state.
Modes = list[tuple[nn.Module, bool]]


def evaluate(run: Run, state: EvalState) -> list[dict[str, Tensor]]:
    """One pass over the loaders, without gradients and in evaluation mode.

    Returns:
        For each loader the metrics logged with it, those of the end of the epoch included.
    """
    with _without_gradients(state):
        setup_evaluation(run, state)
        if sum(_max_batches(run, state)) == 0:
            return []
        state.has_run = False
        modes = start(run, state)
        logged_outputs = run_batches(run, state)
        return finish(run, state, modes, logged_outputs)


def setup_evaluation(run: Run, state: EvalState) -> None:
    """Make the loaders, unless they are there and not due to be made again."""
    trainer, inside_fit = run.trainer, run.trainer.state.fn == TrainerFn.FITTING
    every = trainer.reload_dataloaders_every_n_epochs
    due = bool(every) and trainer.current_epoch - state.last_reload_epoch >= every
    if state.combined is not None and inside_fit and not due:
        return
    limit = getattr(trainer, f"limit_{state.stage.dataloader_prefix}_batches")
    if limit == 0 or not overrides(run.module, f"{state.name}_step"):
        return
    if inside_fit and (not trainer.sanity_checking or is_validation_epoch(run)):
        state.last_reload_epoch = trainer.current_epoch
    state.combined = load(trainer, state.source, state.stage, "sequential")
    trainer.strategy.barrier(f"{state.stage.dataloader_prefix}_dataloader()")
    if not inside_fit:
        set_epoch(state.combined, run.fit.epoch_progress.processed)
    state.num_batches = limits(trainer, state.combined, state.stage)
    state.batches_logged = {}


def is_validation_epoch(run: Run) -> bool:
    """Whether validation runs in the epoch under way."""
    every = run.trainer.check_val_every_n_epoch
    return run.trainer.enable_validation and (every is None or (run.trainer.current_epoch + 1) % every == 0)


def _max_batches(run: Run, state: EvalState) -> list[int | float]:
    """How many batches of each loader; fewer in the sanity check."""
    if not run.trainer.sanity_checking:
        return state.num_batches
    return [min(run.trainer.num_sanity_val_steps, number) for number in state.num_batches]


def start(run: Run, state: EvalState) -> Modes:
    """Make the iterators, set evaluation mode and run the hooks before the first batch.

    Returns:
        Each submodule's mode before.
    """
    trainer, combined = run.trainer, state.combined
    assert combined is not None
    run.refresh_hooks()
    state.batch_progress.reset_on_run()
    make_iterators(run, state)
    several = combined._mode == "sequential" and len(combined.flattened) > 1
    names = (f"{state.name}_step", f"on_{state.name}_batch_start", f"on_{state.name}_batch_end")
    check_dataloader_idx(run.module, names, several, state.stage.dataloader_prefix)
    modes = [(module, module.training) for module in run.module.modules()]
    call_module(trainer, f"on_{state.name}_model_eval")
    _fire(run, state, "start")
    _fire(run, state, "epoch_start")
    return modes


def count_as_done(run: Run, state: EvalState) -> None:
    """Count a whole pass and run none; its iterators are made as in Lightning, because that draws random numbers."""
    setup_evaluation(run, state)
    most = max(_max_batches(run, state), default=0)
    if most == 0:
        return
    state.has_run = False
    state.batch_progress.reset_on_restart()
    make_iterators(run, state)
    if most != float("inf"):
        state.batch_progress.ready += int(most)
        state.batch_progress.is_last_batch = True


def make_iterators(run: Run, state: EvalState) -> None:
    """Start over with the loaders that are there."""
    assert state.combined is not None
    if run.trainer.state.fn == TrainerFn.FITTING:
        set_epoch(state.combined, run.fit.epoch_progress.processed)
    state.combined.limits = _max_batches(run, state)
    state.batches = Batches(state.combined)
    state.batches.start()


def run_batches(run: Run, state: EvalState) -> list[dict[str, Tensor]]:
    """All batches of all loaders; the metrics logged with each loader."""
    trainer, logged, results, progress = run.trainer, run.logged, state.results, state.batch_progress
    combined = state.combined
    assert combined is not None and state.batches is not None
    several, checking = combined._mode == "sequential" and len(combined.flattened) > 1, trainer.sanity_checking
    step_name = f"{state.name}_step"
    run.refresh_hooks()
    step = batch_step(run.module, step_name, run.precision)
    batch_start, batch_end = run.hooks.of(state.name, "batch_start"), run.hooks.of(state.name, "batch_end")
    outputs: list[dict[str, Tensor]] = []
    previous_source = 0
    drawn, length = state.batches.numbered()
    action = f"[_EvaluationLoop].{state.stage.dataloader_prefix}_next"
    with contextlib.suppress(StopIteration):  # whoever raises it, the pass is over, as in Lightning
        for batch, index, source in timed_iterator(trainer, action, drawn, state.batches.length):
            if source != previous_source:
                outputs.append(_loader_ended(run))
                previous_source = source
            progress.is_last_batch = index + 1 >= length or state.batches.done
            batch = run.transfer(batch, source)
            progress.ready, progress.phase = progress.ready + 1, READY
            logged.first_batch = logged.first_batch is None
            results.batch, results.batch_size, results.dataloader_idx = batch, None, source if several else None
            if batch_start:
                batch_start(batch, index, source) if several else batch_start(batch, index)
            progress.phase, logged.fx = STARTED, step_name
            output = step(batch, index, source) if several else step(batch, index)
            progress.phase, logged.fx = PROCESSED, None
            if batch_end:
                batch_end(output, batch, index, source) if several else batch_end(output, batch, index)
            results.batch, results.batch_size, logged.unread = None, None, True
            progress.phase = COMPLETED
            if not checking:
                state.has_run = True
                if trainer._loggers:
                    _log_step(run, state, source)
            if trainer.received_sigterm and not progress.is_last_batch:
                raise SIGTERMException
    outputs.append(_loader_ended(run))
    return outputs


def finish(run: Run, state: EvalState, modes: Modes, outputs: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The reductions, the hooks after the last batch, and the modes as they were."""
    trainer, logged, results = run.trainer, run.logged, run.logged.results
    assert results is not None
    logged.fx = None  # where a StopIteration was raised, it is still set
    logged.epoch_end_reached()
    results.dataloader_idx = None
    _fire(run, state, "epoch_end")
    logged.epoch_ended()
    at_end = _epoch_metrics(run)
    everything = {name: value for output in reversed(outputs) for name, value in output.items()} | at_end
    for output in outputs:
        output.update(at_end)
    if not trainer.sanity_checking:
        logged.send(everything, trainer.loggers, trainer.current_epoch, run.fit._batches_that_stepped)
    _fire(run, state, "end")
    logged.reset_results()
    _restore_modes(run, state, modes)
    if state.verbose and trainer.is_global_zero:
        from torchlift.results_table import print_results

        print_results(outputs, state.stage.value)
    return outputs


def _fire(run: Run, state: EvalState, moment: str) -> None:
    run.refresh_hooks()
    hook: Callable[..., Any] | None = run.hooks.of(state.name, moment)
    if hook:
        hook()


def _loader_ended(run: Run) -> dict[str, Tensor]:
    run.logged.epoch_end_reached()
    return _epoch_metrics(run)


def _epoch_metrics(run: Run) -> dict[str, Tensor]:
    """Take over the reductions; the sanity check leaves no trace."""
    if run.trainer.sanity_checking:
        return {}
    run.logged.collect_epoch()
    return run.logged.for_loggers()


def _log_step(run: Run, state: EvalState, source: int) -> None:
    """What was logged with ``on_step=True`` goes to the loggers at the batch's own count."""
    step, trainer = state.batches_logged.get(source, 0), run.trainer
    metrics = run.logged.for_loggers()
    run.logged.send(metrics, trainer.loggers, trainer.current_epoch, run.fit._batches_that_stepped, step=step)
    state.batches_logged[source] = step + 1


def _restore_modes(run: Run, state: EvalState, modes: Modes) -> None:
    name = f"on_{state.name}_model_train"
    if overrides(run.module, name):
        call_module(run.trainer, name)
        return
    for module, training in modes:
        module.training = training


def _without_gradients(state: EvalState) -> AbstractContextManager:
    return torch.inference_mode() if state.inference_mode else torch.no_grad()
