"""The record of one run, passed from function to function; and the decisions taken once, before the loop starts."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import _global_optimizer_pre_hooks

from torchlift.data_hooks import DATA_HOOKS, hook_holder
from torchlift.hooks import HookTable, chain, is_implemented, is_overridden
from torchlift.logged import Logged
from torchlift.precision import Precision
from torchlift.profiling import action_of, is_profiled, timed, timed_method
from torchlift.strategies import Strategy
from torchlift.utilities.apply import move_data_to_device

if TYPE_CHECKING:
    from torchlift.datamodule import LightningDataModule
    from torchlift.loop_state import FitState
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

BatchStep = Callable[[Any, int], Any]
Transfer = Callable[[Any, int], Any]
Method = Callable[..., Any]


@dataclass(slots=True)
class Run:
    """Everything the loop needs, found out beforehand.

    Attributes:
        listening: the callbacks when it was looked up who listens.
        step: the form of a step, as ``plain_step``.
        training_step: the module's, in its precision's context, with or without the batch's index.
        clear_gradients: what ``plain_step`` calls for ``zero_grad``.
        automatic: whether the loop runs backward and the optimizer's step.
        transfer: a batch to its device, through the data hooks that are overridden.
        optimizer: the only one, in automatic optimization.
        update: what a step of a wrapped optimizer does; ``before_update`` is the part between gradients and update.
        strategy_step: the strategy's ``optimizer_step``, where it or the precision's is not the default.
        strategy_backward: the same of ``backward``.
        strategy_clipping: the module's method, to be called because the strategy or the precision clips in its own way.
        own_backward: the module's ``backward``, where the loop has to call it; the other ``own_`` ones likewise.
        in_training_step: whether a step of a wrapped optimizer counts for ``global_step``.
    """

    trainer: "Trainer"
    module: "LightningModule"
    datamodule: "LightningDataModule | None"
    precision: Precision
    logged: Logged
    fit: "FitState"
    transfer: Transfer
    hooks: HookTable
    automatic: bool
    training_step: BatchStep | None = None
    clear_gradients: Callable[[Optimizer], None] | None = None
    optimizer: Optimizer | None = None
    update: Method = field(init=False)
    before_update: Method = field(init=False)
    strategy_step: Method | None = None
    strategy_backward: Method | None = None
    strategy_clipping: Method | None = None
    own_optimizer_step: Method | None = None
    own_backward: Method | None = None
    own_zero_grad: Method | None = None
    own_clipping: Method | None = None
    own_scheduler_step: Method | None = None
    in_training_step: bool = False
    listening: list[Any] = field(default_factory=list)
    step: Callable[["Run", Any, int], dict[str, Any]] = field(init=False)

    def refresh_hooks(self) -> None:
        """Build the hook table again if somebody else listens now."""
        if self.trainer._replaced or self.hooks.callbacks != tuple(self.trainer.callbacks):
            self.hooks = HookTable(self.trainer, self.module, self.logged)
            self.transfer = make_transfer(self.module, self.datamodule, self.precision, self.trainer.strategy)


def overrides(run_or_module: Any, name: str) -> bool:
    """Whether the module has its own version of a method."""
    from torchlift.module import LightningModule

    return is_implemented(name, run_or_module, LightningModule)


def own_method(run: Run, name: str, action: str | None = None) -> Method | None:
    """The module's own version of a method, or ``None`` where the loop can do without the call.

    A profiler's report has all calls that Lightning makes, so with a profiler it is never ``None``.
    """
    from torchlift.module import LightningModule

    if not is_profiled(run.trainer) and not is_overridden(name, run.module, LightningModule):
        return None
    return timed(run.trainer, action or action_of("LightningModule", run.module, name), getattr(run.module, name))


def takes_two(function: Callable[..., Any]) -> bool:
    """Whether a ``*_step`` takes the batch's index after the batch, under whatever name."""
    function = getattr(function, "__wrapped__", function)
    specification = inspect.getfullargspec(function)
    arguments = specification.args
    # Lightning drops the first name as `self`, whether the function is bound or not.
    return "batch_idx" in arguments[1:] or specification.varargs is not None or len(arguments) - 1 >= 2


def batch_step(module: "LightningModule", name: str, precision: Precision) -> Callable[..., Any]:
    """The module's ``*_step``, called with the batch, its index and perhaps its loader's index."""
    trainer = module.trainer
    step = _batch_step(name, module, precision)
    return timed(trainer, action_of("Strategy", trainer.strategy, name), step)


def _batch_step(name: str, module: "LightningModule", precision: Precision) -> Callable[..., Any]:
    strategy, own = module.trainer.strategy, getattr(module, name)
    function = getattr(strategy, name) if is_overridden(name, strategy, Strategy) else _in_context(own, name, precision)
    if takes_two(own):
        return function

    def step(batch: Any, batch_idx: int, *more: int) -> Any:
        return function(batch, *more)

    return step


_CONTEXTS = {
    "training_step": "train_step_context",
    "validation_step": "val_step_context",
    "test_step": "test_step_context",
    "predict_step": "predict_step_context",
}


def _in_context(function: Callable[..., Any], name: str, precision: Precision) -> Callable[..., Any]:
    """The function within the precision's context for it, if that does anything."""
    contexts = (_CONTEXTS[name], "forward_context")
    found = next((context for context in contexts if is_overridden(context, precision, Precision)), None)
    if found is None:
        return function
    context = getattr(precision, found)

    def in_context(*args: Any) -> Any:
        with context():
            return function(*args)

    return in_context


def accepts_plain_step(optimizer: Optimizer) -> bool:
    """Whether running the closure first and the optimizer's step after it is the same as handing the closure over.

    True for torch's own optimizers but LBFGS, as long as nobody watches the steps from outside: a hook before the step
    would see gradients that are not there yet when the closure runs inside.
    """
    kind, step = type(optimizer), vars(optimizer).get("step")
    return (
        kind.__module__.startswith("torch.optim.")
        and kind.step.__module__.startswith("torch.optim.")
        and (step is None or _only_counts(step, kind))
        and kind is not LBFGS
        and not optimizer._optimizer_step_pre_hooks
        and not _global_optimizer_pre_hooks
    )


def _only_counts(step: Any, kind: type[Optimizer]) -> bool:
    """Whether an optimizer's own `step` is the class's in the wrapper with which torch's schedulers see it called."""
    return getattr(step, "_wrapped_by_lr_sched", False) and getattr(step, "__wrapped__", None) is kind.step


def make_transfer(
    module: "LightningModule", datamodule: "LightningDataModule | None", precision: Precision, strategy: Strategy
) -> Transfer:
    """One function that takes a batch to the device, through the data hooks that somebody overrides."""
    from torchlift.module_hooks import DataHooks

    device, strategy_moves = strategy.root_device, is_overridden("batch_to_device", strategy, Strategy)
    holders = [hook_holder(name, module, datamodule) for name in DATA_HOOKS]
    hooked = any(is_overridden(name, one, DataHooks) for name, one in zip(DATA_HOOKS, holders))
    trainer = module.trainer
    if not hooked and not strategy_moves and not is_profiled(trainer):
        if not is_overridden("convert_input", precision, Precision):
            return _to_cpu if device.type == "cpu" else lambda batch, dataloader_idx: move_data_to_device(batch, device)
        return lambda batch, dataloader_idx: move_data_to_device(precision.convert_input(batch), device)
    kinds = ["LightningModule" if one is module else "LightningDataModule" for one in holders]
    methods = [timed_method(trainer, *one) for one in zip(kinds, holders, DATA_HOOKS)]
    before, move, after = (chain(trainer._logged, name, (), method) for name, method in zip(DATA_HOOKS, methods))

    def to_device(batch: Any, dataloader_idx: int) -> Any:
        if strategy_moves:
            return strategy.batch_to_device(batch, dataloader_idx=dataloader_idx)
        return move(batch, device, dataloader_idx)

    to_device = timed(trainer, action_of("Strategy", strategy, "batch_to_device"), to_device)

    def transfer(batch: Any, dataloader_idx: int) -> Any:
        batch = before(precision.convert_input(batch), dataloader_idx)
        return after(to_device(batch, dataloader_idx), dataloader_idx)

    return transfer


def _to_cpu(batch: Any, dataloader_idx: int) -> Any:
    """``move_data_to_device(batch, "cpu")``, without the walk for the common shapes: tensors there stay themselves."""
    kind = type(batch)
    if kind is Tensor:
        return batch if batch.is_cpu else batch.cpu()
    if kind is not list and kind is not tuple:
        return move_data_to_device(batch, "cpu")
    for value in batch:
        if type(value) is not Tensor or not value.is_cpu:
            return move_data_to_device(batch, "cpu")
    return batch if kind is tuple else batch.copy()
