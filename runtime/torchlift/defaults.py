"""What a Trainer has when nothing is said: checkpoints, a progress bar, a model summary, a logger."""

from collections.abc import Iterable
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info

if TYPE_CHECKING:
    from torchlift.trainer import Trainer


def default_callbacks(given: Any, checkpointing: bool, progress_bar: bool, model_summary: bool, max_time: Any) -> list:
    """The callbacks that were given, with the defaults that are wanted and not among them.

    Raises:
        TypeError: a name or a class was given instead of a callback.
        MisconfigurationException: a callback was given whose kind is turned off, or two progress bars.
        RuntimeError: two callbacks would keep their state under one key.
    """
    from torchlift import callbacks as kinds
    from torchlift.callback import Callback

    found = [given] if isinstance(given, Callback) else list(given or [])
    for one in found:
        if isinstance(one, (str, type)):
            raise TypeError(f"`Trainer(callbacks=...)` takes instances of `Callback`, got {one!r}.")
    if any(isinstance(one, kinds.Checkpoint) for one in found):
        if not checkpointing:
            raise MisconfigurationException(
                "Trainer was configured with `enable_checkpointing=False` but found `ModelCheckpoint` in callbacks"
                " list."
            )
    elif checkpointing:
        found.append(kinds.ModelCheckpoint())
    if max_time is not None:
        if any(isinstance(one, kinds.Timer) for one in found):
            rank_zero_info("Ignoring `Trainer(max_time=...)`, callbacks list already contains a Timer.")
        else:
            found.append(kinds.Timer(duration=max_time, interval="step"))
    bars = [one for one in found if isinstance(one, kinds.ProgressBar)]
    if len(bars) > 1:
        raise MisconfigurationException(
            "You added multiple progress bar callbacks to the Trainer, but currently only one progress bar is"
            " supported."
        )
    if bars and not progress_bar:
        raise MisconfigurationException(
            f"Trainer was configured with `enable_progress_bar=False` but found `{type(bars[0]).__name__}` in callbacks"
            " list."
        )
    if progress_bar and not bars:
        found.append(kinds.RichProgressBar() if find_spec("rich") else kinds.TQDMProgressBar())
    if summaries := [type(one) for one in found if isinstance(one, kinds.ModelSummary)]:
        if model_summary:
            rank_zero_info(
                f"Trainer already configured with model summary callbacks: {summaries}. Skipping setting a default"
                " `ModelSummary` callback."
            )
    elif model_summary:
        found.append(kinds.RichModelSummary() if find_spec("rich") else kinds.ModelSummary())
    found.extend(callbacks_of_other_packages())
    check_state_keys(found)
    return order_callbacks(found)


def order_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    """Those that tune come first; checkpoint callbacks last, so that they save what the others did."""
    from torchlift.callbacks import BatchSizeFinder, Checkpoint, LearningRateFinder

    def place(callback: Any) -> int:
        return isinstance(callback, Checkpoint) - isinstance(callback, (BatchSizeFinder, LearningRateFinder))

    return sorted(callbacks, key=place)


FACTORIES = ["torchlift.callbacks_factory"]
"""Groups of entry points; each names a function that returns callbacks for every Trainer."""


def callbacks_of_other_packages() -> list[Any]:
    """What installed packages add to every Trainer through an entry point.

    https://lightning.ai/docs/pytorch/stable/extensions/entry_points.html
    """
    found: list[Any] = []
    for factory in (one for group in FACTORIES for one in entry_points(group=group)):
        made = factory.load()()
        made = made if isinstance(made, list) else [made]
        rank_zero_info(f"Adding {len(made)} callbacks from entry point '{factory.name}'")
        found.extend(made)
    return found


def check_state_keys(callbacks: Iterable[Any]) -> None:
    """Two callbacks that keep a state may not keep it under one key.

    Raises:
        RuntimeError: two do.
    """
    from torchlift.callback import Callback
    from torchlift.hooks import is_overridden

    seen = set()
    for callback in callbacks:
        if not is_overridden("state_dict", callback, Callback):
            continue
        if callback.state_key in seen:
            raise RuntimeError(
                f"Found more than one stateful callback of type `{type(callback).__name__}`. In the current"
                " configuration, this callback does not support being saved alongside other instances of the same type."
                f" Please consult the documentation of `{type(callback).__name__}` regarding valid settings for the"
                " callback state to be checkpointable. HINT: The `callback.state_key` must be unique among all"
                " callbacks in the Trainer."
            )
        seen.add(callback.state_key)


def default_loggers(given: Any, default_root_dir: str, fast_dev_run: bool) -> list[Any]:
    """The loggers that were given; ``True`` is TensorBoard where it is installed, else a CSV file."""
    if not given:
        return []
    if fast_dev_run:
        from torchlift.loggers import DummyLogger

        return [DummyLogger()]
    if given is True:
        from torchlift.loggers.default import default_logger

        return [default_logger(default_root_dir)]
    return list(given) if isinstance(given, Iterable) else [given]


def log_hyperparameters(trainer: "Trainer") -> None:
    """Hand the hyperparameters of module and data module to the loggers.

    Raises:
        RuntimeError: both have one of the same name with different values.
    """
    if not trainer.loggers:
        return
    holders = [one for one in (trainer.lightning_module, trainer.datamodule) if one is not None]
    merged: dict[str, Any] | None = None
    for holder in holders:
        if not holder._log_hyperparams:
            continue
        new = holder.hparams_initial
        clashing = [name for name in new if merged and name in merged and not _same(merged[name], new[name])]
        if clashing:
            raise RuntimeError(
                f"Error while merging hparams: the keys {clashing} are present in both the LightningModule's and"
                " LightningDataModule's hparams but have different values."
            )
        merged = {**(merged or {}), **new}
    for logger in trainer.loggers:
        if merged is not None:
            logger.log_hyperparams(merged)
        logger.log_graph(trainer.lightning_module)
        logger.save()


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    try:
        return bool(left == right)
    except Exception:  # an array has no single truth value
        return left is right
