"""Time the parts of a run under the names that Lightning gives them, where the Trainer has a profiler.

Callables are wrapped once, before the loop starts; without a profiler they stay as they are, and a step costs nothing.
"""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

from torchlift.profilers.base import PassThroughProfiler
from torchlift.profilers.profiler import Profiler
from torchlift.utilities.exceptions import MisconfigurationException

if TYPE_CHECKING:
    from torchlift.trainer import Trainer

_BY_NAME = {"simple": "SimpleProfiler", "advanced": "AdvancedProfiler", "pytorch": "PyTorchProfiler"}


def make_profiler(given: Profiler | str | None) -> Profiler:
    """What ``Trainer(profiler=given)`` means.

    Raises:
        MisconfigurationException: there is no profiler of that name.
    """
    from torchlift import profilers

    if not isinstance(given, str):
        return given or PassThroughProfiler()
    if given.lower() not in _BY_NAME:
        raise MisconfigurationException(
            "When passing string value for the `profiler` parameter of `Trainer`, it can only be one of"
            f" {list(_BY_NAME)}; got {given!r}."
        )
    made: Profiler = getattr(profilers, _BY_NAME[given.lower()])()
    return made


def is_profiled(trainer: "Trainer") -> bool:
    """Whether somebody looks at the times."""
    return not isinstance(trainer.profiler, PassThroughProfiler)


def timed(trainer: "Trainer", action: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as an action of the profiler; itself when there is none."""
    if not is_profiled(trainer):
        return function
    profiler = trainer.profiler

    def call(*args: Any, **kwargs: Any) -> Any:
        with profiler.profile(action):
            return function(*args, **kwargs)

    return call


def timed_iterator(trainer: "Trainer", action: str, iterator: Iterator[Any], length: int | None) -> Iterator[Any]:
    """`iterator`, each of whose items is an action of the profiler; nothing is asked for behind a known `length`."""

    def items() -> Iterator[Any]:
        take = timed(trainer, action, iterator.__next__)
        for _ in repeat(None) if length is None else range(length):
            try:
                item = take()
            except StopIteration:
                return
            yield item

    return items() if is_profiled(trainer) else iterator


def timed_method(trainer: "Trainer", kind: str, holder: Any, name: str) -> Callable[..., Any]:
    """A bound method of a callback, a module, a data module or the strategy as an action of the profiler.

    Args:
        trainer: has the profiler.
        kind: ``"Callback"``, ``"LightningModule"``, ``"LightningDataModule"`` or ``"Strategy"``.
        holder: the object.
        name: of the method.
    """
    method: Callable[..., Any] = getattr(holder, name)
    return timed(trainer, action_of(kind, holder, name), method) if is_profiled(trainer) else method


def action_of(kind: str, holder: Any, name: str) -> str:
    """The name of the action: ``[LightningModule]Net.training_step``; callbacks are told apart by their state key."""
    return f"[{kind}]{holder.state_key if kind == 'Callback' else type(holder).__name__}.{name}"
