"""How much a run gets done per second, and how much it could.

Reference: https://lightning.ai/docs/fabric/stable/api/generated/lightning.fabric.utilities.throughput.Throughput.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from torchlift.utilities.chips import CUDA_FLOPS, chip_of
from torchlift.utilities.rank_zero import rank_zero_only, rank_zero_warn

if TYPE_CHECKING:
    from torchlift.precision import Precision

__all__ = ["Throughput", "ThroughputMonitor", "get_available_flops", "measure_flops"]

T = TypeVar("T", bound=float)


class Throughput:
    """Rates over the last updates. All that is passed to :meth:`update` is a total since the start, per device.

    Rates come when the window is full: ``device/batches_per_sec``, ``device/samples_per_sec``, ``device/items_per_sec``
    (with lengths), ``device/flops_per_sec`` and ``device/mfu``, the share of the device's peak (with flops); with
    several devices also those of all of them, without ``device/``. Totals are ``time`` (seconds), ``batches``,
    ``samples`` and ``lengths``.

    Args:
        available_flops: the device's peak, in floating-point operations per second.
        world_size: the number of devices, which are taken to be alike.
        window_size: updates that a rate is measured over; at least 2.
        separator: between ``device`` and a rate's name.
    """

    def __init__(
        self, available_flops: float | None = None, world_size: int = 1, window_size: int = 100, separator: str = "/"
    ) -> None:
        assert world_size > 0, f"`world_size` should be positive. Found {world_size}"
        assert window_size > 1, f"`window_size` should be at least 2. Found {window_size}"
        self.available_flops, self.world_size, self.separator = available_flops, world_size, separator
        self._time: _Window[float] = _Window(window_size)
        self._batches: _Window[int] = _Window(window_size)
        self._samples: _Window[int] = _Window(window_size)
        self._lengths: _Window[int] = _Window(window_size)
        self._flops: deque[int] = deque(maxlen=window_size)

    def update(
        self, *, time: float, batches: int, samples: int, lengths: int | None = None, flops: int | None = None
    ) -> None:
        """One more batch is done.

        Args:
            time: seconds so far. On a GPU synchronize before reading the clock.
            batches: so far.
            samples: so far, at least as many as batches.
            lengths: items (such as tokens) so far, at least as many as samples.
            flops: floating-point operations of this batch alone; see :func:`measure_flops`.

        Raises:
            ValueError: fewer than that, or a total that has not grown.
            RuntimeError: lengths in some updates only.
        """
        self._time.append(time)
        if samples < batches:
            raise ValueError(f"Expected samples ({samples}) to be greater or equal than batches ({batches})")
        self._batches.append(batches)
        self._samples.append(samples)
        if lengths is not None:
            if lengths < samples:
                raise ValueError(f"Expected lengths ({lengths}) to be greater or equal than samples ({samples})")
            self._lengths.append(lengths)
            if len(self._samples) != len(self._lengths):
                raise RuntimeError(
                    f"If lengths are passed ({len(self._lengths)}), there needs to be the same number of samples"
                    f" ({len(self._samples)})"
                )
        if flops is not None:
            self._flops.append(flops * self.world_size)

    def compute(self) -> dict[str, int | float]:
        """The totals, and the rates once the window is full."""
        figures: dict[str, int | float] = {
            "time": self._time[-1],
            "batches": self._batches[-1],
            "samples": self._samples[-1],
        }
        if self._lengths:
            figures["lengths"] = self._lengths[-1]
        totals = {"batches": self._batches, "samples": self._samples, "items": self._lengths}
        for name, window in totals.items():
            if self._time.is_full and window.is_full:
                self._add_rate(figures, name, window.growth / self._time.growth)
        if len(self._flops) == self._flops.maxlen:
            rate = (sum(self._flops) - self._flops[0]) / self._time.growth / self.world_size
            self._add_rate(figures, "flops", rate)
            if self.available_flops:
                figures[f"device{self.separator}mfu"] = rate / self.available_flops
        return figures

    def _add_rate(self, figures: dict[str, int | float], name: str, per_device: float) -> None:
        figures[f"device{self.separator}{name}_per_sec"] = per_device
        if self.world_size > 1:
            figures[f"{name}_per_sec"] = per_device * self.world_size

    def reset(self) -> None:
        """Start over."""
        for window in (self._time, self._batches, self._samples, self._lengths, self._flops):
            window.clear()


class ThroughputMonitor(Throughput):
    """:class:`Throughput` of a Fabric script, logged through Fabric on the first process.

    Args:
        fabric: launched; says the device, the precision and the number of processes.
        kwargs: further arguments of :class:`Throughput`.
    """

    def __init__(self, fabric: Any, **kwargs: Any) -> None:
        fabric._validate_launched()
        dtype = compute_dtype(fabric.strategy.precision)
        peak = get_available_flops(fabric.device, dtype)
        super().__init__(available_flops=peak, world_size=fabric.world_size, **kwargs)
        self._fabric, self.step = fabric, -1

    def update(self, **kwargs: Any) -> None:
        rank_zero_only(super().update)(**kwargs)

    def compute(self) -> dict[str, int | float]:
        return rank_zero_only(super().compute)() or {}

    def compute_and_log(self, step: int | None = None, **kwargs: Any) -> dict[str, int | float]:
        """Compute and log; `step` counts these calls unless one is given."""
        self.step = self.step + 1 if step is None else step
        figures = self.compute(**kwargs)
        if figures:
            self._fabric.log_dict(metrics=figures, step=self.step)
        return figures


class _Window(list[T]):
    """The last values of a total that grows."""

    def __init__(self, maxlen: int) -> None:
        super().__init__()
        self.maxlen = maxlen

    def append(self, value: T) -> None:
        if self and self[-1] >= value:
            raise ValueError(f"Expected the value to increase, last: {self[-1]}, current: {value}")
        super().append(value)
        if len(self) > self.maxlen:
            del self[0]

    @property
    def is_full(self) -> bool:
        return len(self) == self.maxlen

    @property
    def growth(self) -> T:
        """From the first value to the last."""
        return self[-1] - self[0]  # type: ignore[return-value]


def measure_flops(
    model: torch.nn.Module,
    forward_fn: Callable[[], torch.Tensor],
    loss_fn: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> int:
    """The floating-point operations of a forward pass, and of the backward pass where there is a loss.

    Args:
        model: not looked at; the operations count as they run. On the ``meta`` device they cost nothing.
        forward_fn: runs the model.
        loss_fn: makes the loss of what `forward_fn` returned.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        output = forward_fn()
        if loss_fn is not None:
            loss_fn(output).backward()
    return counter.get_total_flops()


def compute_dtype(precision: Precision) -> torch.dtype:
    """The dtype in which a precision multiplies."""
    name = str(precision.precision)
    if name.startswith("transformer-engine"):
        return torch.int8
    if name.startswith("bf16"):
        return torch.bfloat16
    return {"16": torch.float16, "64": torch.float64}.get(name[:2], torch.float32)


def get_available_flops(device: torch.device, dtype: torch.dtype | str) -> int | None:
    """The peak of a device in floating-point operations per second, as its maker states it; ``None`` if not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    chip = chip_of(name.lower())
    if chip not in CUDA_FLOPS:
        rank_zero_warn(f"FLOPs not found for {name!r}" + (f", chip is {chip!r}" if chip else ""))
        return None
    by_dtype = CUDA_FLOPS[chip]
    if dtype is torch.float32 and torch.get_float32_matmul_precision() != "highest":
        if torch.cuda.get_device_capability(device)[0] >= 8:
            dtype = "tfloat32"
    if dtype not in by_dtype:
        rank_zero_warn(f"{name!r} does not support {dtype}")
        return None
    return int(by_dtype[dtype])
