"""Numerical precision: which dtype the module, its inputs and its forward pass have, and the gradient scaler.

Four verbs: ``convert_module``, ``convert_input``, ``forward_context`` and, through ``scaler``, the scaling of
gradients. The names of the classes are Lightning's, because checkpoints keep a scaler's state under them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from torchlift.utilities.apply import apply_to_leaves
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn

NAMES = ("transformer-engine", "transformer-engine-float16", "16-true", "16-mixed", "bf16-true", "bf16-mixed")
_ALIASES: dict[str, str] = {
    "64": "64-true",
    "32": "32-true",
    "16": "16-mixed",
    "bf16": "bf16-mixed",
}
_ALLOWED = (*NAMES, "32-true", "64-true", *_ALIASES)


class PrecisionProtocol(Protocol):
    """What the loop asks of a precision."""

    precision: str
    scaler: "torch.amp.GradScaler | None"

    def convert_module(self, module: nn.Module) -> nn.Module: ...
    def convert_input(self, data: Any) -> Any: ...
    def forward_context(self) -> AbstractContextManager: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


class Precision:
    """Full precision: everything stays as it is."""

    precision: str = "32-true"
    scaler: "torch.amp.GradScaler | None" = None
    converts_input = False
    enters_context = False

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Bring the parameters and buffers to the dtype."""
        return module

    def convert_input(self, data: Any) -> Any:
        """Bring the floating-point tensors of a batch to the dtype."""
        return data

    def forward_context(self) -> AbstractContextManager:
        """Entered around each ``*_step``."""
        return nullcontext()

    def tensor_init_context(self) -> AbstractContextManager:
        """Entered where tensors are created: ``configure_model``, ``trainer.init_module``."""
        return nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""


class _TruePrecision(Precision):
    """Parameters, inputs and new tensors all have one dtype."""

    converts_input = True
    enters_context = True
    dtype: torch.dtype

    def convert_module(self, module: nn.Module) -> nn.Module:
        return module.to(dtype=self.dtype)

    def convert_input(self, data: Any) -> Any:
        def is_float(value: Any) -> bool:
            return isinstance(value, Tensor) and value.is_floating_point()

        return apply_to_leaves(data, is_float, lambda value: value.to(self.dtype))

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        outer = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(outer)

    def tensor_init_context(self) -> AbstractContextManager:
        return self.forward_context()


class DoublePrecision(_TruePrecision):
    """``64-true``."""

    precision = "64-true"
    dtype = torch.float64


class HalfPrecision(_TruePrecision):
    """``16-true`` and ``bf16-true``."""

    def __init__(self, precision: str = "16-true") -> None:
        self.precision = precision
        self.dtype = torch.bfloat16 if precision == "bf16-true" else torch.float16


class MixedPrecision(Precision):
    """``16-mixed`` and ``bf16-mixed``: autocast around the step and, for float16, a gradient scaler.

    Args:
        precision: one of the two names.
        device: the type of the device, ``"cuda"`` or ``"cpu"``.
        scaler: used instead of a default one; float16 only.

    Raises:
        MisconfigurationException: a scaler with bfloat16, which needs none.
        ValueError: another name.
    """

    enters_context = True

    def __init__(self, precision: str, device: str, scaler: "torch.amp.GradScaler | None" = None) -> None:
        if precision not in ("16-mixed", "bf16-mixed"):
            raise ValueError(f"`MixedPrecision(precision={precision!r})` must be '16-mixed' or 'bf16-mixed'.")
        if scaler is None and precision == "16-mixed":
            scaler = torch.amp.GradScaler(device=device)
        elif scaler is not None and precision == "bf16-mixed":
            raise MisconfigurationException(f"`precision='bf16-mixed'` does not use a scaler, found {scaler}.")
        self.precision, self.device, self.scaler = precision, device, scaler
        self._dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float16

    def forward_context(self) -> AbstractContextManager:
        return torch.autocast(self.device, dtype=self._dtype, cache_enabled=False)

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict() if self.scaler is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.scaler is not None:
            self.scaler.load_state_dict(state_dict)


def precision_name(given: int | str | None) -> str:
    """The full name of what ``Trainer(precision=...)`` was given.

    Raises:
        ValueError: there is no such precision.
    """
    if given is None:
        return "32-true"
    name = str(given)
    if name not in _ALLOWED:
        raise ValueError(f"Precision {given!r} is invalid. Allowed precision values: {_ALLOWED}")
    if name in ("16", "bf16"):
        rank_zero_warn(
            f"`precision={name}` is supported for historical reasons but its usage is discouraged. Please set your"
            f" precision to {_ALIASES[name]} instead!"
        )
    return _ALIASES.get(name, name)


def make_precision(given: int | str | None, device_type: str) -> Precision:
    """The precision that ``Trainer(precision=given)`` means on a device of this type.

    Raises:
        ValueError: there is no such precision.
        NotImplementedError: it needs NVIDIA's Transformer Engine.
    """
    name = precision_name(given)
    if name == "32-true":
        return Precision()
    if name == "64-true":
        return DoublePrecision()
    if name.endswith("-true"):
        return HalfPrecision(name)
    if name.startswith("transformer-engine"):
        raise NotImplementedError(
            f"`precision={name!r}` needs NVIDIA's Transformer Engine, which this runtime does not drive. Use"
            " 'bf16-mixed'."
        )
    if name == "16-mixed" and device_type == "cpu":
        rank_zero_warn(
            "You passed `Trainer(accelerator='cpu', precision='16-mixed')` but AMP with fp16 is not supported on CPU."
            " Using `precision='bf16-mixed'` instead."
        )
        name = "bf16-mixed"
    rank_zero_info(f"Using {'16bit' if name == '16-mixed' else 'bfloat16'} Automatic Mixed Precision (AMP)")
    return MixedPrecision(name, "cpu" if device_type == "cpu" else device_type)
