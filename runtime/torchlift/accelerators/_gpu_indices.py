"""What ``Trainer(devices=...)`` means on GPUs: the indices of them."""

from collections.abc import MutableSequence, Sequence
from typing import Any

from torchlift.utilities.exceptions import MisconfigurationException


def parse_gpu_indices(devices: Any, available: Sequence[int]) -> list[int] | None:
    """The indices of the GPUs to use; ``None`` for none.

    Args:
        devices: a number of GPUs, ``-1`` for all of them, indices, or either as a string (``"1,"`` is index 1).
        available: the indices that exist.

    Raises:
        TypeError: `devices` is none of these.
        MisconfigurationException: an index that does not exist, or one given twice.
    """
    _check_type(devices)
    if devices in (0, "0", "[]") or (isinstance(devices, Sequence) and not devices):
        return None
    indices = _to_indices(devices, available)
    if not indices:
        raise MisconfigurationException("GPUs requested but none are available.")
    if len(indices) != len(set(indices)):
        raise MisconfigurationException(f"Device ID's (GPU) must be unique. Got {indices}.")
    if any(index not in available for index in indices):
        raise MisconfigurationException(f"You requested gpu: {indices}\n But your machine only has: {list(available)}")
    return indices


def _to_indices(devices: Any, available: Sequence[int]) -> list[int]:
    if isinstance(devices, str):
        text = devices.strip()
        devices = [int(part) for part in text.split(",") if part.strip()] if "," in text else int(text)
    if isinstance(devices, int):
        return list(available) if devices == -1 else list(range(devices))
    return list(devices)


def _check_type(devices: Any) -> None:
    sentence = "Device IDs (GPU/TPU) must be an int, a string, a sequence of ints, but you passed"
    if isinstance(devices, (MutableSequence, tuple)):
        for one in devices:
            if type(one) is not int:
                raise TypeError(f"{sentence} a sequence of {type(one).__name__}.")
    elif type(devices) not in (int, str):
        raise TypeError(f"{sentence} {devices!r}.")
