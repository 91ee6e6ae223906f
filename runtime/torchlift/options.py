"""What the arguments of ``Trainer(...)`` mean: defaults, limits and combinations that cannot work."""

import inspect
import os
from ast import literal_eval
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any

from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info

Interval = int | float | str | timedelta | dict[str, int] | None


def defaults_from_environment(init: Callable[..., None]) -> Callable[..., None]:
    """Let ``PL_TRAINER_MAX_EPOCHS=3`` stand for ``max_epochs=3`` where that argument is not given.

    The middle part is the class's name, so a class derived from the Trainer has variables of its own. Values are read
    as Python literals where they are one, and as text otherwise; an empty one does not count.
    """

    @wraps(init)
    def with_defaults(self: Any, **given: Any) -> None:
        prefix, found = f"PL_{type(self).__name__.upper()}_", {}
        for name in inspect.signature(type(self)).parameters:
            if text := os.environ.get(prefix + name.upper()):
                try:
                    found[name] = literal_eval(text)
                except (ValueError, SyntaxError):
                    found[name] = text
        init(self, **{**found, **given})

    return with_defaults


def batch_limit(given: int | float | None, name: str) -> int | float:
    """A number of batches (int) or a share of them (float from 0 to 1); all of them by default.

    Raises:
        MisconfigurationException: it is neither.
    """
    if given is None:
        return 1.0
    if not isinstance(given, (int, float)):
        raise MisconfigurationException(
            f"You have passed invalid value {given!r} for {name}, it has to be in [0.0, 1.0] or an int."
        )
    if given == 1:
        _explain_one(given, name)
    if 0 <= given <= 1:
        return given
    if given > 1 and given % 1.0 == 0:
        return int(given)
    raise MisconfigurationException(
        f"You have passed invalid value {given} for {name}, it has to be in [0.0, 1.0] or an int."
    )


def _explain_one(given: int | float, name: str) -> None:
    """1 and 1.0 are so alike, and mean so different things, that the choice is said."""
    if isinstance(given, int):
        meaning = {
            "limit_train_batches": "1 batch per epoch will be used.",
            "val_check_interval": "validation will run after every batch.",
        }.get(name, "1 batch will be used.")
    else:
        meaning = {
            "limit_train_batches": "100% of the batches per epoch will be used.",
            "val_check_interval": "validation will run at the end of the training epoch.",
        }.get(name, "100% of the batches will be used.")
    rank_zero_info(f"`Trainer({name}={given})` was configured so {meaning}")


def seconds(given: str | timedelta | dict[str, int]) -> float:
    """A duration in seconds, from ``"DD:HH:MM:SS"``, a ``timedelta`` or its keyword arguments.

    Raises:
        MisconfigurationException: the string is not of that form.
    """
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, dict):
        return timedelta(**given).total_seconds()
    parts = given.split(":")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise MisconfigurationException(
            f"Invalid time format for `val_check_interval`: {given!r}. Expected 'DD:HH:MM:SS', whole numbers."
        )
    days, hours, minutes, rest = map(int, parts)
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=rest).total_seconds()


@dataclass(frozen=True)
class Limits:
    """How much of everything a run does."""

    train: int | float
    val: int | float
    test: int | float
    predict: int | float
    overfit: int | float
    val_check_interval: int | float
    val_check_seconds: float | None
    check_val_every_n_epoch: int | None
    num_sanity_val_steps: int | float
    max_epochs: int | None
    max_steps: int
    fast_dev_run: int | bool


def make_limits(
    *,
    train: int | float | None,
    val: int | float | None,
    test: int | float | None,
    predict: int | float | None,
    overfit: int | float,
    val_check_interval: Interval,
    check_val_every_n_epoch: int | None,
    num_sanity_val_steps: int,
    max_epochs: int | None,
    max_steps: int,
    fast_dev_run: int | bool,
) -> Limits:
    """Bring the limits into one form; ``fast_dev_run`` replaces most of them.

    Raises:
        MisconfigurationException: a value is out of range or of the wrong type.
    """
    if not isinstance(fast_dev_run, int) or fast_dev_run < 0:
        raise MisconfigurationException(
            f"fast_dev_run={fast_dev_run!r} is not a valid configuration. It should be >= 0."
        )
    if check_val_every_n_epoch is not None and not isinstance(check_val_every_n_epoch, int):
        raise MisconfigurationException(
            f"`check_val_every_n_epoch` should be an integer, found {check_val_every_n_epoch!r}."
        )
    if check_val_every_n_epoch is None and isinstance(val_check_interval, float):
        raise MisconfigurationException(
            "`val_check_interval` should be an integer or a time-based duration (str 'DD:HH:MM:SS', datetime.timedelta,"
            " or dict kwargs for timedelta) when `check_val_every_n_epoch=None`."
        )
    if isinstance(max_epochs, int) and max_epochs < -1:
        raise MisconfigurationException(
            f"`max_epochs` must be a non-negative integer or -1. You passed in {max_epochs}."
        )
    if not isinstance(max_steps, int) or max_steps < -1:
        raise MisconfigurationException(
            f"`max_steps` must be a non-negative integer or -1 (infinite steps). You passed in {max_steps}."
        )
    overfit_limit = batch_limit(overfit, "overfit_batches")
    if fast_dev_run:
        few = int(fast_dev_run)
        rank_zero_info(
            f"Running in `fast_dev_run` mode: will run the requested loop using {few} batch(es). Logging and"
            " checkpointing is suppressed."
        )
        both = overfit if overfit > 0 else few
        return Limits(both, both, few, few, overfit_limit, 1.0, None, 1, 0, 1, few, True if few == 1 else few)
    timed = isinstance(val_check_interval, (str, dict, timedelta))
    return Limits(
        train=overfit if overfit > 0 else batch_limit(train, "limit_train_batches"),
        val=overfit if overfit > 0 else batch_limit(val, "limit_val_batches"),
        test=batch_limit(test, "limit_test_batches"),
        predict=batch_limit(predict, "limit_predict_batches"),
        overfit=overfit_limit,
        val_check_interval=1.0 if timed else batch_limit(val_check_interval, "val_check_interval"),  # type: ignore[arg-type]
        val_check_seconds=seconds(val_check_interval) if timed else None,  # type: ignore[arg-type]
        check_val_every_n_epoch=check_val_every_n_epoch,
        num_sanity_val_steps=float("inf") if num_sanity_val_steps == -1 else num_sanity_val_steps,
        max_epochs=max_epochs,
        max_steps=max_steps,
        fast_dev_run=False,
    )


BAREBONES_OFF = {
    "logger": "Logging",
    "enable_checkpointing": "Checkpointing",
    "enable_progress_bar": "The progress bar",
    "enable_model_summary": "The model summary",
    "num_sanity_val_steps": "The sanity check",
    "fast_dev_run": "A development run",
    "detect_anomaly": "Anomaly detection",
    "profiler": "Profiling",
    "log_every_n_steps": "Logging",
}


def make_accumulation(given: int | dict[int, int], callbacks: list[Any]) -> int:
    """How many batches are accumulated at first; a schedule becomes a callback.

    Args:
        given: the number of batches, or one by the epoch from which it holds, as in ``{0: 8, 4: 4}``.
        callbacks: where a GradientAccumulationScheduler is added for a schedule.

    Raises:
        MisconfigurationException: a number below 1, or a schedule beside such a callback.
    """
    from torchlift.callbacks import GradientAccumulationScheduler

    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    if not isinstance(given, dict):
        raise MisconfigurationException(
            f"`accumulate_grad_batches` should be an int >= 1, or a dict of such by epoch. Got {given!r}."
        )
    if any(isinstance(callback, GradientAccumulationScheduler) for callback in callbacks):
        raise MisconfigurationException(
            "You have set both `accumulate_grad_batches` and passed an instance of `GradientAccumulationScheduler`"
            " inside callbacks. Remove one of them."
        )
    callbacks.append(GradientAccumulationScheduler(given))
    return 1


def check_barebones(**given: Any) -> None:
    """``barebones=True`` turns everything off that costs time, so nothing of it may be asked for.

    Raises:
        ValueError: something of it is.
    """
    for name, what in BAREBONES_OFF.items():
        if given.get(name):
            raise ValueError(
                f"`Trainer(barebones=True, {name}={given[name]!r})` was passed. {what} can impact raw speed so it is"
                " disabled in barebones mode."
            )
    rank_zero_info(
        "You are running in `Trainer(barebones=True)` mode. What costs time beside the training itself is off:"
        f" {', '.join(dict.fromkeys(BAREBONES_OFF.values()))}, `LightningModule.log(...)`."
    )
