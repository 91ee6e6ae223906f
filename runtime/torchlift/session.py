"""What happens before and after the loop of an entry point, in Lightning's order."""

import contextlib
import signal
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from torchlift import checkpoint
from torchlift.attach import attach_data, attach_model_callbacks, find_checkpoint
from torchlift.defaults import log_hyperparameters
from torchlift.hooks import HookTable, call_both, call_callbacks, call_datamodule, call_module, chain, is_overridden
from torchlift.hparams import clean_namespace
from torchlift.module_hooks import DataHooks
from torchlift.placed import PlacedModule
from torchlift.profiling import is_profiled, timed_method
from torchlift.run import Run, make_transfer, overrides
from torchlift.states import RunningStage, TrainerFn, TrainerStatus
from torchlift.step import decide
from torchlift.utilities.compile import unwrapped
from torchlift.utilities.exceptions import PossibleUserWarning, SIGTERMException
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torchlift.validation import validate_configuration

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer


def attach(
    trainer: "Trainer", fn: TrainerFn, stage: RunningStage, model: "LightningModule | None", data: dict[str, Any]
) -> None:
    """Tie module, data and trainer together.

    Raises:
        TypeError: there is no module, or it is none.
        MisconfigurationException: both loaders and a data module were given.
    """
    if model is None:
        model = trainer.lightning_module
        if model is None:
            raise TypeError(
                f"`Trainer.{fn.value}()` requires a `LightningModule` when it hasn't been passed in a previous run"
            )
    model = unwrapped(model)
    trainer.strategy.connect(model)
    # What an exception may have left behind.
    trainer._logged.fx, trainer.fit_loop.resuming = None, None
    trainer.state.fn, trainer.state.status = fn, TrainerStatus.RUNNING
    trainer._enter(stage)
    attach_data(trainer, fn, model, data)


def open_run(trainer: "Trainer", model_given: bool, ckpt_path: str | Path | None, weights_only: bool | None) -> Run:
    """Everything up to the loop: data is prepared, hooks run, the module is on its device, states are restored."""
    module = trainer.lightning_module
    path = find_checkpoint(trainer, ckpt_path, model_given)
    fitting = trainer.state.fn == TrainerFn.FITTING
    if fitting:
        _set_default_limits(trainer)
    if trainer.barebones:
        rank_zero_info("`Trainer(barebones=True)` started running, without a progress bar.")
    clean_namespace(module.hparams)
    attach_model_callbacks(trainer)
    for callback in trainer.callbacks:
        callback.log, callback.log_dict = module.log, module.log_dict
    validate_configuration(trainer, module)
    trainer.strategy.setup_environment()
    _setup_profiler(trainer)
    _prepare_data(trainer)
    _setup(trainer)
    _configure_model(trainer)
    late = trainer.strategy.restore_checkpoint_after_setup
    restored = {} if late else _restore(trainer, path, weights_only)
    trainer._logged.reset_results()
    trainer._logged.reset_metrics()
    run = _make_run(trainer)
    if fitting:
        call_both(trainer, "on_fit_start")
    if trainer.enable_autolog_hparams:
        log_hyperparameters(trainer)
    if late:
        restored = _restore(trainer, path, weights_only)
    checkpoint.restore_training_state(run, restored)
    return run


def _configure_model(trainer: "Trainer") -> None:
    """The hooks that make the module's parts, where these get their device and dtype right away."""
    module, strategy = trainer.lightning_module, trainer.strategy
    if overrides(module, "configure_sharded_model"):  # the older name
        with strategy.model_sharded_context():
            call_module(trainer, "configure_sharded_model")
    if overrides(module, "configure_model"):
        with strategy.tensor_init_context(), strategy.model_sharded_context():
            with trainer.precision_plugin.module_init_context():
                call_module(trainer, "configure_model")


def _restore(trainer: "Trainer", path: str | Path | None, weights_only: bool | None) -> dict[str, Any]:
    """Read the checkpoint and give the module, the data module and the callbacks what is theirs."""
    contents = checkpoint.read(trainer, path, weights_only)
    checkpoint.restore_modules_and_callbacks(trainer, contents)
    return contents


def close_run(run: Run) -> None:
    """The loop is over: the module goes back to the CPU, hooks run, the loggers close."""
    trainer = run.trainer
    release(trainer)
    if trainer.state.fn == TrainerFn.FITTING:
        call_both(trainer, "on_fit_end")
    finish(trainer)


def finish(trainer: "Trainer") -> None:
    """The ``teardown`` hooks, and the ends of loggers and profiler."""
    fn = trainer.state.fn
    if trainer.datamodule is not None:
        call_datamodule(trainer, "teardown", stage=fn)
    call_callbacks(trainer, "teardown", stage=fn)
    call_module(trainer, "teardown", stage=fn)
    trainer._logged.fx = None
    trainer.lightning_module._logged_metric_names = None
    for logger in trainer.loggers:
        logger.finalize("success")
    trainer.profiler.describe()
    trainer.state.status = TrainerStatus.FINISHED
    trainer.state.stage = None
    trainer._logged.enter(None)


def release(trainer: "Trainer") -> None:
    """Give back what the run held: the device's memory, the loaders' workers."""
    trainer.strategy.teardown()
    for state in (trainer.fit_loop, trainer.fit_loop.val_loop, trainer.validate_loop, trainer.test_loop):
        if state.batches is not None:
            state.batches.stop()
            state.batches = None
        state.results.to_cpu()
    if trainer.predict_loop.batches is not None:
        trainer.predict_loop.batches.stop()
        trainer.predict_loop.batches = None
    trainer._logged.to_cpu()


def interrupt(trainer: "Trainer", exception: BaseException) -> None:
    """The run ends with an exception: tell everyone, then give back what it held."""
    if isinstance(exception, SIGTERMException):
        rank_zero_info("Received SIGTERM; the run has stopped at a safe point.")
    trainer.state.status = TrainerStatus.INTERRUPTED
    if trainer.lightning_module is not None:
        call_callbacks(trainer, "on_exception", exception)
    if trainer.datamodule is not None:
        call_datamodule(trainer, "on_exception", exception)
    trainer.strategy.on_exception(exception)
    for logger in trainer.loggers:
        logger.finalize("failed")
    release(trainer)


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Within it a second Ctrl-C does not cut the shutdown short; behind it Ctrl-C is what it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)


@contextlib.contextmanager
def signals(trainer: "Trainer") -> Iterator[None]:
    """Within it SIGTERM asks the loop to stop at the next safe point; a handler that was there still runs.

    Ours sets a flag and nothing else: it may have interrupted anything, even the writing of a message.
    """
    trainer.received_sigterm = False
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        trainer.received_sigterm = True
        previous = before[signal.SIGTERM]
        if callable(previous):
            previous(number, frame)

    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _set_default_limits(trainer: "Trainer") -> None:
    """How many epochs, when nothing was said."""
    state = trainer.fit_loop
    if state.max_epochs is None:
        state.max_epochs = -1
        if state.max_steps == -1 and not trainer._has_timer():
            rank_zero_warn(
                "`max_epochs` was not set. Setting it to 1000 epochs. To train without an epoch limit, set"
                " `max_epochs=-1`.",
                category=PossibleUserWarning,
            )
            state.max_epochs = 1000
    if state.min_epochs is None:
        state.min_epochs = 1 if state.min_steps is not None else 0


def _setup_profiler(trainer: "Trainer") -> None:
    """Tell the profiler what it looks at, and where its report goes."""
    if is_profiled(trainer):
        assert trainer.state.fn is not None
        trainer.profiler._lightning_module = weakref.proxy(trainer.lightning_module)
        rank = trainer.local_rank if trainer.world_size > 1 else None
        trainer.profiler.setup(stage=trainer.state.fn, local_rank=rank, log_dir=trainer.log_dir)


def _prepare_data(trainer: "Trainer") -> None:
    """Once per machine, by its first process."""
    for holder in (trainer.datamodule, trainer.lightning_module):
        if holder is None or not is_overridden("prepare_data", holder, DataHooks):
            continue
        if trainer.local_rank == 0 and (holder.prepare_data_per_node or trainer.node_rank == 0):
            kind = "LightningDataModule" if holder is trainer.datamodule else "LightningModule"
            prepare = timed_method(trainer, kind, holder, "prepare_data")
            chain(trainer._logged, "prepare_data", (), prepare)()


def _setup(trainer: "Trainer") -> None:
    """The ``setup`` hooks, the data module's first."""
    fn = trainer.state.fn
    for module in trainer.lightning_module.modules():
        if isinstance(module, PlacedModule):
            # `self.device` already says where the module will be.
            module._device = trainer.strategy.root_device
    for logger in trainer.loggers:
        getattr(logger, "experiment", None)  # made now, so that its folder exists for the hooks
    trainer.strategy.barrier("pre_setup")
    if trainer.datamodule is not None:
        call_datamodule(trainer, "setup", stage=fn)
    call_callbacks(trainer, "setup", stage=fn)
    call_module(trainer, "setup", stage=fn)
    trainer.strategy.barrier("post_setup")


def _make_run(trainer: "Trainer") -> Run:
    """Write down what the loop will need, move the module to its device and make the optimizers."""
    module, strategy, precision = trainer.lightning_module, trainer.strategy, trainer.precision_plugin
    run = trainer._run = Run(
        trainer=trainer,
        module=module,
        datamodule=trainer.datamodule,
        precision=precision,
        logged=trainer._logged,
        fit=trainer.fit_loop,
        transfer=make_transfer(module, trainer.datamodule, precision, strategy),
        hooks=HookTable(trainer, module, trainer._logged),
        automatic=module.automatic_optimization,
    )
    decide(run)
    strategy.setup(trainer)
    return run
