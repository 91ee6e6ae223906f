"""What a module is made of: its layers, their parameters and, with an example input, the sizes they see and the work.

Names are those of Lightning's ``lightning.pytorch.utilities.model_summary``; the text of the table is too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from torchlift.utilities.rank_zero import rank_zero_warn, warn_once

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

UNKNOWN_SIZE = "?"
LEFTOVER_PARAMS_NAME = "other params"
NOT_APPLICABLE = "n/a"

Shape = str | list[Any]
"""A tensor's shape, a list of those of several, or `UNKNOWN_SIZE`."""

_UNITS = (" ", "K", "M", "B", "T")
_BYTES = {"64": 8, "32": 4, "16": 2, "bf16": 2, "64-true": 8, "32-true": 4, "16-true": 2, "bf16-true": 2}


class LayerSummary:
    """One row of the table: a layer, and the sizes of its first input and output once it was called.

    Args:
        module: the layer.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._in_size: Shape | None = None
        self._out_size: Shape | None = None
        self._hook_handle = None
        if not isinstance(module, torch.jit.ScriptModule):  # these take no hook
            self._hook_handle = module.register_forward_hook(self._note, with_kwargs=True)

    def _note(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        inputs = (*args, *kwargs.values())
        self._in_size = parse_batch_shape(inputs[0] if len(inputs) == 1 else inputs)
        self._out_size = parse_batch_shape(out)
        self.detach_hook()  # the first call counts

    def detach_hook(self) -> None:
        """Stop listening."""
        if self._hook_handle is not None:
            self._hook_handle.remove()

    @property
    def in_size(self) -> Shape:
        return self._in_size or UNKNOWN_SIZE

    @property
    def out_size(self) -> Shape:
        return self._out_size or UNKNOWN_SIZE

    @property
    def layer_type(self) -> str:
        """The name of its class."""
        return type(self._module).__name__

    @property
    def num_parameters(self) -> int:
        """The number of elements of its parameters."""
        return _count(self._module.parameters())

    @property
    def training(self) -> bool:
        return self._module.training


class ModelSummary:
    """The layers of a module down to some depth, and its totals; ``str()`` of it is a table.

    If the module has an ``example_input_array``, that goes through ``forward`` once, without gradients and in
    evaluation mode.

    Args:
        model: the module.
        max_depth: levels of layers to show; -1 for all of them.

    Raises:
        ValueError: ``max_depth`` is no number of levels.
    """

    def __init__(self, model: nn.Module, max_depth: int = 1) -> None:
        if not isinstance(max_depth, int) or max_depth < -1:
            raise ValueError(f"`max_depth` can be -1, 0 or > 0, got {max_depth}.")
        self._model = model
        self._max_depth = max_depth
        self._flops: FlopCounterMode | None = None
        self._layer_summary = self.summarize()
        self._bytes = _bytes_of(getattr(model, "_trainer", None))

    def summarize(self) -> dict[str, LayerSummary]:
        """The layers by name, having seen the example input if there is one."""
        layers = {name: LayerSummary(module) for name, module in self.named_modules}
        try:
            if self._example is not None:
                self._flops = self._run_example()
        finally:
            for layer in layers.values():
                layer.detach_hook()
        return layers

    # -- layers -------------------------------------------------------------------------------------------------------

    @property
    def named_modules(self) -> list[tuple[str, nn.Module]]:
        """The layers that are shown."""
        found = list(self._model.named_modules())[1:]
        return [one for one in found if self._max_depth == -1 or one[0].count(".") < self._max_depth]

    @property
    def layer_names(self) -> list[str]:
        return list(self._layer_summary)

    @property
    def layer_types(self) -> list[str]:
        return [layer.layer_type for layer in self._layer_summary.values()]

    @property
    def in_sizes(self) -> list[Shape]:
        return [layer.in_size for layer in self._layer_summary.values()]

    @property
    def out_sizes(self) -> list[Shape]:
        return [layer.out_size for layer in self._layer_summary.values()]

    @property
    def param_nums(self) -> list[int]:
        return [layer.num_parameters for layer in self._layer_summary.values()]

    @property
    def training_modes(self) -> list[bool]:
        return [layer.training for layer in self._layer_summary.values()]

    @property
    def flop_counts(self) -> dict[str, dict[Any, int]]:
        """Floating-point operations of each layer, by operator."""
        counts = {} if self._flops is None else self._flops.get_flop_counts()
        root = type(self._model).__name__
        return {name: counts.get(f"{root}.{name}", {}) for name in self.layer_names}

    # -- totals -------------------------------------------------------------------------------------------------------

    @property
    def total_parameters(self) -> int:
        return _count(self._model.parameters())

    @property
    def trainable_parameters(self) -> int:
        return _count(p for p in self._model.parameters() if p.requires_grad)

    @property
    def total_layer_params(self) -> int:
        return sum(self.param_nums)

    @property
    def model_size(self) -> float:
        """Of the parameters at the run's precision, in MB (10**6 bytes)."""
        return self.total_parameters * self._bytes * 1e-6

    @property
    def total_flops(self) -> int:
        return 0 if self._flops is None else self._flops.get_total_flops()

    @property
    def total_training_modes(self) -> dict[str, int]:
        """How many submodules are in which mode."""
        modes = [one.training for one in self._model.modules() if one is not self._model]
        return {"train": sum(modes), "eval": len(modes) - sum(modes)}

    # -- the table ----------------------------------------------------------------------------------------------------

    def _get_summary_data(self) -> list[tuple[str, list[str]]]:
        """The columns of the table, as text."""
        flops = [sum(counts.values()) for counts in self.flop_counts.values()]
        columns = {
            " ": [str(number) for number in range(len(self._layer_summary))],
            "Name": self.layer_names,
            "Type": self.layer_types,
            "Params": list(map(get_human_readable_count, self.param_nums)),
            "Mode": ["train" if training else "eval" for training in self.training_modes],
            "FLOPs": list(map(get_human_readable_count, flops)),
        }
        if self._example is not None:
            columns |= {"In sizes": list(map(str, self.in_sizes)), "Out sizes": list(map(str, self.out_sizes))}
        if leftover := self._leftover():
            own = {" ": " ", "Name": LEFTOVER_PARAMS_NAME, "Params": get_human_readable_count(leftover)}
            for name, cells in columns.items():
                cells.append(own.get(name, NOT_APPLICABLE))
        return list(columns.items())

    def _leftover(self) -> int:
        """How many elements belong to parameters of no layer that is shown."""
        shown = {id(p) for layer in self._layer_summary.values() for p in layer._module.parameters()}
        return _count(p for p in self._model.parameters() if id(p) not in shown)

    def __str__(self) -> str:
        return format_table(
            self._get_summary_data(),
            self.total_parameters,
            self.trainable_parameters,
            self.model_size,
            self.total_training_modes,
            self.total_flops,
        )

    __repr__ = __str__

    # -- the example input --------------------------------------------------------------------------------------------

    @property
    def _example(self) -> Any:
        return getattr(self._model, "example_input_array", None)

    def _run_example(self) -> FlopCounterMode:
        """Call the module with the example input, counting operations."""
        from torch.utils.flop_counter import FlopCounterMode

        counter = FlopCounterMode(display=False, depth=self._max_depth + 1)
        with _evaluation(self._model), counter:
            example = _transferred(self._model, self._example)
            if isinstance(example, list | tuple):
                self._model(*example)
            elif isinstance(example, dict):
                self._model(**example)
            else:
                self._model(example)
        return counter


def summarize(lightning_module: nn.Module, max_depth: int = 1) -> ModelSummary:
    """Summarise a module: see :class:`ModelSummary`."""
    return ModelSummary(lightning_module, max_depth=max_depth)


def parse_batch_shape(batch: Any) -> Shape:
    """The shape of a tensor, or of each of several; `UNKNOWN_SIZE` of anything else."""
    if hasattr(batch, "shape"):
        return list(batch.shape)
    if isinstance(batch, list | tuple):
        return [parse_batch_shape(one) for one in batch]
    return UNKNOWN_SIZE


def get_formatted_model_size(total_model_size: float) -> str:
    """``5500`` as ``"5,500.000"``."""
    return f"{total_model_size:,.3f}"


def get_human_readable_count(number: float) -> str:
    """``1234`` as ``"1.2 K"``, ``123`` as ``"123  "``; units up to T (10**12)."""
    digits = math.floor(math.log10(number)) + 1 if number > 0 else 1
    unit = min((digits - 1) // 3, len(_UNITS) - 1)
    scaled = number * 10 ** (-3 * unit)
    return f"{int(scaled):,d} {_UNITS[unit]}" if unit == 0 or scaled >= 100 else f"{scaled:,.1f} {_UNITS[unit]}"


def format_table(
    columns: list[tuple[str, list[str]]],
    total_parameters: int,
    trainable_parameters: int,
    model_size: float,
    total_training_modes: dict[str, int],
    total_flops: int,
) -> str:
    """The columns side by side, and the totals below."""
    widths = [max(map(len, [name, *cells])) for name, cells in columns]
    rows = [[name for name, _ in columns], *zip(*(cells for _, cells in columns))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]
    rule = "-" * (sum(widths) + 3 * (len(widths) + 1))
    totals = {
        "Trainable params": get_human_readable_count(trainable_parameters),
        "Non-trainable params": get_human_readable_count(total_parameters - trainable_parameters),
        "Total params": get_human_readable_count(total_parameters),
        "Total estimated model params size (MB)": get_formatted_model_size(model_size),
        "Modules in train mode": str(total_training_modes["train"]),
        "Modules in eval mode": str(total_training_modes["eval"]),
        "Total Flops": get_human_readable_count(total_flops),
    }
    return "\n".join([lines[0], rule, *lines[1:], rule, *(f"{value:<10}{name}" for name, value in totals.items())])


def _is_dtensor(tensor: Tensor) -> bool:
    """Whether it is a tensor spread over devices, which knows its shape."""
    return type(tensor).__name__ == "DTensor"


def _count(parameters: Any) -> int:
    total = 0
    for parameter in parameters:
        if isinstance(parameter, UninitializedParameter) and not _is_dtensor(parameter):
            warn_once(
                "The total number of parameters detected may be inaccurate because the model contains an instance of"
                " `UninitializedParameter`. To get an accurate number, set `self.example_input_array` in your"
                " LightningModule."
            )
        else:
            total += math.prod(parameter.shape)
    return total


def _bytes_of(trainer: Any) -> int:
    """Of one element of a parameter."""
    if trainer is None:
        return 4
    if trainer.precision not in _BYTES:
        rank_zero_warn(
            f"Precision {trainer.precision} is not supported by the model summary. Estimated model size in MB will not"
            " be accurate. Using 32 bits instead."
        )
    return _BYTES.get(trainer.precision, 4)


def _transferred(model: nn.Module, example: Any) -> Any:
    """The example as a batch would arrive, through the data hooks."""
    from torchlift.module import LightningModule
    from torchlift.utilities.apply import move_data_to_device

    trainer = getattr(model, "_trainer", None)
    if trainer is not None and trainer._run is not None:
        return trainer._run.transfer(example, 0)
    if isinstance(model, LightningModule):
        example = model.on_before_batch_transfer(example, 0)
        return model.on_after_batch_transfer(model.transfer_batch_to_device(example, model.device, 0), 0)
    return move_data_to_device(example, next((p.device for p in model.parameters()), torch.device("cpu")))


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    """No gradients, evaluation mode and the run's precision; the modes are put back."""
    trainer = getattr(model, "_trainer", None)
    precision = nullcontext() if trainer is None else trainer.precision_plugin.forward_context()
    modes = [(one, one.training) for one in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), precision:
            yield
    finally:
        for one, training in modes:
            one.training = training
