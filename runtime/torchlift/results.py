"""The values logged under one name in one hook, and all of them in one loop."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from torchlift.log_levels import levels
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import warn_once

REDUCTIONS: dict[Any, str] = {
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
FLOATS = (torch.float32, torch.float64)
_START = {"mean": 0.0, "sum": 0.0, "max": float("-inf"), "min": float("inf")}


def default_dtype() -> torch.dtype:
    """The dtype of a logged Python number: torch's default, but never below float32."""
    dtype = torch.get_default_dtype()
    return dtype if dtype in FLOATS else torch.float32


class Entry:
    """One name logged in one hook: how it was asked for, and the values so far in the epoch.

    ``how`` holds the arguments of ``self.log`` that may not change from step to step: `prog_bar`, `logger`, `on_step`,
    `on_epoch`, `reduce_fx`, `metric_attribute`, `add_dataloader_idx`.
    """

    __slots__ = (
        "computed",
        "dataloader_idx",
        "fx",
        "how",
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

    def __init__(
        self, fx: str, name: str, reduce: str, how: tuple, dataloader_idx: int | None, metric: Any | None
    ) -> None:
        self.fx, self.name, self.reduce, self.dataloader_idx, self.metric = fx, name, reduce, dataloader_idx, metric
        self.how = how
        self.prog_bar, self.logger, on_step, on_epoch, _, _, add_dataloader_idx = how
        self.on_step, self.on_epoch = levels(fx.partition(".")[0], on_step, on_epoch)
        self.suffix = f"/dataloader_idx_{dataloader_idx}" if dataloader_idx is not None and add_dataloader_idx else ""
        self.start: Tensor = torch.tensor(_START[reduce], dtype=default_dtype())
        self.value: Any = self.start
        self.weight = 0
        self.last: Any = None  # a tensor, or a number with the dtype that the logged tensor had
        self.computed: Tensor | None = None
        self.is_reset = False

    def asks_the_same(self, other: "Entry") -> bool:
        """Whether both were logged with arguments that mean the same."""
        names = ("prog_bar", "logger", "on_step", "on_epoch", "reduce", "dataloader_idx", "suffix")
        return self.how[5] == other.how[5] and all(getattr(self, name) == getattr(other, name) for name in names)

    def update(self, value: Tensor, batch_size: int) -> None:
        """Take in the value of one more step, which is reduced over the epoch; `value` is this entry's own."""
        self.is_reset = False
        self.computed = None
        if self.on_step:
            self.last = value
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
        last = metric._forward_cache
        self.metric, self.last = metric, last.detach() if isinstance(last, Tensor) else last
        self.is_reset, self.computed = False, None

    def reset(self) -> None:
        """Forget all values; the entry stays, but is not current until the next update."""
        if self.metric is not None:
            self.metric.reset()
        self.value, self.weight, self.last, self.computed, self.is_reset = self.start, 0, None, None, True

    def current(self, on_step: bool) -> Tensor | None:
        """The value for a step, or the reduction over the epoch; ``None`` where this entry has none at that level."""
        if on_step:
            return self.of_step() if self.on_step else None
        if not self.on_epoch:
            return None
        if self.computed is None:
            self.computed = self._reduced()
            if not isinstance(self.computed, Tensor):
                raise ValueError(
                    f"The `.compute()` return of the metric logged as {self.name!r} must be a tensor."
                    f" Found {self.computed}"
                )
            self.computed = self.computed.detach()  # a metric that was given a loss has its graph
        return self.computed

    def of_step(self) -> Tensor | None:
        """The value of the last step."""
        if type(self.last) is tuple:
            number, dtype = self.last
            self.last = torch.tensor(number, dtype=dtype if dtype in FLOATS else default_dtype())
        return self.last

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
        self.entries: dict[tuple[str, str, int | None], Entry] = {}  # by hook, name and loader
        self.by_call: dict[tuple, Entry] = {}  # by all that a call of `self.log` says
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

    def put(self, key: tuple[str, str, int | None], entry: Entry) -> None:
        """Take an entry from elsewhere, for another one that may be there."""
        self.entries[key] = entry
        self.by_call.clear()

    def reset(self, fx: str | None = None) -> None:
        """Reset all entries, or the tensors logged in one hook."""
        for entry in self.entries.values():
            if fx is None or (entry.metric is None and entry.fx == fx):
                entry.reset()

    def to_cpu(self) -> None:
        for entry in self.entries.values():
            entry.to_cpu()


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
