"""When callbacks that log by themselves do so, and under which step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchlift.trainer import Trainer


def logged_step(trainer: Trainer) -> int:
    """The step on the loggers' axis: batches after which the optimizers stepped, however many optimizers there are."""
    step: int = trainer.fit_loop.epoch_loop._batches_that_stepped
    return step


def is_logging_step(trainer: Trainer, batches: int) -> bool:
    """Whether the ``batches``-th batch, counted from 1, is one at which ``log_every_n_steps`` wants to hear."""
    every = trainer.log_every_n_steps
    return every > 0 and (batches % every == 0 or trainer.should_stop)


def is_logging_moment(trainer: Trainer) -> bool:
    """Whether the batch under way, in whatever stage, is one at which ``log_every_n_steps`` wants to hear."""
    batches = logged_step(trainer) + 1 if trainer.training else trainer._active_loop.batch_progress.current.ready
    return is_logging_step(trainer, batches)


def log_to_all(trainer: Trainer, metrics: dict[str, float], separator: str | None = None) -> None:
    """Send ``metrics`` to every logger; ``separator`` in names gives way to the logger's own."""
    for logger in trainer.loggers:
        if separator is None:
            logger.log_metrics(metrics, step=logged_step(trainer))
        else:
            own = {name.replace(separator, logger.group_separator, 1): value for name, value in metrics.items()}
            logger.log_metrics(own, step=logged_step(trainer))
