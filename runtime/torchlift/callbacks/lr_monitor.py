"""Log the learning rates of all optimizers.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.LearningRateMonitor.html
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.optim import Optimizer

from torchlift.callback import Callback
from torchlift.callbacks._logging import is_logging_step, log_to_all, logged_step
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_warn

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["LearningRateMonitor"]


@dataclass(frozen=True)
class _Source:
    """An optimizer, the names of its parameter groups, and when its scheduler steps (None without a scheduler)."""

    optimizer: Optimizer
    names: list[str]
    interval: str | None


class LearningRateMonitor(Callback):
    """Send each parameter group's learning rate to the loggers and to ``trainer.callback_metrics``.

    A name is that of the scheduler, or ``lr-<Optimizer>``, with ``-1``, ``-2``, ... for further optimizers of a class
    and ``/pg1``, ``/pg2``, ... or the group's own name for parameter groups.

    Args:
        logging_interval: "step", "epoch", or None for the interval of each scheduler.
        log_momentum: also log momentum (or the first beta) as ``<name>-momentum``.
        log_weight_decay: also log weight decay as ``<name>-weight_decay``.
        log_key_prefix: stands before every name.

    Attributes:
        lrs: all rates logged so far, by name. last_momentum_values, last_weight_decay_values: the latest, by name.

    Raises:
        MisconfigurationException: the interval is none of these; the Trainer has no logger; two groups of an optimizer
            have the same name.
    """

    def __init__(
        self,
        logging_interval: Literal["step", "epoch"] | None = None,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
        log_key_prefix: str | None = None,
    ) -> None:
        if logging_interval not in (None, "step", "epoch"):
            raise MisconfigurationException(
                f"logging_interval should be `step` or `epoch` or `None`, not {logging_interval!r}."
            )
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self.log_weight_decay = log_weight_decay
        self.log_key_prefix = log_key_prefix or ""
        self.lrs: dict[str, list[float]] = {}
        self.last_momentum_values: dict[str, Any] = {}
        self.last_weight_decay_values: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.loggers:
            raise MisconfigurationException(
                "Cannot use `LearningRateMonitor` callback with `Trainer` that has no logger: give it one, or leave the"
                " monitor out."
            )
        names = [name for source in _sources(trainer, self.log_key_prefix) for name in source.names]
        if self.log_momentum and any(not {"momentum", "betas"} & o.defaults.keys() for o in trainer.optimizers):
            rank_zero_warn(
                "You have set log_momentum=True, but some optimizers do not have momentum. This will log a value 0 for"
                " the momentum.",
                RuntimeWarning,
            )
        self.lrs = {name: [] for name in names}
        self.last_momentum_values = dict.fromkeys(f"{name}-momentum" for name in names)
        self.last_weight_decay_values = dict.fromkeys(f"{name}-weight_decay" for name in names)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.logging_interval != "epoch" and is_logging_step(trainer, logged_step(trainer) + 1):
            self._log(trainer, "step")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.logging_interval != "step":
            self._log(trainer, "epoch")

    def _log(self, trainer: Trainer, moment: str) -> None:
        values: dict[str, float] = {}
        for source in _sources(trainer, self.log_key_prefix):
            self._follow_new_groups(source.names)
            if self.logging_interval is None and source.interval not in (None, moment):
                continue
            for group, name in zip(source.optimizer.param_groups, source.names):
                values |= self._values(group, name, "betas" in source.optimizer.defaults)
        device = trainer.strategy.root_device
        trainer.callback_metrics.update({name: torch.tensor(value, device=device) for name, value in values.items()})
        if values:
            log_to_all(trainer, values)

    def _values(self, group: dict[str, Any], name: str, has_betas: bool) -> dict[str, float]:
        values = {name: group["lr"]}
        self.lrs[name].append(group["lr"])
        if self.log_momentum:
            momentum = group["betas"][0] if has_betas else group.get("momentum", 0)
            values[f"{name}-momentum"] = self.last_momentum_values[f"{name}-momentum"] = momentum
        if self.log_weight_decay:
            decay = group["weight_decay"]
            values[f"{name}-weight_decay"] = self.last_weight_decay_values[f"{name}-weight_decay"] = decay
        return values

    def _follow_new_groups(self, names: list[str]) -> None:
        """A group that was alone gets the suffix ``/pg1`` once there is a second: its history moves along."""
        for name in names:
            alone = name.removesuffix("/pg1")
            if name not in self.lrs:
                self.lrs[name] = self.lrs.pop(alone, [])


def _sources(trainer: Trainer, prefix: str) -> list[_Source]:
    """Optimizers with schedulers first, then the others, each with names that no other has."""
    seen: Counter[type] = Counter()
    sources: list[_Source] = []
    for config in trainer.lr_scheduler_configs:
        optimizer = config.scheduler.optimizer
        seen[type(optimizer)] += config.name is None
        sources.append(_Source(optimizer, _names(optimizer, prefix, config.name, seen), config.interval))
    scheduled = [source.optimizer for source in sources]
    for optimizer in (getattr(o, "optimizer", o) for o in trainer.optimizers):
        if not any(optimizer is other for other in scheduled):
            seen[type(optimizer)] += 1
            sources.append(_Source(optimizer, _names(optimizer, prefix, None, seen), None))
    return sources


def _names(optimizer: Optimizer, prefix: str, name: str | None, seen: Counter[type]) -> list[str]:
    """A name for each parameter group."""
    name = prefix + (f"lr-{type(optimizer).__name__}" if name is None else name)
    groups = optimizer.param_groups
    own = [group.get("name", f"pg{number}") for number, group in enumerate(groups, start=1)]
    if twice := sorted(group for group, count in Counter(own).items() if count > 1):
        raise MisconfigurationException(
            "A single `Optimizer` cannot have multiple parameter groups with identical `name` values. "
            f"{name} has duplicated parameter group names {', '.join(map(repr, twice))}: give each a name of its own."
        )
    if seen[type(optimizer)] > 1:
        name += f"-{seen[type(optimizer)] - 1}"
    if len(groups) == 1 and "name" not in groups[0]:
        return [name]
    return [f"{name}/{group}" for group in own]
