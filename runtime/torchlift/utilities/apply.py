"""Apply a function to the leaves of a nested collection, and move batches between devices."""

import copy
import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def apply_to_leaves(data: Any, wanted: Callable[[Any], bool], function: Callable[[Any], Any]) -> Any:
    """Return `data` rebuilt with `function` applied to each leaf that is `wanted`.

    Mappings, sequences (named tuples too) and dataclass instances are walked and rebuilt with their own type;
    everything else stays as it is.

    Raises:
        ValueError: a frozen dataclass holds a leaf, and cannot be rebuilt.
    """
    if wanted(data):
        return function(data)
    kind = type(data)
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return _rebuilt_dataclass(data, wanted, function)
    if isinstance(data, Mapping):
        items = OrderedDict((key, apply_to_leaves(value, wanted, function)) for key, value in data.items())
        if isinstance(data, defaultdict):
            return kind(data.default_factory, items)
        return kind(items)
    if isinstance(data, Sequence) and not isinstance(data, str):
        values = [apply_to_leaves(value, wanted, function) for value in data]
        return kind(*values) if hasattr(data, "_fields") else kind(values)
    return data


def _rebuilt_dataclass(data: Any, wanted: Callable[[Any], bool], function: Callable[[Any], Any]) -> Any:
    fields = [(field.name, getattr(data, field.name), field.init) for field in dataclasses.fields(data)]
    # The fields are replaced below, so the copy need not descend into them.
    result = copy.deepcopy(data, memo={id(value): value for _, value, _ in fields})
    for name, value, is_argument in fields:
        try:
            setattr(result, name, apply_to_leaves(value, wanted, function) if is_argument else value)
        except dataclasses.FrozenInstanceError:
            raise ValueError(
                f"A batch of the frozen dataclass `{type(data).__name__}` cannot be moved; unfreeze the class, or"
                " override `transfer_batch_to_device`."
            ) from None
    return result


def _is_movable(value: Any) -> bool:
    return callable(getattr(type(value), "to", None))


def move_data_to_device(batch: Any, device: torch.device | str) -> Any:
    """Move everything in `batch` that has a ``to(device)`` method; the collections around it are rebuilt.

    Copies to a GPU do not block; copies to the CPU do, because their result is read at once.
    """
    device = torch.device(device)
    if device.type == "cpu":
        # The common shapes, without the walk: a tensor that lies on the CPU is its own copy.
        kind = type(batch)
        if kind is Tensor and batch.is_cpu:
            return batch
        if kind is list or kind is tuple:
            for value in batch:
                if type(value) is not Tensor or not value.is_cpu:
                    break
            else:
                return batch.copy() if kind is list else batch
    waits = device.type in ("cpu", "mps")

    def move(value: Any) -> Any:
        moved = value.to(device) if waits or not isinstance(value, Tensor) else value.to(device, non_blocking=True)
        return value if moved is None else moved  # a `to` of the user's own that forgot to return itself

    return apply_to_leaves(batch, _is_movable, move)


def numbers_to_tensors(data: Any, device: torch.device | str) -> Any:
    """Make tensors on `device` of numbers and arrays, and move the tensors there.

    Whole numbers become int32, others float32 and truth values uint8 (NCCL reduces no booleans), as in Lightning.
    """

    def to_tensor(value: Any) -> Tensor:
        if isinstance(value, bool):
            return torch.tensor(value, dtype=torch.uint8, device=device)
        if isinstance(value, (int, float)):
            return torch.tensor(value, dtype=torch.int32 if isinstance(value, int) else torch.float32, device=device)
        return torch.from_numpy(value).to(device)

    def is_number(value: Any) -> bool:
        return isinstance(value, (bool, int, float)) or type(value).__name__ == "ndarray"

    return move_data_to_device(apply_to_leaves(data, is_number, to_tensor), device)


def tensors_to_scalars(data: Any) -> Any:
    """Replace each tensor in `data` by the Python number it holds. This waits for the device.

    Raises:
        ValueError: a tensor holds more than one element.
    """

    def to_scalar(value: Tensor) -> Any:
        if value.numel() != 1:
            raise ValueError(f"The metric `{value}` does not contain a single element, so it cannot become a number.")
        return value.item()

    return apply_to_leaves(data, lambda value: isinstance(value, Tensor), to_scalar)
