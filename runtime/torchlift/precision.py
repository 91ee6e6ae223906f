"""Numerical precision: which dtype the module, its inputs and its forward pass have, and how gradients are scaled.

The classes, their methods and the order of calls are Lightning's, so that a class derived from one of them works here:
https://lightning.ai/docs/pytorch/stable/common/precision_advanced.html. What nobody overrides is not called: a run
finds out at its start which of these methods are a user's own (see ``torchlift.run`` and ``torchlift.step``).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from torchlift.utilities.apply import apply_to_leaves
from torchlift.utilities.enums import GradClipAlgorithmType
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_warn

if TYPE_CHECKING:
    from torchlift.module import LightningModule


class Precision:
    """Full precision: everything stays as it is. The base of the others and of those that users write.

    Attributes:
        precision: its name in ``Trainer(precision=...)``.
        scaler: scales the loss, so that small gradients survive in float16; ``None`` for no scaling.
    """

    precision: str = "32-true"
    scaler: "torch.amp.GradScaler | None" = None

    # -- what things are made of --------------------------------------------------------------------------------------

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Bring the parameters and buffers to the dtype."""
        return module

    def convert_input(self, data: Any) -> Any:
        """Bring the floating-point tensors of a batch to the dtype."""
        return data

    def convert_output(self, data: Any) -> Any:
        """Bring what a forward pass returned to the dtype that the caller expects."""
        return data

    def connect(
        self, model: nn.Module, optimizers: list[Optimizer], lr_schedulers: list[Any]
    ) -> tuple[nn.Module, list[Optimizer], list[Any]]:
        """Called once a run with everything it trains, on its device; returns the three, perhaps replaced."""
        return model, optimizers, lr_schedulers

    # -- contexts -----------------------------------------------------------------------------------------------------

    def tensor_init_context(self) -> AbstractContextManager:
        """Entered where tensors are created: ``configure_model``, ``trainer.init_module``."""
        return nullcontext()

    def module_init_context(self) -> AbstractContextManager:
        """Entered where modules are created."""
        return nullcontext()

    def forward_context(self) -> AbstractContextManager:
        """Entered around each ``*_step``."""
        return nullcontext()

    def train_step_context(self) -> AbstractContextManager:
        """Entered around ``training_step``; :meth:`forward_context` unless overridden."""
        return self.forward_context()

    def val_step_context(self) -> AbstractContextManager:
        """Entered around ``validation_step``; :meth:`forward_context` unless overridden."""
        return self.forward_context()

    def test_step_context(self) -> AbstractContextManager:
        """Entered around ``test_step``; :meth:`forward_context` unless overridden."""
        return self.forward_context()

    def predict_step_context(self) -> AbstractContextManager:
        """Entered around ``predict_step``; :meth:`forward_context` unless overridden."""
        return self.forward_context()

    # -- gradients ----------------------------------------------------------------------------------------------------

    def pre_backward(self, tensor: Tensor, module: "LightningModule") -> Tensor:
        """Scale the loss if there is a scaler, and run ``on_before_backward``; returns the loss to differentiate."""
        if self.scaler is not None:
            tensor = self.scaler.scale(tensor)
        if hook := module.trainer._run.hooks.on_before_backward:
            hook(tensor)
        return tensor

    def backward(
        self, tensor: Tensor, model: "LightningModule", optimizer: Optimizer | None, *args: Any, **kwargs: Any
    ) -> None:
        """Compute the gradients.

        Args:
            tensor: the loss, scaled.
            model: its own ``backward`` is called.
            optimizer: the one whose step this is; ``None`` in manual optimization.
            args: go to ``Tensor.backward``.
            kwargs: go to ``Tensor.backward``.
        """
        model.backward(tensor, *args, **kwargs)

    def post_backward(self, tensor: Tensor, module: "LightningModule") -> Tensor:
        """Run ``on_after_backward``; returns the loss without its graph."""
        detached = tensor.detach()
        if hook := module.trainer._run.hooks.on_after_backward:
            hook()
        return detached

    def optimizer_step(
        self, optimizer: Optimizer, model: "LightningModule", closure: Callable[[], Any], **kwargs: Any
    ) -> Any:
        """One update: the closure, ``on_before_optimizer_step``, clipping, the optimizer's step.

        Args:
            optimizer: the bare optimizer.
            model: whose hooks run.
            closure: computes the loss and its gradients, in automatic optimization.
            kwargs: go to the optimizer's ``step``.

        Returns:
            What the optimizer's step returned.

        Raises:
            MisconfigurationException: there is a scaler and the optimizer calls its closure several times (LBFGS).
        """
        before_update = model.trainer._run.before_update
        if self.scaler is not None:
            return self._scaled_step(self.scaler, optimizer, model, closure, **kwargs)

        def whole() -> Any:
            result = closure()
            before_update(optimizer)
            return result

        return optimizer.step(closure=whole, **kwargs)

    def _scaled_step(
        self,
        scaler: "torch.amp.GradScaler",
        optimizer: Optimizer,
        model: "LightningModule",
        closure: Callable[[], Any],
        **kwargs: Any,
    ) -> Any:
        """Gradients are unscaled before the hooks see them; the update is left out if they overflowed."""
        if isinstance(optimizer, LBFGS):
            raise MisconfigurationException("AMP and the LBFGS optimizer are not compatible.")
        result = closure()
        # No loss in automatic optimization: there was no backward, so there is nothing to unscale or to apply.
        skipped = result is None and model.automatic_optimization
        if not skipped and not unscales_itself(optimizer):
            scaler.unscale_(optimizer)
        model.trainer._run.before_update(optimizer)
        if skipped:
            return result
        output = scaler.step(optimizer, **kwargs)
        scaler.update()
        return output

    def clip_gradients(
        self,
        optimizer: Optimizer,
        clip_val: float = 0.0,
        gradient_clip_algorithm: GradClipAlgorithmType = GradClipAlgorithmType.NORM,
    ) -> None:
        """Clip the gradients of the optimizer's parameters to a norm, or each element to an absolute value.

        Raises:
            RuntimeError: there is a scaler and the optimizer unscales by itself, so the gradients are still scaled.
        """
        if clip_val <= 0:
            return
        if self.scaler is not None and unscales_itself(optimizer):
            raise RuntimeError(
                f"The current optimizer, {type(optimizer).__qualname__}, does not allow for gradient clipping because"
                " it performs unscaling of gradients internally. HINT: Are you using a 'fused' optimizer?"
            )
        if gradient_clip_algorithm == GradClipAlgorithmType.VALUE:
            self.clip_grad_by_value(optimizer, clip_val)
        elif gradient_clip_algorithm == GradClipAlgorithmType.NORM:
            self.clip_grad_by_norm(optimizer, clip_val)

    def clip_grad_by_value(self, optimizer: Optimizer, clip_val: float) -> None:
        torch.nn.utils.clip_grad_value_(self.main_params(optimizer), clip_value=clip_val)

    def clip_grad_by_norm(self, optimizer: Optimizer, clip_val: float) -> None:
        torch.nn.utils.clip_grad_norm_(self.main_params(optimizer), clip_val)

    def main_params(self, optimizer: Optimizer) -> Iterator[Tensor]:
        """The parameters whose gradients are clipped."""
        for group in optimizer.param_groups:
            yield from group["params"]

    # -- before and after ---------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is about to be written."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint was read."""

    def teardown(self) -> None:
        """The run is over."""


def unscales_itself(optimizer: Any) -> bool:
    """Whether the optimizer's step divides the gradients by the scale, as fused ones do."""
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Within it, new floating-point tensors have this dtype."""
    outer = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(outer)


class _TruePrecision(Precision):
    """Parameters, inputs and new tensors all have one dtype."""

    _desired_input_dtype: torch.dtype

    def convert_module(self, module: nn.Module) -> nn.Module:
        return module.to(dtype=self._desired_input_dtype)

    def convert_input(self, data: Any) -> Any:
        def is_float(value: Any) -> bool:
            return isinstance(value, Tensor) and value.is_floating_point()

        return apply_to_leaves(data, is_float, lambda value: value.to(self._desired_input_dtype))

    def tensor_init_context(self) -> AbstractContextManager:
        return default_dtype(self._desired_input_dtype)

    def module_init_context(self) -> AbstractContextManager:
        return self.tensor_init_context()

    def forward_context(self) -> AbstractContextManager:
        return default_dtype(self._desired_input_dtype)


class DoublePrecision(_TruePrecision):
    """``64-true``: parameters, inputs and new tensors are float64."""

    precision = "64-true"
    _desired_input_dtype = torch.float64

    def convert_module(self, module: nn.Module) -> nn.Module:
        return module.double()  # complex tensors stay complex, which `to(dtype)` would take the real part of


class HalfPrecision(_TruePrecision):
    """``16-true`` and ``bf16-true``: parameters, inputs and new tensors are float16 or bfloat16.

    Args:
        precision: one of the two names.
    """

    def __init__(self, precision: str = "16-true") -> None:
        self.precision = precision
        self._desired_input_dtype = torch.bfloat16 if precision == "bf16-true" else torch.float16


class MixedPrecision(Precision):
    """``16-mixed`` and ``bf16-mixed``: autocast around the step and, for float16, a gradient scaler.

    Args:
        precision: one of the two names.
        device: the type of the device, ``"cuda"``, ``"cpu"`` or ``"mps"``.
        scaler: used instead of a default one; float16 only.

    Raises:
        MisconfigurationException: a scaler with bfloat16, which needs none.
        ValueError: another name.
    """

    def __init__(self, precision: str, device: str, scaler: "torch.amp.GradScaler | None" = None) -> None:
        if precision not in ("16-mixed", "bf16-mixed"):
            raise ValueError(
                f"Passed `{type(self).__name__}(precision={precision!r})`. Precision must be '16-mixed' or"
                " 'bf16-mixed'."
            )
        if scaler is None and precision == "16-mixed":
            scaler = torch.amp.GradScaler(device=device)
        elif scaler is not None and precision == "bf16-mixed":
            raise MisconfigurationException(f"`precision='bf16-mixed'` does not use a scaler, found {scaler}.")
        self.precision, self.device, self.scaler = precision, device, scaler

    def autocast_context_manager(self) -> torch.autocast:
        """What :meth:`forward_context` enters.

        Without autocast's cache of casted weights: a weight used twice gets its two gradients summed in its own dtype.
        """
        dtype = torch.bfloat16 if self.precision == "bf16-mixed" else torch.float16
        return torch.autocast(self.device, dtype=dtype, cache_enabled=False)

    def forward_context(self) -> AbstractContextManager:
        return self.autocast_context_manager()

    def state_dict(self) -> dict[str, Any]:
        return self.scaler.state_dict() if self.scaler is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.scaler is not None:
            self.scaler.load_state_dict(state_dict)


# -- what Trainer(precision=...) means --------------------------------------------------------------------------------

_TRANSFORMER_ENGINE = ("transformer-engine", "transformer-engine-float16")
_FULL_NAMES = (*_TRANSFORMER_ENGINE, "16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true", "64-true")
_ALIASES = {"64": "64-true", "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}
_NUMBERS = (64, 32, 16)


def precision_name(given: int | str | None) -> str:
    """The full name of what ``Trainer(precision=...)`` was given.

    Raises:
        ValueError: there is no such precision.
    """
    if given is None:
        return "32-true"
    name = str(given)
    if name not in _FULL_NAMES and name not in _ALIASES:
        raise ValueError(
            f"Precision {given!r} is invalid. Allowed precision values: {(*_FULL_NAMES, *_NUMBERS, *_ALIASES)}"
        )
    if name in ("16", "bf16"):  # the others cannot be taken for something else
        rank_zero_warn(
            f"`precision={name}` is supported for historical reasons but its usage is discouraged. Please set your"
            f" precision to {_ALIASES[name]} instead!"
        )
    return _ALIASES.get(name, name)


def make_precision(name: str, device_type: str) -> Precision:
    """The precision of this full name on a device of this type.

    Raises:
        NotImplementedError: it needs NVIDIA's Transformer Engine.
    """
    if name == "32-true":
        return Precision()
    if name == "64-true":
        return DoublePrecision()
    if name.endswith("-true"):
        return HalfPrecision(name)
    if name in _TRANSFORMER_ENGINE:
        raise NotImplementedError(
            f"`precision={name!r}` needs NVIDIA's Transformer Engine, which this runtime does not drive. Use"
            " 'bf16-mixed', or run this code on the real Lightning by changing its import line."
        )
    return MixedPrecision(name, device_type)
