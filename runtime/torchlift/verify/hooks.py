"""Where the tracer listens in torch: whoever calls, a plain loop, a Trainer or a manual_backward, passes here.

Each function replaces one entry of torch by one that records and then (or before) does the same. None of them draws a
random number, changes a tensor or keeps one alive, but for the parameters of the optimizers.
"""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import lr_scheduler
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import DataLoader

from torchlift.verify import digest
from torchlift.verify.stream import BY_HAND, Stream

# Optimizer.step as torch wraps it; a step inside another's (SAM, a wrapper) is part of that one
_WRAPPED_STEP = "Optimizer.profile_hook_step.<locals>.wrapper"


class Outermost:
    """Remembers whether a call is inside another one of the same kind."""

    def __init__(self) -> None:
        self.depth = 0

    def __enter__(self) -> bool:
        self.depth += 1
        return self.depth == 1

    def __exit__(self, *error: object) -> None:
        self.depth -= 1


def install(stream: Stream) -> None:
    optimizers = _Optimizers(stream)
    _hook_backward(stream, optimizers)
    _hook_save(stream)
    _hook_modes(stream)
    _hook_schedulers(stream)
    _announce(stream, DataLoader, "__iter__", "iter", _describe_loader)
    _announce(stream, Optimizer, "zero_grad", "zero_grad")
    _announce(stream, torch.nn.Module, "zero_grad", "zero_grad")


class _Optimizers:
    """Records each step of each optimizer; before any optimizer exists, each backward() counts as a step by hand."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.exist = False
        self.numbers: dict[int, int] = {}
        self.kept: list[Optimizer] = []  # an id is only good while its object lives
        original = Optimizer.__init__

        @functools.wraps(original)
        def made(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            original(optimizer, *args, **kwargs)
            # a Trainer without optimizers makes a mock of one, over a tensor that is not trained
            self.exist = self.exist or any(tensor.requires_grad for tensor in _tensors_of(optimizer))

        Optimizer.__init__ = made  # type: ignore[method-assign, assignment]
        register_optimizer_step_pre_hook(self.before)
        register_optimizer_step_post_hook(self.after)

    def before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self.stream.active or _nested_steps() > 1:
            return
        if self.stream.at_limit():
            self.stream.stop()
        if id(optimizer) not in self.numbers:
            self.numbers[id(optimizer)] = len(self.kept)
            self.kept.append(optimizer)
            self.stream.first_step(self.numbers[id(optimizer)], type(optimizer).__name__, _tensors_of(optimizer))

    def after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self.stream.active or _nested_steps() > 1 or id(optimizer) not in self.numbers:
            return
        rates = [group["lr"] for group in optimizer.param_groups if "lr" in group]
        self.stream.step(self.numbers[id(optimizer)], type(optimizer).__name__, rates, _tensors_of(optimizer))


def _tensors_of(optimizer: Optimizer) -> list[torch.Tensor]:
    return [tensor for group in optimizer.param_groups for tensor in group["params"]]


def _nested_steps() -> int:
    frame, count = sys._getframe(1), 0
    while frame is not None:
        count += frame.f_code.co_qualname == _WRAPPED_STEP
        frame = frame.f_back  # type: ignore[assignment]
    return count


def _hook_backward(stream: Stream, optimizers: _Optimizers) -> None:
    original = torch.autograd.backward
    inside = Outermost()  # one for all threads: a checkpoint's inner backward may run in the engine's thread
    by_hand: list[bool] = []

    @functools.wraps(original)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
        with inside as outermost:
            if not outermost or not stream.active:
                return original(tensors, *args, **kwargs)
            if not isinstance(tensors, torch.Tensor):
                tensors = list(tensors)  # an iterator can be read only once
            losses = [tensors] if isinstance(tensors, torch.Tensor) else tensors
            alone = not optimizers.exist
            if alone and stream.at_limit():
                stream.stop()
            leaves = _leaves(losses) if alone else []
            stream.event("backward", value=" ".join(map(digest.of_tensor, losses)), number=_total(losses))
            original(tensors, *args, **kwargs)
            if alone:
                if not by_hand:
                    by_hand.append(True)
                    stream.first_step(BY_HAND, "", leaves)
                stream.step(BY_HAND, "", [], leaves)

    torch.autograd.backward = backward


def _total(losses: Iterable[torch.Tensor]) -> float:
    try:
        return math.fsum(float(loss.detach().double().sum()) for loss in losses)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # complex, or inf - inf: not a finite loss either
        return math.nan


def _leaves(losses: list[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors that this backward gives gradients to, in the order in which the graph names them."""
    found: list[torch.Tensor] = []
    seen: set[Any] = set()
    waiting = [loss.grad_fn for loss in reversed(losses)]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting.extend(parent for parent, _ in reversed(node.next_functions))
    return found


def _hook_save(stream: Stream) -> None:
    original = torch.save
    inside = Outermost()

    @functools.wraps(original)
    def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> None:
        with inside as outermost:
            if not outermost or not stream.active:
                return original(obj, f, *args, **kwargs)
            target = f if isinstance(f, str | os.PathLike) else getattr(f, "name", None)
            path = stream.origin.relative(os.fspath(target)) if isinstance(target, str | os.PathLike) else None
            framework = stream.origin.is_framework()
            content = "" if framework else digest.of_object(obj)
            original(obj, f, *args, **kwargs)
            if not framework:
                stream.event("save", what=path or "a buffer", value=content)
            elif path is not None:
                stream.event("own", what=path)

    torch.save = save


def _hook_modes(stream: Stream) -> None:
    original = torch.nn.Module.train
    inside = Outermost()

    @functools.wraps(original)
    def train(module: torch.nn.Module, mode: bool = True) -> torch.nn.Module:
        with inside as outermost:
            if outermost and stream.active and any(part.training != mode for part in module.modules()):
                stream.event("mode", what="train()" if mode else "eval()")
            return original(module, mode)

    torch.nn.Module.train = train  # type: ignore[method-assign, assignment]


def _hook_schedulers(stream: Stream) -> None:
    inside = Outermost()  # SequentialLR and ChainedScheduler step others
    for cls in vars(lr_scheduler).values():
        if isinstance(cls, type) and issubclass(cls, lr_scheduler.LRScheduler) and "step" in vars(cls):
            _announce(stream, cls, "step", "scheduler", lambda scheduler: type(scheduler).__name__, inside)


def _describe_loader(loader: Any) -> str:
    return f"{type(loader).__name__} over {type(getattr(loader, 'dataset', None)).__name__}"


def _announce(
    stream: Stream,
    cls: type,
    method: str,
    kind: str,
    describe: Callable[[Any], str] = lambda target: "",
    inside: Outermost | None = None,
) -> None:
    """Record an event of `kind` when the method is called, and not when it calls itself."""
    original = getattr(cls, method)
    nesting = inside or Outermost()

    @functools.wraps(original)
    def announced(target: Any, *args: Any, **kwargs: Any) -> Any:
        with nesting as outermost:
            if outermost and stream.active:
                stream.event(kind, what=describe(target))
            return original(target, *args, **kwargs)

    setattr(cls, method, announced)
