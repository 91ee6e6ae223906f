"""Digests of tensors and of whatever is handed to `torch.save`: equal when, and only when, every bit is equal.

A digest leaves out what a reader of the value cannot see: the device, strides, `requires_grad`, whether two tensors
share memory, and the order of a dictionary's keys.
"""

from __future__ import annotations

import functools
import hashlib
import math
import types
from collections.abc import Callable, Mapping
from typing import Any

import torch

LENGTH = 16  # hex digits: 64 bits


def short(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:LENGTH]


@functools.cache
def _header(dtype: torch.dtype, shape: tuple[int, ...]) -> bytes:
    return f"{dtype}{shape}".encode()


@functools.cache
def _zeros(dtype: torch.dtype, shape: tuple[int, ...]) -> str:
    return short(_header(dtype, shape) + bytes(dtype.itemsize * math.prod(shape)))


def of_tensor(tensor: torch.Tensor) -> str:
    """Digest of dtype, shape and bytes, wherever the tensor lies."""
    if torch.nn.parameter.is_lazy(tensor):
        return "uninitialized"
    tensor = tensor.detach()
    if tensor.is_meta:
        return short(b"meta" + _header(tensor.dtype, tuple(tensor.shape)))
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        return short(f"{tensor.qscheme()}{of_tensor(tensor.int_repr())}{of_tensor(tensor.dequantize())}".encode())
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    raw = tensor.resolve_conj().resolve_neg().cpu().contiguous()
    digest = hashlib.sha256(_header(raw.dtype, tuple(raw.shape)))
    if raw.numel():
        digest.update(raw.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:LENGTH]


def of_gradient(tensor: torch.Tensor | None) -> str:
    """Like `of_tensor`, but no gradient and a gradient of zeros are both "-": which of the two stands there depends
    on who called zero_grad, and where it matters to an optimizer the parameters show it."""
    if tensor is None:
        return "-"
    digest = of_tensor(tensor)
    return "-" if digest == _zeros(tensor.dtype, tuple(tensor.shape)) else digest


def of_object(value: Any) -> str:
    """Deep digest of containers, tensors, arrays and objects, by what they contain and not by where they lie."""
    return short(_canonical(value, {}).encode())


def _canonical(value: Any, path: dict[int, int]) -> str:
    for types_, write in _WRITERS:
        if isinstance(value, types_):
            return write(value, path)
    if id(value) in path:
        return f"<up {len(path) - path[id(value)]}>"
    inner = {**path, id(value): len(path)}
    if isinstance(value, Mapping):
        pairs = sorted(f"{_canonical(k, inner)}:{_canonical(v, inner)}" for k, v in value.items())
        return f"{_kind_of(value, dict)}{{{','.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"{_kind_of(value, type(value))}[{','.join(_canonical(item, inner) for item in value)}]"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}{{{','.join(sorted(_canonical(item, inner) for item in value))}}}"
    return _by_reduction(value, inner)


def _kind_of(value: Any, plain: type) -> str:
    # OrderedDict and dict load and read alike
    return plain.__name__ if type(value).__module__ in ("builtins", "collections") else _name(type(value))


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _by_reduction(value: Any, path: dict[int, int]) -> str:
    try:
        reduced = value.__reduce_ex__(2)
    except Exception:  # pickling decides what is in an object; one that cannot be pickled shows its type alone
        return f"<{_name(type(value))}>"
    if isinstance(reduced, str):
        return f"<{reduced}>"
    make, args, *rest = reduced
    state, items, pairs = [*rest, None, None, None][:3]
    content = (tuple(args), state, list(items or ()), list(pairs or ()))
    return f"{_name(make)}({_canonical(content, path)})"


def _of_array(value: Any, path: dict[int, int]) -> str:
    if value.dtype.hasobject:
        return f"array{value.shape}{_canonical(value.tolist(), path)}"
    return f"array{value.dtype.str}{value.shape}{short(value.tobytes())}"


def _tensor(value: torch.Tensor, path: dict[int, int]) -> str:
    return f"tensor:{of_tensor(value)}"


def _float(value: float, path: dict[int, int]) -> str:
    return f"float:{value.hex()}"


def _plain(value: Any, path: dict[int, int]) -> str:
    return f"{type(value).__name__}:{value!r}"


def _bytes(value: bytes | bytearray, path: dict[int, int]) -> str:
    return f"bytes:{short(bytes(value))}"


def _named(value: Any, path: dict[int, int]) -> str:
    return f"<{_name(value)}>"


def _writers() -> tuple[tuple[Any, Callable[[Any, dict[int, int]], str]], ...]:
    import numpy

    named = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
    torch_names = (torch.dtype, torch.layout, torch.memory_format)
    return (
        (torch.device, lambda value, path: "device"),
        (torch.Tensor, _tensor),
        ((numpy.ndarray, numpy.generic), _of_array),
        (torch_names, _plain),
        (named, _named),
        (bool, _plain),
        (float, _float),
        ((int, complex, str, type(None)), _plain),
        ((bytes, bytearray), _bytes),
    )


_WRITERS = _writers()
