"""Who listens to which moment, worked out before the loop starts.

A moment nobody listens to is ``None`` in the table and costs one test in the loop. The others are one callable each,
made of the bound hooks that are really overridden: callbacks in their order, the module, the strategy; at the end of
a training epoch the callbacks that monitor a metric come last, so that they see what the module logged there.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from torchlift.logged import Logged
from torchlift.module_hooks import ModelHooks
from torchlift.profiling import is_profiled, timed_method
from torchlift.strategies._moments import Moments

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

Hook = Callable[..., Any]

_EVALUATION = ("start", "epoch_start", "batch_start", "batch_end", "epoch_end", "end")

TABLED = (
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_train_epoch_end",
    *(f"on_{stage}_{moment}" for stage in ("validation", "test", "predict") for moment in _EVALUATION),
)
"""The moments that come up again and again; the others are looked up when they come."""


def is_overridden(name: str, instance: object, base: type) -> bool:
    """Whether ``instance.name`` is something else than what `base` defines, in a class or on the instance itself."""
    attribute = getattr(instance, name, None)
    if not callable(attribute):
        return False
    attribute = getattr(attribute, "_torchdynamo_orig_callable", attribute)  # compiled, it is the same method
    inner = getattr(attribute, "__func__", attribute)
    if isinstance(inner, partial):
        inner = inner.func
    return inner is not getattr(base, name, None)


def is_implemented(name: str, instance: object, base: type) -> bool:
    """Whether a method that `base` leaves open does something: one that only wraps `base`'s (``__wrapped__``) does not.

    Such a wrapper is called where `base`'s would be, but it gives a module no step and no loaders.
    """
    method = getattr(instance, name, None)
    wrapped = getattr(method, "__wrapped__", method)
    if wrapped is None or getattr(wrapped, "__func__", wrapped) is getattr(base, name, None):
        return False
    return is_overridden(name, instance, base)


class HookTable:
    """One attribute per name in `TABLED`: a callable, or ``None`` where nobody listens.

    A callable runs everyone who listens with the moment's name in ``logged.fx``, where ``self.log`` finds it, and
    returns what the module's own hook returned.
    """

    on_train_epoch_start: Hook | None
    on_train_batch_start: Hook | None
    on_before_zero_grad: Hook | None
    on_before_backward: Hook | None
    on_after_backward: Hook | None
    on_before_optimizer_step: Hook | None
    on_train_batch_end: Hook | None
    on_train_epoch_end: Hook | None
    reads_outputs: bool

    def __init__(self, trainer: "Trainer", module: "LightningModule", logged: Logged) -> None:
        from torchlift.callback import Callback

        self.callbacks = tuple(trainer.callbacks)
        monitors = _monitoring(self.callbacks)
        everyone = is_profiled(trainer)  # a profiler's report has the idle hooks too
        for name in TABLED:
            listeners = [cb for cb in self.callbacks if everyone or is_overridden(name, cb, Callback)]
            late = [cb for cb in listeners if cb in monitors.get(name, ())]
            bound = [partial(timed_method(trainer, "Callback", cb, name), trainer, module) for cb in listeners]
            before = [hook for cb, hook in zip(listeners, bound) if cb not in late]
            after = [hook for cb, hook in zip(listeners, bound) if cb in late]
            listens = everyone or is_overridden(name, module, ModelHooks)
            own = timed_method(trainer, "LightningModule", module, name) if listens else None
            if hasattr(Moments, name) and is_overridden(name, trainer.strategy, Moments):
                after.append(getattr(trainer.strategy, name))
            setattr(self, name, chain(logged, name, before, own, after) if before or own or after else None)
            if name == "on_train_batch_end":
                hooks = [*(getattr(one, name) for one in listeners), *([own] if own else [])]
                self.reads_outputs = not all(getattr(hook, "ignores_outputs", False) for hook in hooks)

    def of(self, stage: str, moment: str) -> Hook | None:
        """The hook of an evaluation loop, as ``of("validation", "batch_start")``."""
        hook: Hook | None = getattr(self, f"on_{stage}_{moment}")
        return hook


def chain(logged: Logged, name: str, before: Sequence[Hook], own: Hook | None, after: Sequence[Hook] = ()) -> Hook:
    """One callable that runs `before`, `own` and `after` and returns what `own` returned."""

    def run_hooks(*args: Any) -> Any:
        outer, logged.fx = logged.fx, name
        for hook in before:
            hook(*args)
        answer = own(*args) if own is not None else None
        for hook in after:
            hook(*args)
        logged.fx = outer
        return answer

    return run_hooks


def _monitoring(callbacks: Iterable[Any]) -> dict[str, list[Any]]:
    """The callbacks whose turn is after the module's, at the moments where that is so.

    Those that look at a metric see what the module logs at the epoch's end, as in Lightning. Checkpoints hold what the
    module does at a moment (an average of weights in ``on_train_batch_end``, say): a resumed run does not do it again.
    """
    from torchlift.callbacks import Checkpoint, EarlyStopping

    checkpoints = [cb for cb in callbacks if isinstance(cb, Checkpoint)]
    return {
        "on_train_epoch_end": [cb for cb in callbacks if isinstance(cb, (EarlyStopping, Checkpoint))],
        "on_train_batch_end": checkpoints,
        "on_validation_end": checkpoints,
    }


def call_callbacks(trainer: "Trainer", name: str, *args: Any, **kwargs: Any) -> None:
    """Run a rare hook of all callbacks, looked up at this moment."""
    module, logged = trainer.lightning_module, trainer._logged
    outer, logged.fx = logged.fx, name
    for callback in trainer.callbacks:
        if callable(getattr(callback, name, None)):
            timed_method(trainer, "Callback", callback, name)(trainer, module, *args, **kwargs)
    logged.fx = outer


def call_module(trainer: "Trainer", name: str, *args: Any, **kwargs: Any) -> Any:
    """Run a rare hook of the module, looked up at this moment."""
    logged = trainer._logged
    if not callable(getattr(trainer.lightning_module, name)):
        return None
    outer, logged.fx = logged.fx, name
    answer = timed_method(trainer, "LightningModule", trainer.lightning_module, name)(*args, **kwargs)
    logged.fx = outer
    return answer


def call_datamodule(trainer: "Trainer", name: str, *args: Any, **kwargs: Any) -> Any:
    """Run a hook of the data module."""
    return timed_method(trainer, "LightningDataModule", trainer.datamodule, name)(*args, **kwargs)


def call_both(trainer: "Trainer", name: str, *args: Any, **kwargs: Any) -> None:
    """Run a rare hook of the callbacks, then of the module, then of the strategy if that has it."""
    call_callbacks(trainer, name, *args, **kwargs)
    call_module(trainer, name, *args, **kwargs)
    if hasattr(Moments, name):
        getattr(trainer.strategy, name)(*args, **kwargs)
