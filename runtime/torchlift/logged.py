"""What ``self.log`` stores, and how it is reduced to the metrics of a step or an epoch.

Nothing here waits for the device: values stay tensors where they were made, and become numbers when somebody reads
them (a logger at its interval, a bar when it is drawn). Which value is current, reset or carried over follows Lightning
2.6 (``trainer/connectors/logger_connector``), seen from outside.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from torchlift.results import REDUCTIONS, Entry, Results, default_dtype
from torchlift.utilities.apply import tensors_to_scalars
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import warn_once


class Logged:
    """The store behind ``self.log``, ``trainer.callback_metrics``, ``logged_metrics`` and ``progress_bar_metrics``."""

    def __init__(self) -> None:
        self.fx: str | None = None  # the hook that is running
        self.results: Results | None = None  # of the loop that is running
        self.first_batch: bool | None = None  # of the epoch: None before it, True during it, False after it
        self._last_fx: str | None = None  # the hook that logged last
        self.sent_early: set[str] = set()  # of the step or epoch that ends, before a checkpoint of it was saved
        self.restored_at: tuple[int, int] | None = None  # epoch and step of the checkpoint that is evaluated
        self._unread = False  # values of finished batches that have not gone into the three dicts yet
        self._callback: dict[str, Tensor] = {}
        self._logger: dict[str, Tensor] = {}
        self._prog_bar: dict[str, Tensor] = {}

    # -- what the loop tells ------------------------------------------------------------------------------------------

    def enter(self, results: Results | None) -> None:
        """Another loop takes over."""
        self._settle()
        self.results = results

    def batch_started(self, batch: Any, dataloader_idx: int | None = None) -> None:
        self.first_batch = self.first_batch is None
        results = self.results
        assert results is not None
        results.batch, results.batch_size, results.dataloader_idx = batch, None, dataloader_idx

    def batch_ended(self) -> None:
        results = self.results
        assert results is not None
        self._unread = True
        results.batch = results.batch_size = None

    def epoch_end_reached(self) -> None:
        self._settle()
        self.first_batch = None

    def epoch_ended(self) -> None:
        """Take over the epoch's reductions, those logged in ``on_*_epoch_end`` included."""
        self._collect(on_step=False)
        self._last_fx = None

    def collect_epoch(self) -> None:
        """Take over the reductions of what was logged with one loader."""
        self._collect(on_step=False)

    def reset_results(self) -> None:
        if self.results is not None:
            self.results.reset()
        self.first_batch = self._last_fx = None

    def reset_metrics(self) -> None:
        self._callback, self._logger, self._prog_bar, self._unread = {}, {}, {}, False

    def to_cpu(self) -> None:
        """The run is over: hold nothing on a device any more."""
        self._settle()
        for metrics in (self._callback, self._logger, self._prog_bar):
            for name, value in metrics.items():
                metrics[name] = value.cpu() if isinstance(value, Tensor) else value  # callbacks send numbers

    # -- self.log -----------------------------------------------------------------------------------------------------

    def log(
        self,
        name: str,
        value: Tensor,
        prog_bar: bool,
        logger: bool,
        on_step: bool | None,
        on_epoch: bool | None,
        reduce_fx: str | Callable,
        add_dataloader_idx: bool,
        batch_size: int | None,
        metric_attribute: str | None,
    ) -> None:
        """Take in one value, which nobody else holds; `value` is a tensor of one element or a torchmetrics object.

        Raises:
            MisconfigurationException: outside of a hook, in a hook that may not log, or with other arguments than
                the last time under this name.
        """
        fx, results = self.fx, self.results
        if results is None or fx is None:
            raise _not_now(results)
        if self.first_batch is not False and self._last_fx != fx:
            # A new epoch began: what this hook logged in the last one is over.
            self._settle()
            results.reset(fx)
        source = results.dataloader_idx
        given = (prog_bar, logger, on_step, on_epoch, reduce_fx, metric_attribute, add_dataloader_idx, source)
        key = (fx, name, source if add_dataloader_idx else None)
        entry = results.entries.get(key)
        if entry is None or entry.given != given:
            entry = self._matching_entry(key, given, value)
        if entry.metric is not None:
            entry.update_metric(value)
        else:
            if value.dtype is not torch.float32 and value.dtype is not torch.float64:
                value = _as_float(value, fx, name)
            if batch_size is None:
                batch_size = results.size_of_batch() if entry.on_epoch and entry.reduce == "mean" else 1
            entry.update(value, batch_size)
        self._last_fx = fx

    def _matching_entry(self, key: tuple[str, str, int | None], given: tuple, value: Any) -> Entry:
        fx, name, source = key
        reduce_fx = given[4].lower() if isinstance(given[4], str) else given[4]
        if reduce_fx not in REDUCTIONS:
            raise MisconfigurationException(
                "Only `self.log(..., reduce_fx={min,max,mean,sum})` are supported. If you need a custom reduction,"
                f" please log a `torchmetrics.Metric` instance instead. Found: {given[4]}"
            )
        if given[6] and "/dataloader_idx_" in name:
            raise MisconfigurationException(
                f"You called `self.log` with the key `{name}` but it should not contain information about"
                " `dataloader_idx` when `add_dataloader_idx=True`"
            )
        assert self.results is not None
        old = self.results.entries.get(key)
        # Per loader, so that a reset of one loader's entries at its first batch leaves the others alone.
        full_fx = fx if source is None else f"{fx}.{source}"
        new = Entry(full_fx, name, REDUCTIONS[reduce_fx], given, None if isinstance(value, Tensor) else value)
        if old is None:
            self.results.entries[key] = new
            return new
        same = ("prog_bar", "logger", "on_step", "on_epoch", "reduce", "dataloader_idx", "suffix")
        if any(getattr(old, slot) != getattr(new, slot) for slot in same) or old.given[5] != given[5]:
            raise MisconfigurationException(
                f"You called `self.log({name}, ...)` twice in `{fx}` with different arguments. This is not allowed"
            )
        return old

    # -- what is read -------------------------------------------------------------------------------------------------

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        self._collect(on_step=self.first_batch is not None)
        return self._callback

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        self._collect(on_step=self.first_batch is not None)
        return self._logger

    @property
    def progress_bar_metrics(self) -> dict[str, Any]:
        """As numbers; reading it waits for the device."""
        self._collect(on_step=self.first_batch is not None)
        return tensors_to_scalars(self._prog_bar)

    def for_loggers(self) -> dict[str, Tensor]:
        """What is current for the loggers: of the step during an epoch, of the epoch at its end."""
        on_step = self.first_batch is not None
        metrics = {}
        for entry in self._current_entries():
            if entry.logger and (value := entry.current(on_step)) is not None:
                metrics[_forked_name(entry, on_step)] = value
        for name in self.sent_early:
            metrics.pop(name, None)
        return metrics

    def send(
        self, metrics: dict[str, Tensor], loggers: Iterable[Any], epoch: int, stepped: int, step: int | None = None
    ) -> None:
        """Hand metrics to the loggers, as numbers. A metric named ``step`` is the step, unless one is given."""
        if not loggers or not metrics:
            return
        self._logger.update(metrics)
        numbers = tensors_to_scalars(metrics)
        epoch, stepped = self.restored_at or (epoch, stepped)
        if step is None:
            step = numbers.pop("step", None)
            if step is None:
                numbers.setdefault("epoch", epoch)
                step = stepped
            else:
                step = int(step)
        for logger in loggers:
            logger.log_metrics(metrics=numbers, step=step)
            logger.save()

    def _current_entries(self) -> Iterable[Entry]:
        results = self.results
        if results is None:
            return ()
        source = results.dataloader_idx
        return [e for e in results.entries.values() if not e.is_reset and e.dataloader_idx == source]

    def _settle(self) -> None:
        """Do what was put off at the end of the last batches: let their values reach the three dicts."""
        if self._unread:
            self._collect(on_step=True)

    def _collect(self, on_step: bool) -> None:
        self._unread = False
        for entry in self._current_entries():
            value = entry.current(on_step)
            if value is None:
                continue
            name, forked = entry.name + entry.suffix, _forked_name(entry, on_step)
            if entry.logger:
                self._logger[forked] = value
            assert self.results is not None
            if self.results.training or (entry.on_epoch and not on_step):
                self._callback[name] = value
                self._callback[forked] = value
            if entry.prog_bar:
                self._prog_bar[forked] = value


def _forked_name(entry: Entry, on_step: bool) -> str:
    """The name; with ``_step`` or ``_epoch`` when it is logged at both levels."""
    if entry.on_step and entry.on_epoch:
        return f"{entry.name}{'_step' if on_step else '_epoch'}{entry.suffix}"
    return entry.name + entry.suffix


def _as_float(value: Tensor, fx: str, name: str) -> Tensor:
    if not value.is_floating_point():
        warn_once(
            f"You called `self.log({name!r}, ...)` in your `{fx}` but the value needs to be floating to be reduced."
            f" Converting it to {default_dtype()}. You can silence this warning by converting the value to floating"
            " point yourself."
        )
    return value.to(default_dtype())


def _not_now(results: Results | None) -> MisconfigurationException:
    if results is None:
        return MisconfigurationException(
            "You are trying to `self.log()` but no loop that can log is running. `predict` hooks do not support"
            " logging."
        )
    return MisconfigurationException(
        "You are trying to `self.log()` but it is not managed by the `Trainer` control flow"
    )
