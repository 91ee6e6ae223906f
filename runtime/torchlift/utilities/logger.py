"""Hyperparameters and metrics in the forms that loggers want: plain, flat, under names with a prefix."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from torch import Tensor

__all__ = ["add_prefix", "convert_params", "flatten_dict", "sanitize_callable_params", "sanitize_params"]


def convert_params(params: Mapping[str, Any] | Namespace | None) -> dict[str, Any]:
    """Hyperparameters as a dictionary of their own; none are an empty one."""
    return dict(vars(params) if isinstance(params, Namespace) else params or {})


def flatten_dict(params: Mapping[Any, Any], delimiter: str = "/", parent_key: str = "") -> dict[str, Any]:
    """Nested hyperparameters under names such as ``"model/width"``, with ``"nets/0/width"`` for lists of dictionaries.

    Namespaces and dataclass instances count as dictionaries.
    """
    flat: dict[str, Any] = {}
    for name, value in params.items():
        key = f"{parent_key}{delimiter}{name}" if parent_key else str(name)
        if is_dataclass(value) and not isinstance(value, type):
            value = asdict(value)
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            value = dict(enumerate(value))
        if isinstance(value, Mapping | Namespace):
            flat |= flatten_dict(convert_params(value), delimiter, key)
        else:
            flat[key] = value
    return flat


def sanitize_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers, text and tensors as they are, NumPy's numbers as Python's, everything else as text."""
    return {name: _sanitized(value) for name, value in params.items()}


def _sanitized(value: Any) -> Any:
    if not isinstance(value, Tensor) and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, Tensor) or type(value) in (bool, int, float, str) else str(value)


def sanitize_callable_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Classes and functions by name; a function that can be called without arguments by what it returns.

    That is what Lightning does, which calls them.
    """
    return {name: _called(value) for name, value in params.items()}


def _called(value: Any) -> Any:
    if not callable(value):
        return value
    if isinstance(value, type):
        return value.__name__
    try:
        result = value()
    except Exception:  # whatever a foreign function raises: its name will do
        result = value
    return getattr(value, "__name__", None) if callable(result) else result


def add_prefix(metrics: Mapping[str, Any], prefix: str, separator: str = "-") -> dict[str, Any]:
    """``metrics`` under the names that ``prefix`` makes of theirs."""
    return {f"{prefix}{separator}{name}": value for name, value in metrics.items()} if prefix else dict(metrics)
