"""How far a run has come, and with which loaders: what the Trainer answers while it runs."""

import math
from typing import TYPE_CHECKING, Any

from torchlift.run import overrides
from torchlift.states import RunningStage, TrainerFn, TrainerStatus
from torchlift.utilities.rank_zero import rank_zero_info

if TYPE_CHECKING:
    from torchlift.logged import Logged
    from torchlift.loop_state import EvalState, FitState, PredictState
    from torchlift.run import Run
    from torchlift.states import TrainerState

Number = int | float


class RunAttributes:
    """The part of the Trainer that says where it is."""

    state: "TrainerState"
    fit_loop: "FitState"
    validate_loop: "EvalState"
    test_loop: "EvalState"
    predict_loop: "PredictState"
    accumulate_grad_batches: int
    limit_val_batches: Number
    num_sanity_val_steps: Number
    _logged: "Logged"
    lightning_module: Any
    _run: "Run | None"

    def __getstate__(self) -> dict[str, Any]:
        """Without the run under way, so that a module that knows its Trainer can be pickled."""
        return {**vars(self), "_run": None}

    # -- what is going on ---------------------------------------------------------------------------------------------

    def _of_kind(self, name: str) -> list[Any]:
        """The Trainer's callbacks of this class."""
        raise NotImplementedError

    def _enter(self, stage: RunningStage) -> None:
        """Another stage begins: its loop's results are the ones that ``self.log`` writes to."""
        self.state.stage = stage
        if stage is RunningStage.TRAINING:
            self._logged.enter(self.fit_loop.results)
        elif stage is RunningStage.PREDICTING:
            self._logged.enter(None)
        else:
            self._logged.enter(self._evaluation_state.results)

    @property
    def _evaluation_state(self) -> "EvalState":
        by_fn = {TrainerFn.VALIDATING: self.validate_loop, TrainerFn.TESTING: self.test_loop}
        return by_fn.get(self.state.fn, self.fit_loop.val_loop)  # type: ignore[arg-type]

    @property
    def _active_loop(self) -> "FitState | EvalState | PredictState":
        """The loop of the stage that is running."""
        if self.evaluating:
            return self._evaluation_state
        return self.predict_loop if self.predicting else self.fit_loop

    @property
    def interrupted(self) -> bool:
        """Whether the last run ended with an exception, Ctrl-C included."""
        return self.state.status == TrainerStatus.INTERRUPTED

    @property
    def fitting(self) -> bool:
        return self.state.fn == TrainerFn.FITTING

    @property
    def training(self) -> bool:
        return self.state.stage is RunningStage.TRAINING

    @training.setter
    def training(self, value: bool) -> None:
        self._set_stage(RunningStage.TRAINING, value)

    @property
    def validating(self) -> bool:
        return self.state.stage is RunningStage.VALIDATING

    @validating.setter
    def validating(self, value: bool) -> None:
        self._set_stage(RunningStage.VALIDATING, value)

    @property
    def testing(self) -> bool:
        return self.state.stage is RunningStage.TESTING

    @testing.setter
    def testing(self, value: bool) -> None:
        self._set_stage(RunningStage.TESTING, value)

    @property
    def predicting(self) -> bool:
        return self.state.stage is RunningStage.PREDICTING

    @predicting.setter
    def predicting(self, value: bool) -> None:
        self._set_stage(RunningStage.PREDICTING, value)

    @property
    def sanity_checking(self) -> bool:
        return self.state.stage is RunningStage.SANITY_CHECKING

    @sanity_checking.setter
    def sanity_checking(self, value: bool) -> None:
        self._set_stage(RunningStage.SANITY_CHECKING, value)

    def _set_stage(self, stage: RunningStage, value: bool) -> None:
        if value:
            self.state.stage = stage
        elif self.state.stage is stage:
            self.state.stage = None

    @property
    def evaluating(self) -> bool:
        return self.state.stage is not None and self.state.stage.evaluating

    @property
    def enable_validation(self) -> bool:
        """Whether fit validates: there are loaders and a ``validation_step``, and they are not limited to none."""
        has_loaders = self.fit_loop.val_loop.source.is_defined()
        return has_loaders and overrides(self.lightning_module, "validation_step") and self.limit_val_batches > 0

    # -- how far ------------------------------------------------------------------------------------------------------

    @property
    def current_epoch(self) -> int:
        """The number of completed epochs, which is the index of the one under way."""
        return self.fit_loop.epoch_progress.completed

    @property
    def global_step(self) -> int:
        """The number of optimizer steps taken, of all optimizers."""
        return self.fit_loop.global_step

    @property
    def is_last_batch(self) -> bool:
        """Whether the training batch under way is the epoch's last."""
        return self.fit_loop.batch_progress.is_last_batch

    @property
    def max_epochs(self) -> int | None:
        return self.fit_loop.max_epochs

    @property
    def min_epochs(self) -> int | None:
        return self.fit_loop.min_epochs

    @property
    def max_steps(self) -> int:
        return self.fit_loop.max_steps

    @property
    def min_steps(self) -> int | None:
        return self.fit_loop.min_steps

    @property
    def estimated_stepping_batches(self) -> Number:
        """How many optimizer steps a whole fit will take; infinite without a limit. Makes the training loaders."""
        state = self.fit_loop
        if state.max_epochs == -1:
            return float("inf") if state.max_steps == -1 else state.max_steps
        if state.combined is None:
            from torchlift.training_data import setup_training

            rank_zero_info("Loading `train_dataloader` to estimate number of stepping batches.")
            assert self._run is not None
            setup_training(self._run)
        if state.max_batches == float("inf"):
            return state.max_steps
        assert state.max_epochs is not None
        steps = sum(math.ceil(state.max_batches / every) for every in self._accumulation(max(state.max_epochs, 1)))
        return steps if state.max_steps == -1 else min(steps, state.max_steps)

    def _accumulation(self, epochs: int) -> list[int]:
        """How many batches are accumulated in each of the first `epochs`."""
        schedulers = self._of_kind("GradientAccumulationScheduler")
        if not schedulers:
            return [self.accumulate_grad_batches] * epochs
        return [schedulers[0].get_accumulate_grad_batches(epoch) for epoch in range(epochs)]

    # -- loaders ------------------------------------------------------------------------------------------------------

    @property
    def train_dataloader(self) -> Any:
        """The training loader or loaders, in the form they were given."""
        return self.fit_loop.combined.iterables if self.fit_loop.combined is not None else None

    @property
    def val_dataloaders(self) -> Any:
        for state in (self.fit_loop.val_loop, self.validate_loop):
            if state.combined is not None:
                return state.combined.iterables
        return None

    @property
    def test_dataloaders(self) -> Any:
        return self.test_loop.combined.iterables if self.test_loop.combined is not None else None

    @property
    def predict_dataloaders(self) -> Any:
        return self.predict_loop.combined.iterables if self.predict_loop.combined is not None else None

    @property
    def num_training_batches(self) -> Number:
        """Of an epoch; infinite for loaders without a length."""
        return self.fit_loop.max_batches

    @property
    def num_val_batches(self) -> list[Number]:
        """Of each validation loader."""
        if self.state.fn == TrainerFn.VALIDATING:
            return self.validate_loop.num_batches
        return self.fit_loop.val_loop.num_batches

    @property
    def num_sanity_val_batches(self) -> list[Number]:
        return [min(self.num_sanity_val_steps, number) for number in self.fit_loop.val_loop.num_batches]

    @property
    def num_test_batches(self) -> list[Number]:
        return self.test_loop.num_batches

    @property
    def num_predict_batches(self) -> list[Number]:
        return self.predict_loop.num_batches
