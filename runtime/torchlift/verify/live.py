"""Every module that is alive, found as it is made: frozen teachers, batch statistics and what no optimizer holds."""

from __future__ import annotations

import functools
import gc
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from torchlift.verify import digest


class LiveModules:
    """Watches the making of `nn.Module`s (by their constructor, by copy and by unpickling)."""

    def __init__(self) -> None:
        self._found: dict[int, weakref.ref[nn.Module]] = {}
        self._new: list[weakref.ref[nn.Module]] = []
        for name in ("__init__", "__setstate__"):
            setattr(nn.Module, name, self._watching(getattr(nn.Module, name)))

    def _watching(self, original: Any) -> Any:
        @functools.wraps(original)
        def made(module: nn.Module, *args: Any, **kwargs: Any) -> None:
            original(module, *args, **kwargs)
            key = id(module)
            self._found[key] = weakref.ref(module, functools.partial(self._forget, key))
            self._new.append(self._found[key])

        return made

    def _forget(self, key: int, _: weakref.ref[nn.Module]) -> None:
        self._found.pop(key, None)

    def __iter__(self) -> Iterator[nn.Module]:
        for reference in list(self._found.values()):
            module = reference()
            if module is not None:
                yield module

    def rest(self, held: set[int]) -> tuple[tuple[str, str], ...]:
        """(leaf name, digest) of each parameter and buffer whose id is not in `held`, each once, sorted.

        Leaf names, because a module that wraps the model puts a prefix before the others.
        """
        if any(_holds_tensors(reference()) for reference in self._new):
            gc.collect()  # a dead module in a reference cycle is no part of the experiment
        self._new.clear()
        found: dict[int, tuple[str, str]] = {}
        for module in self:
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if isinstance(tensor, torch.Tensor) and id(tensor) not in held and id(tensor) not in found:
                        found[id(tensor)] = (name, digest.of_tensor(tensor))
        return tuple(sorted(found.values()))

    def evaluating(self) -> str:
        """The leaf modules in eval mode, as "BatchNorm2d x2, Dropout x1"."""
        leaves = Counter(
            type(module).__name__
            for module in self
            if not module.training and not module._modules and not isinstance(module, nn.modules.loss._Loss)
        )
        return ", ".join(f"{name} x{count}" for name, count in sorted(leaves.items()))

    def labels(self, tensors: list[torch.Tensor]) -> tuple[str, ...]:
        """For messages: "Linear.weight [10, 64]" for each tensor, or only the shape of one that is in no module."""
        names = {
            id(tensor): f"{type(module).__name__}.{name}"
            for module in self
            for name, tensor in module._parameters.items()
            if tensor is not None
        }
        return tuple(f"{names.get(id(tensor), 'tensor')} {list(tensor.shape)}" for tensor in tensors)


def _holds_tensors(module: nn.Module | None) -> bool:
    if module is None:
        return False
    return any(tensor is not None for held in (module._parameters, module._buffers) for tensor in held.values())
