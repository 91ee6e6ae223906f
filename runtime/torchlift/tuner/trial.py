"""Runs inside a run that leave no trace: what a search for a learning rate or a batch size tries out.

A trial has a ``Run`` record, counters, loaders and logged values of its own. What it cannot have of its own (weights,
optimizers, what callbacks keep) is copied beforehand, in memory: no file is left behind however the search ends, and
nothing has to be picklable.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torchlift import checkpoint, evaluation, loop, position, prediction
from torchlift.data import Source
from torchlift.hooks import HookTable
from torchlift.logged import Logged
from torchlift.loggers.logger import DummyLogger
from torchlift.loop_state import EvalState, FitState, PredictState
from torchlift.run import Run
from torchlift.states import TrainerFn
from torchlift.step import decide
from torchlift.training_data import setup_training

if TYPE_CHECKING:
    from torchlift.trainer import Trainer

_OF_THE_TRAINER = (
    "callbacks",
    "loggers",
    "fit_loop",
    "validate_loop",
    "test_loop",
    "predict_loop",
    "should_stop",
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "limit_predict_batches",
    "val_check_batch",
    "_last_val_time",
    "_detect_anomaly",
    "_logged",
    "_run",
)
"""The attributes that a trial has for itself."""


@contextmanager
def trials(trainer: "Trainer") -> Iterator[None]:
    """Within it ``attempt`` may be called, and the Trainer's limits and callbacks changed; then all is as before.

    There are no callbacks at first, and loggers that log nothing. The loaders are made again afterwards: a batch size
    may have been found.
    """
    run = trainer._run
    assert run is not None
    schedulers = trainer.strategy.lr_scheduler_configs
    before, saved = {name: getattr(trainer, name) for name in _OF_THE_TRAINER}, _Saved(run)
    trainer.loggers = [DummyLogger()] if trainer.loggers else []
    # A search goes to where the loss goes wild, so that an anomaly is no error.
    trainer.callbacks, trainer._detect_anomaly = [], False
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(trainer, name, value)
        trainer.strategy.lr_scheduler_configs = schedulers
        saved.restore(run)
    _load_again(run)


def attempt(trainer: "Trainer", outer: Run, max_steps: int) -> None:
    """One trial of the entry point that is under way, from the counters of `outer` on, with new loaders.

    Args:
        trainer: within ``trials``.
        outer: the run that the search is for.
        max_steps: end training after so many optimizer steps.
    """
    fit = trainer.fit_loop = _trial_of_fit(outer.fit)
    trainer.validate_loop, trainer.test_loop = (_trial_of_evaluation(state) for state in _evaluations(trainer))
    trainer.predict_loop = PredictState(trainer.predict_loop.inference_mode, trainer.predict_loop.source)
    trainer.predict_loop.return_predictions = False
    trainer._logged = logged = Logged()
    stage = trainer.state.stage
    assert stage is not None
    trainer._enter(stage)
    run = trainer._run = replace(outer, fit=fit, logged=logged, hooks=HookTable(trainer, outer.module, logged))
    decide(run)
    try:
        if trainer.fitting:
            fit.max_steps = fit.global_step + max_steps
            loop.fit(run)
        elif trainer.state.fn == TrainerFn.PREDICTING:
            prediction.predict(run)
        else:
            evaluation.evaluate(run, trainer._evaluation_state)
    finally:
        trainer.state.stage = stage
        _release(trainer)


def _evaluations(trainer: "Trainer") -> tuple[EvalState, EvalState]:
    return trainer.validate_loop, trainer.test_loop


def _trial_of_evaluation(state: EvalState) -> EvalState:
    return EvalState(state.stage, state.inference_mode, verbose=False, source=state.source)


def _trial_of_fit(state: FitState) -> FitState:
    limits = (state.max_epochs, state.min_epochs, state.max_steps, state.min_steps)
    trial = FitState(*limits, _trial_of_evaluation(state.val_loop), Source(state.source.instance, state.source.name))
    trial.load_state_dict(copy.deepcopy(state.state_dict()))
    trial.loader_states = []  # its loaders are new, and begin at the beginning
    return trial


def _release(trainer: "Trainer") -> None:
    """End the workers of the trial's loaders, and empty the metrics objects that it logged."""
    fit = trainer.fit_loop
    for state in (fit, fit.val_loop, trainer.validate_loop, trainer.test_loop, trainer.predict_loop):
        if state.batches is not None:
            state.batches.stop()
        if not isinstance(state, PredictState):
            state.results.reset()


def _load_again(run: Run) -> None:
    """The loaders of the run that goes on."""
    trainer = run.trainer
    if trainer.fitting:
        run.fit.combined = run.fit.val_loop.combined = None
        setup_training(run)
    elif trainer.state.fn == TrainerFn.PREDICTING:
        trainer.predict_loop.combined = None
        prediction.setup_prediction(run, trainer.predict_loop)
        prediction.make_iterators(trainer.predict_loop)
    else:
        state = trainer._evaluation_state
        state.combined = None
        evaluation.setup_evaluation(run, state)
        evaluation.make_iterators(run, state)


class _Saved:
    """The state of module, optimizers, schedulers and callbacks, as a checkpoint has it, and what it leaves out."""

    def __init__(self, run: Run) -> None:
        trainer, module = run.trainer, run.module
        contents = checkpoint.dump(trainer)
        for key in ("loops", position.KEY):  # a trial has counters of its own
            contents.pop(key, None)
        # Hyperparameters are not restored, so they need not be copied, and some cannot be.
        as_they_are = {module.CHECKPOINT_HYPER_PARAMS_KEY, module.CHECKPOINT_HYPER_PARAMS_NAME}
        self._contents = {key: one if key in as_they_are else _copied(one) for key, one in contents.items()}
        self._buffers = {
            name: _copied(buffer) for name, buffer in module.named_buffers() if name not in contents["state_dict"]
        }
        self._gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
        self._modes = {one: one.training for one in module.modules()}
        for parameter, _ in self._gradients:
            parameter.grad = None  # a trial makes its own

    def restore(self, run: Run) -> None:
        """Everything as it was."""
        trainer, module, contents = run.trainer, run.module, self._contents
        checkpoint.restore_modules_and_callbacks(trainer, contents)
        for optimizer, state in zip(trainer.optimizers, contents["optimizer_states"]):
            optimizer.load_state_dict(state)
        for config, state in zip(trainer.lr_scheduler_configs, contents["lr_schedulers"]):
            config.scheduler.load_state_dict(state)
        scaling = contents.get(type(run.precision).__qualname__)
        if scaling:
            run.precision.load_state_dict(scaling)
        with torch.no_grad():
            for name, buffer in self._buffers.items():
                module.get_buffer(name).copy_(buffer)
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        for one, training in self._modes.items():
            one.training = training


def _copied(value: Any) -> Any:
    """A copy; of tensors on the CPU, so that a search for a batch size has the device for itself."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return type(value)((key, _copied(one)) for key, one in value.items())
    if type(value) in (list, tuple):
        return type(value)(_copied(one) for one in value)
    return copy.deepcopy(value)
