"""The loop of ``predict``."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch

from torchlift.batch_indices import choose_note, for_prediction
from torchlift.data import Batches, limits, load, set_epoch
from torchlift.evaluation import Modes
from torchlift.hooks import call_module
from torchlift.loop_state import PredictState
from torchlift.profiling import timed_iterator
from torchlift.progress import COMPLETED, PROCESSED, READY, STARTED
from torchlift.run import Run, batch_step
from torchlift.signatures import check_dataloader_idx
from torchlift.states import RunningStage
from torchlift.utilities.apply import move_data_to_device
from torchlift.utilities.rank_zero import warn_once


def predict(run: Run) -> list[Any] | None:
    """One pass over the loaders.

    Returns:
        What ``predict_step`` returned for each batch, on the CPU; with several loaders one list each; ``None`` when
        predictions are not to be returned or there are no batches.
    """
    state = run.trainer.predict_loop
    with _without_gradients(state):
        setup_prediction(run, state)
        if sum(state.num_batches) == 0:
            return None
        modes = start(run, state)
        run_batches(run, state)
        return finish(run, state, modes)


def setup_prediction(run: Run, state: PredictState) -> None:
    """Make the loaders."""
    trainer = run.trainer
    if trainer.limit_predict_batches == 0:
        return
    state.combined = load(trainer, state.source, RunningStage.PREDICTING, "sequential")
    state.combined.flattened = [for_prediction(loader) for loader in state.combined.flattened]
    set_epoch(state.combined, run.fit.epoch_progress.processed)
    state.num_batches = limits(trainer, state.combined, RunningStage.PREDICTING)


def make_iterators(state: PredictState) -> None:
    """Start over with the loaders that are there."""
    combined = state.combined
    assert combined is not None
    combined.limits = state.num_batches
    state.batches = Batches(combined)
    state.batches.start()
    state.by_loader = [[] for _ in combined.flattened]


def start(run: Run, state: PredictState) -> Modes:
    """Make the iterators, set evaluation mode, run the hooks before the first batch; each submodule's mode before."""
    combined = state.combined
    assert combined is not None
    run.refresh_hooks()
    if combined._mode != "sequential":
        raise ValueError('`trainer.predict()` only supports the `CombinedLoader(mode="sequential")` mode.')
    state.batch_progress.reset_on_run()
    make_iterators(state)
    names = ("predict_step", "on_predict_batch_start", "on_predict_batch_end")
    check_dataloader_idx(run.module, names, len(combined.flattened) > 1, "predict")
    modes = [(module, module.training) for module in run.module.modules()]
    call_module(run.trainer, "on_predict_model_eval")
    for moment in ("start", "epoch_start"):
        if hook := run.hooks.of("predict", moment):
            hook()
    return modes


def run_batches(run: Run, state: PredictState) -> None:
    """All batches of all loaders."""
    combined, batches, progress = state.combined, state.batches, state.batch_progress
    assert combined is not None and batches is not None
    several = len(combined.flattened) > 1
    step = batch_step(run.module, "predict_step", run.precision)
    batch_start, batch_end = run.hooks.of("predict", "batch_start"), run.hooks.of("predict", "batch_end")
    # a callback that writes them at the end of the epoch wants them even if the caller does not
    keeps = state.return_predictions or any(one.interval.on_epoch for one in _writers(run))
    note_indices = choose_note(run.trainer, state)
    drawn, length = batches.numbered()
    action = "[_PredictionLoop].predict_next"
    with contextlib.suppress(StopIteration):  # whoever raises it, the pass is over, as in Lightning
        for batch, index, source in timed_iterator(run.trainer, action, drawn, batches.length):
            progress.is_last_batch = index + 1 >= length or batches.done
            batch = run.transfer(batch, source)
            arguments = (batch, index, source) if several else (batch, index)
            progress.ready, progress.phase = progress.ready + 1, READY
            if note_indices:
                note_indices(index, source)
            if batch_start:
                batch_start(*arguments)
            progress.phase = STARTED
            run.logged.fx = "predict_step"
            output = step(*arguments)
            run.logged.fx = None
            if output is None:
                warn_once("predict returned None if it was on purpose, ignore this warning...")
            progress.phase = PROCESSED
            if batch_end:
                batch_end(output, *arguments)
            progress.phase = COMPLETED
            if keeps:
                state.by_loader[source].append(move_data_to_device(output, "cpu"))


def finish(run: Run, state: PredictState, modes: Modes) -> list[Any] | None:
    """The hooks after the last batch, and the modes as they were."""
    if hook := run.hooks.of("predict", "epoch_end"):
        hook()
    predictions = state.predictions if state.return_predictions else None
    if not state.return_predictions:
        state.by_loader = []
    state.epoch_batch_indices = []
    if hook := run.hooks.of("predict", "end"):
        hook()
    for module, training in modes:
        module.training = training
    return predictions


def _writers(run: Run) -> list[Any]:
    from torchlift.callbacks import BasePredictionWriter

    return [callback for callback in run.trainer.callbacks if isinstance(callback, BasePredictionWriter)]


def _without_gradients(state: PredictState) -> AbstractContextManager:
    return torch.inference_mode() if state.inference_mode else torch.no_grad()
