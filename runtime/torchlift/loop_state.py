"""What outlives one run: the counters, loaders and logged values of each loop, kept by the Trainer.

The names of attributes follow Lightning's loops where outside code is known to read them.
"""

from dataclasses import dataclass, field
from typing import Any

from torchlift.data import Batches, Source
from torchlift.progress import Progress, Tally
from torchlift.replay import is_stateful
from torchlift.results import Results
from torchlift.resume import Resuming
from torchlift.states import RunningStage
from torchlift.utilities.combined_loader import CombinedLoader
from torchlift.utilities.random_states import States


@dataclass
class EvalState:
    """Validation inside fit, validate or test."""

    stage: RunningStage
    inference_mode: bool
    verbose: bool = True
    source: Source = field(default_factory=lambda: Source(None, ""))
    batch_progress: Progress = field(default_factory=Progress)
    results: Results = field(default_factory=lambda: Results(training=False))
    combined: CombinedLoader | None = None
    batches: Batches | None = None
    num_batches: list[int | float] = field(default_factory=list)  # of each loader
    batches_logged: dict[int, int] = field(default_factory=dict)  # of each loader, the step of its step metrics
    last_reload_epoch: float = float("-inf")
    has_run: bool = False
    before: tuple[States, dict[int, int], float, dict[str, int]] | None = None  # see `remember_validation`

    @property
    def name(self) -> str:
        """The stage as the names of hooks have it."""
        return "test" if self.stage is RunningStage.TESTING else "validation"

    def state_dict(self, prefix: str) -> dict[str, Any]:
        return {f"{prefix}state_dict": {}, f"{prefix}batch_progress": self.batch_progress.state_dict()}

    def load_state_dict(self, state: dict[str, Any], prefix: str) -> None:
        if f"{prefix}batch_progress" in state:
            self.batch_progress.load_state_dict(state[f"{prefix}batch_progress"])


@dataclass
class PredictState:
    """predict."""

    inference_mode: bool
    source: Source = field(default_factory=lambda: Source(None, ""))
    batch_progress: Progress = field(default_factory=Progress)
    combined: CombinedLoader | None = None
    batches: Batches | None = None
    num_batches: list[int | float] = field(default_factory=list)
    return_predictions: bool = True
    by_loader: list[list[Any]] = field(default_factory=list)  # what the steps returned
    current_batch_indices: list[int] = field(default_factory=list)  # the places in the data set of the batch's samples
    epoch_batch_indices: list[list[list[int]]] = field(default_factory=list)  # the same of all batches of each loader

    @property
    def predictions(self) -> list[Any]:
        """What the steps returned, of each batch; with several loaders a list of these."""
        return self.by_loader[0] if len(self.by_loader) == 1 else self.by_loader

    def state_dict(self, prefix: str) -> dict[str, Any]:
        progress = self.batch_progress.state_dict(with_last=False)
        return {f"{prefix}state_dict": {}, f"{prefix}batch_progress": progress}

    def load_state_dict(self, state: dict[str, Any], prefix: str) -> None:
        if f"{prefix}batch_progress" in state:
            self.batch_progress.load_state_dict(state[f"{prefix}batch_progress"])


@dataclass
class FitState:
    """Training."""

    max_epochs: int | None
    min_epochs: int | None
    max_steps: int
    min_steps: int | None
    val_loop: EvalState
    source: Source = field(default_factory=lambda: Source(None, ""))
    epoch_progress: Progress = field(default_factory=Progress)
    batch_progress: Progress = field(default_factory=Progress)
    scheduler_progress: Tally = field(default_factory=Tally)
    steps: Tally = field(default_factory=Tally)  # automatic optimization
    zero_grads: Tally = field(default_factory=Tally)
    manual_steps: Tally = field(default_factory=Tally)
    results: Results = field(default_factory=lambda: Results(training=True))
    combined: CombinedLoader | None = None
    batches: Batches | None = None
    max_batches: int | float = float("inf")
    last_reload_epoch: float = float("-inf")
    _batches_that_stepped: int = 0
    resuming: Resuming | None = None  # from a checkpoint, until the first epoch after it is over
    random_states: States = field(default_factory=dict)  # as they were when the epoch's iterators were made
    before_batch: tuple[States, list[Any]] | None = None  # random states and logged values, if they are remembered
    gradients_wait: bool = False  # in manual optimization there was a backward since the last step of an optimizer
    counted_ahead: int = 0  # batches that are counted and not of these iterators: Lightning's way to resume
    loader_states: list[dict[str, Any]] = field(default_factory=list)  # from a checkpoint, for loaders that keep some
    _skip_backward: bool = False  # the epoch only passes the data through, see ``step.forward_step``

    @property
    def epoch_loop(self) -> "FitState":
        """Lightning keeps the batches of an epoch in a loop of their own."""
        return self

    @property
    def restarting(self) -> bool:
        """Whether this is the first epoch after a checkpoint that was written inside it."""
        return self.resuming is not None and self.resuming.restarts

    @property
    def batch_idx(self) -> int:
        """The index of the batch under way, within the epoch."""
        return self.batch_progress.ready - 1

    @property
    def total_batch_idx(self) -> int:
        """The index of the batch under way, across epochs."""
        return self.batch_progress.before + self.batch_progress.ready - 1

    @property
    def on_last_batch(self) -> bool:
        """Whether no batch of the epoch follows the one under way."""
        return self.batch_progress.is_last_batch or self.batch_progress.ready == self.max_batches

    def accumulates(self, every: int) -> bool:
        """Whether the optimizer waits for more batches: not at every `every`-th one, nor at the epoch's last."""
        return self.batch_progress.ready % every != 0 and not self.on_last_batch

    def can_stop_early(self) -> bool:
        """Whether ``min_epochs`` and ``min_steps`` are met."""
        if self.min_epochs and self.epoch_progress.processed < self.min_epochs:
            return False
        return not self.min_steps or self.global_step >= self.min_steps

    @property
    def global_step(self) -> int:
        return self.steps.total + self.manual_steps.total

    def start_epoch_counters(self) -> None:
        """The counters within an epoch begin anew."""
        for progress in (self.batch_progress, self.scheduler_progress, self.steps, self.zero_grads):
            progress.reset_on_run()
        # What counts for validation is how often it ran within the epoch.
        self.val_loop.batch_progress.before = -self.val_loop.batch_progress.completed

    def state_dict(self) -> dict[str, Any]:
        """In the form in which Lightning's checkpoints have it under ``loops.fit_loop``."""
        zero_grads = self.zero_grads.state_dict("ready", "completed", "started")
        loaders = self.combined.flattened if self.combined is not None else []
        states = [one.state_dict() for one in loaders if is_stateful(one)]
        return {
            "state_dict": {"combined_loader": states} if states else {},
            "epoch_loop.state_dict": {"_batches_that_stepped": self._batches_that_stepped},
            "epoch_loop.batch_progress": self.batch_progress.state_dict(),
            "epoch_loop.scheduler_progress": self.scheduler_progress.state_dict("ready", "completed"),
            "epoch_loop.automatic_optimization.state_dict": {},
            "epoch_loop.automatic_optimization.optim_progress": {
                "optimizer": {"step": self.steps.state_dict("ready", "completed"), "zero_grad": zero_grads}
            },
            "epoch_loop.manual_optimization.state_dict": {},
            "epoch_loop.manual_optimization.optim_step_progress": self.manual_steps.state_dict("ready", "completed"),
            **self.val_loop.state_dict("epoch_loop.val_loop."),
            "epoch_progress": self.epoch_progress.state_dict(with_last=False),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict`, or Lightning, wrote."""
        inner = "epoch_loop."
        self.loader_states = state.get("state_dict", {}).get("combined_loader", [])
        self._batches_that_stepped = state.get(f"{inner}state_dict", {}).get("_batches_that_stepped", 0)
        self.epoch_progress.load_state_dict(state["epoch_progress"])
        self.batch_progress.load_state_dict(state[f"{inner}batch_progress"])
        self.scheduler_progress.load_state_dict(state[f"{inner}scheduler_progress"])
        automatic = state[f"{inner}automatic_optimization.optim_progress"]["optimizer"]
        self.steps.load_state_dict(automatic["step"])
        self.zero_grads.load_state_dict(automatic["zero_grad"])
        self.manual_steps.load_state_dict(state[f"{inner}manual_optimization.optim_step_progress"])
        self.val_loop.load_state_dict(state, f"{inner}val_loop.")
