"""What ``configure_optimizers`` returns, and the wrapper that ``self.optimizers()`` gives."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from torchlift.hooks import call_module, is_overridden
from torchlift.utilities.apply import move_data_to_device
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_warn
from torchlift.utilities.types import LRSchedulerConfig

if TYPE_CHECKING:
    from torchlift.module import LightningModule

UNKNOWN = """Unknown configuration for model optimizers. Output from `model.configure_optimizers()` should be one of:
 * `Optimizer`
 * [`Optimizer`]
 * ([`Optimizer`], [`LRScheduler`])
 * {"optimizer": `Optimizer`, (optional) "lr_scheduler": `LRScheduler`}
"""


def plain_step(optimizer: Optimizer, closure: Callable[[], Any] | None, **kwargs: Any) -> Any:
    """The optimizer's own step, without hooks."""
    return optimizer.step(closure, **kwargs)


class LightningOptimizer:
    """An optimizer whose ``step`` runs the hooks around it, unscales gradients and counts for ``trainer.global_step``.

    It is an instance of the wrapped optimizer's class, and everything but ``step`` is the wrapped optimizer's own.

    Args:
        optimizer: the optimizer to wrap.
        step: does one step: ``step(optimizer, closure, **kwargs)``; the optimizer's own outside of a run.
        module: the module whose ``toggle_optimizer`` the method ``toggle_model`` uses.
    """

    def __init__(
        self, optimizer: Optimizer, step: Callable[..., Any] = plain_step, module: "LightningModule | None" = None
    ) -> None:
        self._optimizer = optimizer
        self._step = step
        self._module = module
        self.__class__ = type("Lightning" + type(optimizer).__name__, (type(self), type(optimizer)), {})

    @property
    def optimizer(self) -> Optimizer:
        """The wrapped optimizer."""
        return self._optimizer

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Update the parameters once.

        Args:
            closure: computes the loss and its gradients; optional.
            kwargs: go to the wrapped optimizer's ``step``.

        Returns:
            What the closure returned.

        Raises:
            MisconfigurationException: `closure` cannot be called.
        """
        if closure is not None and not callable(closure):
            raise MisconfigurationException("When `optimizer.step(closure)` is called, the closure should be callable")
        return self._step(self._optimizer, closure, **kwargs)

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Within it only this optimizer's parameters require gradients.

        Args:
            sync_grad: ``False`` leaves gradients unsynchronised between processes, as while accumulating.
        """
        module = self._module
        assert module is not None, "the optimizer belongs to no module yet"
        with module.trainer.strategy.no_sync(module.trainer.model, enabled=not sync_grad):
            module.toggle_optimizer(self)
            yield
            module.untoggle_optimizer(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_optimizer"], name)


class NoOptimizer(Optimizer):
    """Stands where ``configure_optimizers`` returned ``None``: it runs the closure and changes nothing."""

    def __init__(self) -> None:
        super().__init__([torch.zeros(1)], {})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """There is nothing to add to."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """There is no state."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def step(self, closure: Any = None) -> Any:
        return closure() if closure is not None else None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """There are no gradients of its own."""

    def __repr__(self) -> str:
        return "No Optimizer"


def configure(module: "LightningModule") -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    """Call ``configure_optimizers`` and bring its answer into one form.

    Raises:
        MisconfigurationException: the answer is none of the documented forms, or a scheduler cannot be used.
        RuntimeError: several optimizers with automatic optimization.
    """
    answer = call_module(module.trainer, "configure_optimizers")
    if answer is None:
        rank_zero_warn("`LightningModule.configure_optimizers` returned `None`, this fit will run with no optimizer")
        answer = NoOptimizer()
    optimizers, schedulers, monitor = parse(answer)
    automatic = module.automatic_optimization
    if automatic and not optimizers:
        raise MisconfigurationException(
            f"`{type(module).__name__}.configure_optimizers` returned no optimizer. Return `None` to run without one,"
            " or set `self.automatic_optimization = False`."
        )
    if automatic and len(optimizers) > 1:
        raise RuntimeError(
            "Training with multiple optimizers is only supported with manual optimization. Set"
            " `self.automatic_optimization = False`, then access your optimizers in `training_step` with"
            " `opt1, opt2, ... = self.optimizers()`."
        )
    configs = automatic_configs(schedulers, monitor) if automatic else manual_configs(schedulers)
    for config in configs:
        _check(config, optimizers, module)
    return optimizers, configs


def _is_optimizer(value: object) -> bool:
    return all(hasattr(value, name) for name in ("param_groups", "defaults", "state", "state_dict", "load_state_dict"))


def parse(answer: Any) -> tuple[list[Optimizer], list[Any], str | None]:
    """Optimizers, schedulers (bare or as dictionaries) and the monitor that a single dictionary names."""
    if _is_optimizer(answer):
        return [answer], [], None
    if isinstance(answer, dict):
        _check_keys(answer)
        schedulers = [answer["lr_scheduler"]] if "lr_scheduler" in answer else []
        return [answer["optimizer"]], schedulers, answer.get("monitor")
    if isinstance(answer, (list, tuple)):
        if len(answer) == 2 and isinstance(answer[0], list) and all(map(_is_optimizer, answer[0])):
            schedulers = answer[1] if isinstance(answer[1], list) else [answer[1]]
            return answer[0], schedulers, None
        if all(isinstance(item, dict) for item in answer):
            for item in answer:
                _check_keys(item)
            named = [item["lr_scheduler"] for item in answer if "lr_scheduler" in item]
            return (
                [item["optimizer"] for item in answer],
                [dict(s) if isinstance(s, dict) else {"scheduler": s} for s in named],
                None,
            )
        if all(map(_is_optimizer, answer)):
            return list(answer), [], None
    raise MisconfigurationException(UNKNOWN)


def _check_keys(answer: dict[str, Any]) -> None:
    if extra := answer.keys() - {"optimizer", "lr_scheduler", "monitor"}:
        rank_zero_warn(f"Found unsupported keys in the optimizer configuration: {extra}", category=RuntimeWarning)


def automatic_configs(schedulers: list[Any], monitor: str | None) -> list[LRSchedulerConfig]:
    """Schedulers that the loop steps."""
    return [_automatic(scheduler, monitor) for scheduler in schedulers]


def manual_configs(schedulers: list[Any]) -> list[LRSchedulerConfig]:
    """Schedulers that the user steps."""
    return [_manual(scheduler) for scheduler in schedulers]


def _automatic(scheduler: Any, monitor: str | None) -> LRSchedulerConfig:
    if not isinstance(scheduler, dict):
        if not isinstance(scheduler, ReduceLROnPlateau):
            return LRSchedulerConfig(scheduler)
        if monitor is None:
            raise MisconfigurationException(
                "`configure_optimizers` must include a monitor when a `ReduceLROnPlateau` scheduler is used. For"
                ' example: {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "metric_to_track"}'
            )
        return LRSchedulerConfig(scheduler, reduce_on_plateau=True, monitor=monitor)
    supported = {field.name for field in fields(LRSchedulerConfig)}
    if extra := scheduler.keys() - supported:
        rank_zero_warn(
            f"Found unsupported keys in the lr scheduler dict: {extra}. HINT: remove them from the output of"
            " `configure_optimizers`.",
            category=RuntimeWarning,
        )
    given = {key: value for key, value in scheduler.items() if key in supported}
    if "scheduler" not in given:
        raise MisconfigurationException(
            'The lr scheduler dict must have the key "scheduler" with its item being an lr scheduler'
        )
    if given.get("interval", "epoch") not in ("step", "epoch"):
        raise MisconfigurationException(
            f'The "interval" key in lr scheduler dict must be "step" or "epoch" but is "{given["interval"]}"'
        )
    given.setdefault("reduce_on_plateau", isinstance(given["scheduler"], ReduceLROnPlateau))
    if given["reduce_on_plateau"] and given.get("monitor") is None:
        raise MisconfigurationException(
            "The lr scheduler dict must include a monitor when a `ReduceLROnPlateau` scheduler is used. For example:"
            ' {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "your_loss"}}'
        )
    if isinstance(given["scheduler"], OneCycleLR) and given.get("interval", "epoch") == "epoch":
        rank_zero_warn(
            "A `OneCycleLR` scheduler is using 'interval': 'epoch'. Are you sure you didn't mean 'interval': 'step'?",
            category=RuntimeWarning,
        )
    return LRSchedulerConfig(**given)


def _manual(scheduler: Any) -> LRSchedulerConfig:
    if not isinstance(scheduler, dict):
        return LRSchedulerConfig(scheduler)
    ignored = [key for key in scheduler if key in ("reduce_on_plateau", "monitor", "strict")]
    if ignored:
        rank_zero_warn(
            f"The lr scheduler dict contains the key(s) {ignored}, but the keys will be ignored. You need to call"
            " `lr_scheduler.step()` manually in manual optimization.",
            category=RuntimeWarning,
        )
    return LRSchedulerConfig(**{key: value for key, value in scheduler.items() if key not in ignored})


def _check(config: LRSchedulerConfig, optimizers: list[Optimizer], module: "LightningModule") -> None:
    from torchlift.module import LightningModule

    scheduler = config.scheduler
    if not any(scheduler.optimizer is optimizer for optimizer in optimizers):
        raise MisconfigurationException(
            "Some schedulers are attached with an optimizer that wasn't returned from `configure_optimizers`."
        )
    name = type(scheduler).__name__
    if not hasattr(scheduler, "state_dict") or not hasattr(scheduler, "load_state_dict"):
        raise TypeError(
            f"The provided lr scheduler `{name}` is invalid. It should have `state_dict` and `load_state_dict` methods"
            " defined."
        )
    follows_torch = isinstance(scheduler, (LRScheduler, ReduceLROnPlateau))
    if (
        not follows_torch
        and module.automatic_optimization
        and not is_overridden("lr_scheduler_step", module, LightningModule)
    ):
        raise MisconfigurationException(
            f"The provided lr scheduler `{name}` doesn't follow PyTorch's LRScheduler API. You should override the"
            " `LightningModule.lr_scheduler_step` hook with your own logic if you are using a custom LR scheduler."
        )


def optimizers_to_device(optimizers: list[Optimizer], device: torch.device) -> None:
    """Move the optimizers' state to `device`; all but ``step``, which the optimizers keep where they want it."""
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            if isinstance(state, MutableMapping):
                for key, value in state.items():
                    if key != "step":
                        state[key] = move_data_to_device(value, device)
            else:
                optimizer.state[parameter] = move_data_to_device(state, device)
