"""Trainer: the options of a run, and the four entry points.

``fit`` leads to ``torchlift.loop.fit``, the loop. What happens before and after it is in ``torchlift.session``.
"""

import os
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from torchlift import evaluation, loop, prediction, session
from torchlift.accelerators import Accelerator
from torchlift.attributes import TrainerAttributes
from torchlift.clipping import clip_algorithm
from torchlift.defaults import default_callbacks, default_loggers, order_callbacks
from torchlift.logged import Logged
from torchlift.loop_state import EvalState, FitState, PredictState
from torchlift.module import LightningModule
from torchlift.options import check_barebones, defaults_from_environment, make_accumulation, make_limits
from torchlift.placement import place, set_torch_flags
from torchlift.profiling import make_profiler
from torchlift.run import Run
from torchlift.states import RunningStage, TrainerFn, TrainerState
from torchlift.strategies import Strategy
from torchlift.utilities.apply import tensors_to_scalars
from torchlift.utilities.exceptions import MisconfigurationException, _TunerExitException
from torchlift.utilities.rank_zero import rank_zero_info


class Trainer(TrainerAttributes):
    """Runs a LightningModule: ``fit``, ``validate``, ``test``, ``predict``.

    Arguments and their defaults are Lightning's:
    https://lightning.ai/docs/pytorch/stable/common/trainer.html#trainer-class-api
    Where Lightning writes on standard output, this Trainer writes on standard error.

    Raises:
        MisconfigurationException, ValueError, TypeError: an argument that cannot work; the message says which.
    """

    @defaults_from_environment
    def __init__(
        self,
        *,
        accelerator: str | Accelerator = "auto",
        strategy: "str | Strategy" = "auto",
        devices: list[int] | str | int = "auto",
        num_nodes: int = 1,
        precision: int | str | None = None,
        logger: Any | Iterable[Any] | bool | None = None,
        callbacks: list[Any] | Any | None = None,
        fast_dev_run: int | bool = False,
        max_epochs: int | None = None,
        min_epochs: int | None = None,
        max_steps: int = -1,
        min_steps: int | None = None,
        max_time: str | timedelta | dict[str, int] | None = None,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        val_check_interval: int | float | str | timedelta | dict[str, int] | None = None,
        check_val_every_n_epoch: int | None = 1,
        num_sanity_val_steps: int | None = None,
        log_every_n_steps: int | None = None,
        enable_checkpointing: bool | None = None,
        enable_progress_bar: bool | None = None,
        enable_model_summary: bool | None = None,
        accumulate_grad_batches: int | dict[int, int] = 1,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
        deterministic: bool | str | None = None,
        benchmark: bool | None = None,
        inference_mode: bool = True,
        use_distributed_sampler: bool = True,
        profiler: Any | str | None = None,
        detect_anomaly: bool = False,
        barebones: bool = False,
        plugins: Any | list[Any] | None = None,
        sync_batchnorm: bool = False,
        reload_dataloaders_every_n_epochs: int = 0,
        default_root_dir: str | Path | None = None,
        enable_autolog_hparams: bool = True,
        model_registry: str | None = None,
    ) -> None:
        if barebones:
            check_barebones(**{name: value for name, value in locals().items() if name != "self"})
        self.barebones = barebones
        on = not barebones
        enable_checkpointing = on if enable_checkpointing is None else enable_checkpointing
        enable_progress_bar = on if enable_progress_bar is None else enable_progress_bar
        enable_model_summary = on if enable_model_summary is None else enable_model_summary
        log_every_n_steps = 50 * on if log_every_n_steps is None else log_every_n_steps
        num_sanity_val_steps = 2 * on if num_sanity_val_steps is None else num_sanity_val_steps

        # Where and how
        set_torch_flags(deterministic, benchmark)
        self.strategy = place(accelerator, strategy, devices, num_nodes, precision, plugins)
        self._use_distributed_sampler, self._sync_batchnorm = use_distributed_sampler, sync_batchnorm
        self.profiler = make_profiler(profiler)

        # How much
        limits = make_limits(
            train=limit_train_batches,
            val=limit_val_batches,
            test=limit_test_batches,
            predict=limit_predict_batches,
            overfit=overfit_batches,
            val_check_interval=val_check_interval,
            check_val_every_n_epoch=check_val_every_n_epoch,
            num_sanity_val_steps=num_sanity_val_steps,
            max_epochs=max_epochs,
            max_steps=max_steps,
            fast_dev_run=fast_dev_run,
        )
        self.fast_dev_run, self.overfit_batches = limits.fast_dev_run, limits.overfit
        self.limit_train_batches, self.limit_val_batches = limits.train, limits.val
        self.limit_test_batches, self.limit_predict_batches = limits.test, limits.predict
        self.val_check_interval, self._val_check_time_interval = limits.val_check_interval, limits.val_check_seconds
        self.check_val_every_n_epoch, self.num_sanity_val_steps = (
            limits.check_val_every_n_epoch,
            limits.num_sanity_val_steps,
        )
        self.val_check_batch: int | float | None = None
        self._last_val_time = 0.0
        if not isinstance(reload_dataloaders_every_n_epochs, int) or reload_dataloaders_every_n_epochs < 0:
            raise MisconfigurationException(
                f"`reload_dataloaders_every_n_epochs` should be an int >= 0, got {reload_dataloaders_every_n_epochs}."
            )
        self.reload_dataloaders_every_n_epochs = reload_dataloaders_every_n_epochs

        # The update
        if gradient_clip_val is not None and not isinstance(gradient_clip_val, (int, float)):
            raise TypeError(f"`gradient_clip_val` should be an int or a float. Got {gradient_clip_val}.")
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm = clip_algorithm(gradient_clip_algorithm)
        self._detect_anomaly = detect_anomaly
        if detect_anomaly:
            rank_zero_info(
                "You have turned on `Trainer(detect_anomaly=True)`, which slows everything down; it is for debugging."
            )

        # What is going on
        self.state = TrainerState()
        self.should_stop = False
        self.received_sigterm = False
        self.datamodule: Any | None = None
        self._run: Run | None = None
        self._logged = Logged()
        val_loop = EvalState(RunningStage.VALIDATING, inference_mode=False, verbose=False)
        self.fit_loop = FitState(limits.max_epochs, min_epochs, limits.max_steps, min_steps, val_loop)
        self.validate_loop = EvalState(RunningStage.VALIDATING, inference_mode)
        self.test_loop = EvalState(RunningStage.TESTING, inference_mode)
        self.predict_loop = PredictState(inference_mode)

        # Who listens
        self._default_root_dir = os.fspath(default_root_dir) if default_root_dir else os.getcwd()
        self.log_every_n_steps = log_every_n_steps
        self.enable_autolog_hparams = enable_autolog_hparams
        self._model_registry = model_registry.split(":")[0] if model_registry else None
        self._ckpt_path: str | Path | None = None
        self._ckpt_path_is_users = False
        self.callbacks = default_callbacks(
            callbacks, enable_checkpointing, enable_progress_bar, enable_model_summary, max_time
        )
        self.accumulate_grad_batches = make_accumulation(accumulate_grad_batches, self.callbacks)
        self.callbacks = order_callbacks(self.callbacks)
        self.loggers = default_loggers(on if logger is None else logger, self.default_root_dir, bool(fast_dev_run))

    # -- entry points -------------------------------------------------------------------------------------------------

    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train.

        Args:
            model: what to train.
            train_dataloaders: an iterable of batches, a collection of such, or a data module.
            val_dataloaders: the same, to validate on.
            datamodule: instead of loaders.
            ckpt_path: go on from this checkpoint; ``"last"`` and ``"best"`` mean those of the checkpoint callback.
            weights_only: ``False`` lets the checkpoint hold any object, which can run code.
        """
        self.should_stop = False
        data = {"train": train_dataloaders, "val": val_dataloaders, "datamodule": datamodule}
        self._guarded(TrainerFn.FITTING, RunningStage.TRAINING, model, data, ckpt_path, weights_only)

    def validate(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: Any = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Evaluate on the validation set.

        Args:
            model: what to evaluate; that of the last run by default, with the best checkpoint's weights.
            dataloaders: an iterable of batches, a collection of such, or a data module.
            ckpt_path: load these weights first; ``"best"`` and ``"last"`` mean those of the checkpoint callback.
            verbose: show the metrics on standard error.
            datamodule: instead of loaders.
            weights_only: ``False`` lets the checkpoint hold any object, which can run code.

        Returns:
            The logged metrics, one dictionary per loader.
        """
        self.validate_loop.verbose = verbose
        data = {"val": dataloaders, "datamodule": datamodule}
        fn, stage = TrainerFn.VALIDATING, RunningStage.VALIDATING
        return tensors_to_scalars(self._guarded(fn, stage, model, data, ckpt_path, weights_only))

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: Any = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """Evaluate on the test set; arguments and result are as in :meth:`validate`."""
        self.test_loop.verbose = verbose
        data = {"test": dataloaders, "datamodule": datamodule}
        fn, stage = TrainerFn.TESTING, RunningStage.TESTING
        return tensors_to_scalars(self._guarded(fn, stage, model, data, ckpt_path, weights_only))

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: Any = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> list[Any] | list[list[Any]] | None:
        """Run ``predict_step`` on each batch.

        Args:
            model: what to predict with; that of the last run by default, with the best checkpoint's weights.
            dataloaders: an iterable of batches, a collection of such, or a data module.
            datamodule: instead of loaders.
            return_predictions: keep and return what the steps returned; yes by default.
            ckpt_path: load these weights first.
            weights_only: ``False`` lets the checkpoint hold any object, which can run code.

        Returns:
            The predictions of each batch; with several loaders a list of these.
        """
        self.predict_loop.return_predictions = True if return_predictions is None else return_predictions
        data = {"predict": dataloaders, "datamodule": datamodule}
        return self._guarded(TrainerFn.PREDICTING, RunningStage.PREDICTING, model, data, ckpt_path, weights_only)

    # -- one run ------------------------------------------------------------------------------------------------------

    def _guarded(
        self,
        fn: TrainerFn,
        stage: RunningStage,
        model: LightningModule | None,
        data: dict[str, Any],
        ckpt_path: str | Path | None,
        weights_only: bool | None,
    ) -> Any:
        """One entry point, tidied up however it ends. Ctrl-C ends in ``SystemExit``, as in Lightning."""
        try:
            session.attach(self, fn, stage, model, data)
            with session.signals(self):
                return self._run_stage(model is not None, ckpt_path, weights_only)
        except _TunerExitException:
            session.release(self)
            session.finish(self)
        except KeyboardInterrupt as exception:
            rank_zero_info("\nDetected KeyboardInterrupt, attempting graceful shutdown ...")
            with session.without_interrupts():
                session.interrupt(self, exception)
            sys.exit(1)
        except BaseException as exception:
            session.interrupt(self, exception)
            self.state.stage = None
            self._logged.enter(None)
            raise

    def _run_stage(self, model_given: bool, ckpt_path: str | Path | None, weights_only: bool | None) -> Any:
        run = session.open_run(self, model_given, ckpt_path, weights_only)
        run.module.zero_grad()
        if self.fitting:
            loop.check_sanity(run)
        result = self._loop()(run)
        session.close_run(run)
        return result

    def _loop(self) -> Callable[[Run], Any]:
        """The loop of this entry point."""
        if self.state.fn == TrainerFn.FITTING:
            return loop.fit
        if self.state.fn == TrainerFn.PREDICTING:
            return prediction.predict
        return lambda run: evaluation.evaluate(run, self._evaluation_state)
