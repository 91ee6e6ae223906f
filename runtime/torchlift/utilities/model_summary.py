"""What a module is made of: its layers, their parameters and, with an example input, the sizes they see.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.utilities.model_summary.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

UNKNOWN_SIZE = "?"
OTHER_PARAMETERS = "other params"


@dataclass(frozen=True)
class Layer:
    """One row: ``in_size`` and ``out_size`` are shapes as text, None where no example input told them."""

    name: str
    kind: str
    parameters: int
    mode: str
    in_size: str | None = None
    out_size: str | None = None


@dataclass(frozen=True)
class ModelSummary:
    """A module's layers down to some depth, and its totals; ``str()`` of it is a table.

    Attributes:
        layers: the rows. total_parameters, trainable_parameters: numbers of elements. model_size: of the parameters,
            in MB (10**6 bytes). train_modules, eval_modules: how many modules are in each mode.
    """

    layers: tuple[Layer, ...]
    total_parameters: int
    trainable_parameters: int
    model_size: float
    train_modules: int
    eval_modules: int

    @property
    def columns(self) -> dict[str, list[str]]:
        """The table by columns; sizes only if they are known."""
        columns = {
            "": [str(number) for number in range(len(self.layers))],
            "Name": [layer.name for layer in self.layers],
            "Type": [layer.kind for layer in self.layers],
            "Params": [readable_count(layer.parameters) for layer in self.layers],
            "Mode": [layer.mode for layer in self.layers],
        }
        if any(layer.in_size for layer in self.layers):
            columns["In sizes"] = [layer.in_size or UNKNOWN_SIZE for layer in self.layers]
            columns["Out sizes"] = [layer.out_size or UNKNOWN_SIZE for layer in self.layers]
        return columns

    @property
    def totals(self) -> dict[str, str]:
        """What stands below the table."""
        return {
            "Trainable params": readable_count(self.trainable_parameters),
            "Non-trainable params": readable_count(self.total_parameters - self.trainable_parameters),
            "Total params": readable_count(self.total_parameters),
            "Total estimated model params size (MB)": f"{self.model_size:,.3f}",
            "Modules in train mode": str(self.train_modules),
            "Modules in eval mode": str(self.eval_modules),
        }

    def __str__(self) -> str:
        widths = {name: max(map(len, [name, *cells])) for name, cells in self.columns.items()}
        rows = [tuple(widths), *zip(*self.columns.values())]
        lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths.values())).rstrip() for row in rows]
        rule = "-" * max(map(len, lines))
        totals = [f"{value:<10}{name}" for name, value in self.totals.items()]
        return "\n".join([lines[0], rule, *lines[1:], rule, *totals])


def summarize(module: nn.Module, max_depth: int = 1) -> ModelSummary:
    """Summarise ``module`` down to ``max_depth`` levels; -1 for all of them.

    If it has an ``example_input_array``, that goes through ``forward`` once: without gradients, in evaluation mode,
    and with the random generators put back afterwards.

    Raises:
        ValueError: ``max_depth`` is below -1.
    """
    if max_depth < -1:
        raise ValueError(f"max_depth={max_depth}: it is -1 for all levels, or a number of levels.")
    children = [
        (name, child)
        for name, child in module.named_modules()
        if name and (max_depth == -1 or name.count(".") < max_depth)
    ]
    sizes = _sizes(module, children)
    layers = [
        Layer(name, type(child).__name__, _count(child.parameters()), _mode(child), *sizes.get(name, (None, None)))
        for name, child in children
    ]
    own = _count(module.parameters(recurse=False))
    if own:
        layers.append(Layer(OTHER_PARAMETERS, "n/a", own, "n/a", *(("n/a", "n/a") if sizes else ())))
    parameters = [p for p in module.parameters() if not isinstance(p, UninitializedParameter)]
    modes = [one.training for one in module.modules() if one is not module]
    return ModelSummary(
        layers=tuple(layers),
        total_parameters=_count(parameters),
        trainable_parameters=_count(p for p in parameters if p.requires_grad),
        model_size=sum(p.numel() * p.element_size() for p in parameters) / 1e6,
        train_modules=sum(modes),
        eval_modules=len(modes) - sum(modes),
    )


def readable_count(number: int) -> str:
    """``1234`` as ``"1.2 K"``; at most three digits, and four units up to T (10**12)."""
    value, units = float(number), ["", "K", "M", "B", "T"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{int(value):,} {units[0]}".rstrip() if value >= 100 or value == number else f"{value:.1f} {units[0]}"


def _count(parameters: Any) -> int:
    return sum(p.numel() for p in parameters if not isinstance(p, UninitializedParameter))


def _mode(module: nn.Module) -> str:
    return "train" if module.training else "eval"


def _sizes(module: nn.Module, children: list[tuple[str, nn.Module]]) -> dict[str, tuple[str, str]]:
    """Sizes of the first input and output of each child, if there is an example input."""
    example = getattr(module, "example_input_array", None)
    if example is None:
        return {}
    sizes: dict[str, tuple[str, str]] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
            inputs = (*args, *kwargs.values())
            sizes.setdefault(name, (_size(inputs[0] if len(inputs) == 1 else list(inputs)), _size(out)))

        return hook

    handles = [child.register_forward_hook(note(name), with_kwargs=True) for name, child in children]
    try:
        with _undisturbed(module):
            _call(module, example)
    finally:
        for handle in handles:
            handle.remove()
    return sizes


def _call(module: nn.Module, example: Any) -> None:
    from torchlift.utilities.apply import move_data_to_device

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    example = move_data_to_device(example, device)
    if isinstance(example, list | tuple):
        module(*example)
    elif isinstance(example, dict):
        module(**example)
    else:
        module(example)


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """No gradients, evaluation mode, the run's precision; afterwards modes and random generators are as before."""
    from torchlift.utilities.seed import isolate_rng

    trainer = getattr(module, "_trainer", None)
    precision = trainer.precision_plugin.forward_context() if trainer is not None else nullcontext()
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), isolate_rng(), precision:
            yield
    finally:
        for one, training in modes:
            one.training = training


def _size(batch: Any) -> str:
    if isinstance(batch, Tensor):
        return str(list(batch.shape))
    if isinstance(batch, list | tuple):
        return "[" + ", ".join(map(_size, batch)) + "]"
    return UNKNOWN_SIZE
