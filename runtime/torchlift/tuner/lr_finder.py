"""The learning-rate range test: train a few steps with a rising rate and see where the loss falls fastest.

After section 3.3 of L. N. Smith, "Cyclical Learning Rates for Training Neural Networks",
https://arxiv.org/abs/1506.01186.
"""

import logging
import math
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from torchlift.callback import Callback
from torchlift.tuner.trial import attempt, trials
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.parsing import lightning_hasattr, lightning_setattr
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torchlift.utilities.types import LRSchedulerConfig

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["LRFinder"]

log = logging.getLogger(__name__)

_NAMES = ("lr", "learning_rate")


class LRFinder:
    """What a search found.

    Args:
        mode: how the rate rises, ``"exponential"`` or ``"linear"``.
        lr_min: the first rate.
        lr_max: the last rate.
        num_training: steps between them.

    Attributes:
        results: ``"lr"``, the rate of each step, and ``"loss"``, the smoothed loss after it; NaN where the step gave
            no loss.
    """

    def __init__(self, mode: str, lr_min: float, lr_max: float, num_training: int) -> None:
        assert mode in ("linear", "exponential"), "mode should be either `linear` or `exponential`"
        self.mode, self.lr_min, self.lr_max, self.num_training = mode, lr_min, lr_max, num_training
        self.results: dict[str, list[float]] = {}
        self._optimal_idx: int | None = None
        self._total_batch_idx = 0

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate at which the loss falls fastest.

        Args:
            skip_begin: leave out so many steps at the start.
            skip_end: leave out so many steps at the end.

        Returns:
            The rate; ``None`` where fewer than two finite losses remain.
        """
        losses, rates = self.results["loss"], self.results["lr"]
        kept = [i for i in range(skip_begin, len(losses) - skip_end) if math.isfinite(losses[i])]
        self._optimal_idx = None
        if len(kept) < 2:
            log.error(
                "Failed to compute suggestion for learning rate because there are not enough points. Increase the loop"
                " iteration limits or the size of your dataset/dataloader."
            )
            return None
        spacing = torch.tensor([float(rates[i]) for i in kept])
        slopes = torch.gradient(torch.tensor([float(losses[i]) for i in kept]), spacing=[spacing])[0]
        self._optimal_idx = kept[int(torch.argmin(slopes))]
        return rates[self._optimal_idx]

    def plot(self, suggest: bool = False, show: bool = False, ax: Any = None) -> Any:
        """Draw the loss over the rate.

        Args:
            suggest: mark the suggestion with a red point.
            show: open a window.
            ax: matplotlib's axes to draw on; new ones by default.

        Returns:
            The figure.

        Raises:
            MisconfigurationException: matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise MisconfigurationException(
                "To use the `plot` method, you must have Matplotlib installed: pip install matplotlib."
            ) from error
        rates, losses = self.results["lr"], self.results["loss"]
        if ax is None:
            figure, ax = plt.subplots()
        else:
            figure = ax.figure
        ax.plot(rates, losses)
        if self.mode == "exponential":
            ax.set_xscale("log")
        ax.set_xlabel("Learning rate")
        ax.set_ylabel("Loss")
        if suggest and self.suggestion() is not None:
            best = self._optimal_idx
            assert best is not None
            ax.plot(rates[best], losses[best], markersize=10, marker="o", color="red")
        if show:
            plt.show()
        return figure


def lr_find(
    trainer: "Trainer",
    model: "LightningModule",
    min_lr: float = 1e-8,
    max_lr: float = 1,
    num_training: int = 100,
    mode: str = "exponential",
    early_stop_threshold: float | None = 4.0,
    update_attr: bool = False,
    attr_name: str = "",
) -> LRFinder | None:
    """Search within the run that is under way; see ``Tuner.lr_find``. ``None`` with ``fast_dev_run``."""
    if trainer.fast_dev_run:
        rank_zero_warn("Skipping learning rate finder since `fast_dev_run` is enabled.")
        return None
    if update_attr:
        attr_name = _attribute(model, attr_name)
    finder, run = LRFinder(mode, min_lr, max_lr, num_training), trainer._run
    assert run is not None
    with trials(trainer):
        start = run.fit.global_step
        recorder = _Recorder(_replace_scheduler(trainer, finder), early_stop_threshold, start)
        trainer.callbacks, trainer.limit_val_batches = [recorder], num_training
        attempt(trainer, run, max_steps=num_training)
        if (steps := trainer.global_step - start) != num_training:
            rank_zero_info(f"LR finder stopped early after {steps} steps due to diverging loss.")
        finder.results = {"lr": recorder.lrs, "loss": recorder.losses}
        finder._total_batch_idx = trainer.fit_loop.total_batch_idx
    if update_attr:
        _apply(trainer, model, attr_name, finder.suggestion())
    return finder


def _attribute(model: "LightningModule", given: str) -> str:
    """The name under which the module keeps its learning rate."""
    if given:
        if not lightning_hasattr(model, given):
            raise AttributeError(
                f"The attribute name for the learning rate was set to {given}, but could not find this as a field in"
                " `model` or `model.hparams`."
            )
        return given
    for name in _NAMES:
        if lightning_hasattr(model, name):
            return name
    raise AttributeError(
        f"When using the learning rate finder, either `model` or `model.hparams` should have one of these fields:"
        f" {_NAMES}. If your model has a different name for the learning rate, set it with"
        " `.lr_find(attr_name=...)`."
    )


def _apply(trainer: "Trainer", model: "LightningModule", attr_name: str, lr: float | None) -> None:
    """Go on with the rate that was found."""
    if lr is None:
        return
    lightning_setattr(model, attr_name, lr)
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr
    rank_zero_info(f"Learning rate set to {lr}")


def _replace_scheduler(trainer: "Trainer", finder: LRFinder) -> "_Rising":
    """Let the optimizer's rate rise from step to step."""
    if len(trainer.optimizers) != 1:
        raise MisconfigurationException(
            f"`model.configure_optimizers()` returned {len(trainer.optimizers)} optimizers, but learning rate finder"
            " only works with single optimizer"
        )
    optimizer = trainer.optimizers[0]
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = finder.lr_min
    scheduler = _Rising(optimizer, finder)
    trainer.strategy.lr_scheduler_configs = [LRSchedulerConfig(scheduler, interval="step")]
    return scheduler


class _Rising(LRScheduler):
    """From the first rate to the last, linearly or exponentially."""

    def __init__(self, optimizer: Optimizer, finder: LRFinder) -> None:
        self.finder = finder
        self.lr = finder.lr_min
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        low, high = self.finder.lr_min, self.finder.lr_max
        if self.last_epoch > 0:
            share = (self.last_epoch + 1) / self.finder.num_training
            linear = self.finder.mode == "linear"
            self.lr = low + share * (high - low) if linear else low * (high / low) ** share
        return [self.lr for _ in self.base_lrs]


class _Recorder(Callback):
    """Writes down rate and loss of each step, and stops when the loss is far above the best one.

    The loss is smoothed: a mean in which each step counts 0.98 times as much as the next, corrected for its start.
    """

    beta = 0.98

    def __init__(self, scheduler: _Rising, early_stop_threshold: float | None, start: int) -> None:
        self.scheduler, self.early_stop_threshold, self.start = scheduler, early_stop_threshold, start
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self.mean = self.best = 0.0

    def on_train_batch_start(
        self, trainer: "Trainer", pl_module: "LightningModule", batch: Any, batch_idx: int
    ) -> None:
        if not _accumulates(trainer):
            self.lrs.append(self.scheduler.lr)

    def on_train_batch_end(
        self, trainer: "Trainer", pl_module: "LightningModule", outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if _accumulates(trainer):
            return
        if not outputs:
            self.losses.append(math.nan)
            return
        step = trainer.global_step - self.start
        self.mean = self.beta * self.mean + (1 - self.beta) * float(outputs["loss"])
        loss = self.mean / (1 - self.beta ** (step + 1))
        if self.early_stop_threshold is not None and step > 1 and loss > self.early_stop_threshold * self.best:
            trainer.should_stop = True
        if loss < self.best or step == 1:
            self.best = loss
        self.losses.append(loss)


def _accumulates(trainer: "Trainer") -> bool:
    return (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches != 0
