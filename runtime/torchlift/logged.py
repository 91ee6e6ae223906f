"""What ``self.log`` stores, and how it is reduced to the metrics of a step or an epoch.

Nothing here waits for the device: values stay tensors where they were made, and become numbers when somebody reads
them (a logger at its interval, a bar when it is drawn). Which value is current, reset or carried over follows Lightning
2.6 (``trainer/connectors/logger_connector``), seen from outside.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from torchlift.log_levels import levels
from torchlift.utilities.apply import tensors_to_scalars
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import warn_once

_REDUCTIONS: dict[Any, str] = {
    **{name: name for name in ("mean", "sum", "min", "max")},
    "avg": "mean",
    torch.mean: "mean",
    torch.sum: "sum",
    sum: "sum",
    torch.max: "max",
    max: "max",
    torch.min: "min",
    min: "min",
}
_START = {"mean": 0.0, "sum": 0.0, "max": float("-inf"), "min": float("inf")}


def default_dtype() -> torch.dtype:
    """The dtype of a logged Python number: torch's default, but never below float32."""
    dtype = torch.get_default_dtype()
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


class Entry:
    """One name logged in one hook: how it was asked for, and the values so far in the epoch."""

    __slots__ = (
        "computed",
        "dataloader_idx",
        "fx",
        "given",
        "is_reset",
        "last",
        "logger",
        "metric",
        "name",
        "on_epoch",
        "on_step",
        "prog_bar",
        "reduce",
        "start",
        "suffix",
        "value",
        "weight",
    )

    def __init__(self, fx: str, name: str, reduce: str, given: tuple, metric: Any | None) -> None:
        self.fx, self.name, self.reduce, self.given, self.metric = fx, name, reduce, given, metric
        self.prog_bar, self.logger, self.on_step, self.on_epoch = given[:4]
        self.on_step, self.on_epoch = levels(fx.partition(".")[0], self.on_step, self.on_epoch)
        self.dataloader_idx: int | None = given[-1]
        self.suffix = f"/dataloader_idx_{given[-1]}" if given[-1] is not None and given[-2] else ""
        self.start: Tensor = torch.tensor(_START[reduce], dtype=default_dtype())
        self.value: Any = self.start
        self.weight = 0
        self.last: Tensor | None = None
        self.computed: Tensor | None = None
        self.is_reset = False

    def update(self, value: Tensor, batch_size: int) -> None:
        """Take in the value of one more step; `value` is this entry's own."""
        self.is_reset = False
        self.computed = None
        if self.on_step:
            self.last = value
            if not self.on_epoch:
                return
        if self.start.device != value.device:
            self.start, self.value = self.start.to(value.device), self.value.to(value.device)
        if self.reduce == "mean":
            # Not in place, so that a float64 value promotes a float32 sum.
            self.value = self.value + value * batch_size
            self.weight += batch_size
        elif self.reduce == "sum":
            self.value = self.value + value
        else:
            self.value = (torch.max if self.reduce == "max" else torch.min)(self.value, value)

    def update_metric(self, metric: Any) -> None:
        """The user has updated a torchmetrics object by itself; remember what it said last."""
        self.metric, self.last = metric, metric._forward_cache
        self.is_reset, self.computed = False, None

    def reset(self) -> None:
        """Forget all values; the entry stays, but is not current until the next update."""
        if self.metric is not None:
            self.metric.reset()
        self.value, self.weight, self.last, self.computed, self.is_reset = self.start, 0, None, None, True

    def current(self, on_step: bool) -> Tensor | None:
        """The value for a step, or the reduction over the epoch; ``None`` where this entry has none at that level."""
        if on_step:
            return self.last if self.on_step else None
        if not self.on_epoch:
            return None
        if self.computed is None:
            self.computed = self._reduced()
            if not isinstance(self.computed, Tensor):
                raise ValueError(
                    f"The `.compute()` return of the metric logged as {self.name!r} must be a tensor."
                    f" Found {self.computed}"
                )
        return self.computed

    def _reduced(self) -> Tensor:
        if self.metric is not None:
            return self.metric.compute()
        if self.reduce == "mean":
            # Divided by a tensor: by a number, CUDA would multiply with the reciprocal and lose a bit.
            return self.value / torch.tensor(self.weight, device=self.value.device)
        return self.value.clone()

    def to_cpu(self) -> None:
        for name in ("start", "value", "last", "computed"):
            if isinstance(held := getattr(self, name), Tensor):
                setattr(self, name, held.cpu())


class Results:
    """Everything logged in one loop: training, validation inside fit, validate, test."""

    def __init__(self, training: bool) -> None:
        self.training = training
        self.entries: dict[tuple[str, str, int | None], Entry] = {}
        self.batch: Any = None
        self.batch_size: int | None = None
        self.dataloader_idx: int | None = None

    def size_of_batch(self) -> int:
        """The first dimension of the batch under way, found once per batch; 1 outside of a batch."""
        if self.batch_size is None:
            if self.batch is None:
                return 1
            self.batch_size = extract_batch_size(self.batch)
        return self.batch_size

    def reset(self, fx: str | None = None) -> None:
        """Reset all entries, or the tensors logged in one hook."""
        for entry in self.entries.values():
            if fx is None or (entry.metric is None and entry.fx == fx):
                entry.reset()

    def to_cpu(self) -> None:
        for entry in self.entries.values():
            entry.to_cpu()


class Logged:
    """The store behind ``self.log``, ``trainer.callback_metrics``, ``logged_metrics`` and ``progress_bar_metrics``."""

    def __init__(self) -> None:
        self.fx: str | None = None  # the hook that is running
        self.results: Results | None = None  # of the loop that is running
        self.first_batch: bool | None = None  # of the epoch: None before it, True during it, False after it
        self._last_fx: str | None = None  # the hook that logged last
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
                metrics[name] = value.cpu()

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
        if reduce_fx not in _REDUCTIONS:
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
        new = Entry(full_fx, name, _REDUCTIONS[reduce_fx], given, None if isinstance(value, Tensor) else value)
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
        return metrics

    def send(
        self, metrics: dict[str, Tensor], loggers: Iterable[Any], epoch: int, stepped: int, step: int | None = None
    ) -> None:
        """Hand metrics to the loggers, as numbers. A metric named ``step`` is the step, unless one is given."""
        if not loggers or not metrics:
            return
        self._logger.update(metrics)
        numbers = tensors_to_scalars(metrics)
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


def extract_batch_size(batch: Any) -> int:
    """The first dimension of the first tensor in `batch`.

    Raises:
        MisconfigurationException: there is no tensor in it.
    """
    size = None
    for found in _sizes(batch):
        if size is None:
            size = found
        elif size != found:
            warn_once(
                "Trying to infer the `batch_size` from an ambiguous collection. The batch size we found is"
                f" {size}. To avoid any miscalculations, use `self.log(..., batch_size=batch_size)`."
            )
            break
    if size is None:
        raise MisconfigurationException(
            "We could not infer the batch_size from the batch. Either simplify its structure or provide the batch_size"
            " as `self.log(..., batch_size=batch_size)`."
        )
    return size


def _sizes(batch: Any) -> Iterable[int | None]:
    if isinstance(batch, Tensor):
        yield batch.size(0) if batch.ndim else 1
    elif isinstance(batch, str):
        yield None
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _sizes(value)
    elif isinstance(batch, Iterable):
        for value in batch:
            yield from _sizes(value)
    elif is_dataclass(batch):
        for field in fields(batch):
            yield from _sizes(getattr(batch, field.name))
    else:
        yield None
