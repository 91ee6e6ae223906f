"""Optimization by hand: ``self.optimizers()``, ``self.manual_backward`` and what goes with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim import Optimizer

from torchlift.utilities.enums import GradClipAlgorithmType
from torchlift.utilities.exceptions import MisconfigurationException

if TYPE_CHECKING:
    from torchlift.optim import LightningOptimizer


class OptimizationMethods:
    """The part of a LightningModule that ``training_step`` calls to optimize by itself."""

    if TYPE_CHECKING:  # not at run time: TorchScript would read them as the types of attributes
        trainer: Any
        fabric: Any
        automatic_optimization: Any
        _fabric_optimizers: list[Any]
        _param_requires_grad_state: dict[nn.Parameter, bool]

    def optimizers(self, use_pl_optimizer: bool = True) -> "Any | list[Any] | LightningOptimizer":
        """The optimizer, or a list of them, for manual optimization.

        Args:
            use_pl_optimizer: wrapped, so that ``step`` runs the hooks and counts; ``False`` gives the bare ones.
        """
        if self.fabric is not None:
            found = self._fabric_optimizers
        else:
            found = self.trainer._wrapped_optimizers if use_pl_optimizer else self.trainer.optimizers
        return found[0] if len(found) == 1 else found

    def lr_schedulers(self) -> Any:
        """The scheduler, a list of them, or ``None`` when there is none; for manual optimization."""
        found = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return found[0] if len(found) == 1 else found or None

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Run the backward pass in manual optimization, with the hooks and the scaling it needs.

        Args:
            loss: has a graph.
            args: go to ``Tensor.backward``.
            kwargs: go to ``Tensor.backward``, for instance ``retain_graph=True``.

        Raises:
            MisconfigurationException: optimization is automatic.
        """
        if self.fabric is not None:
            self.fabric.backward(loss, *args, **kwargs)
            return
        if self.automatic_optimization:
            raise MisconfigurationException(
                "to use manual_backward, please disable automatic optimization: set model property"
                " `automatic_optimization` as False, in `__init__`."
            )
        self.trainer._manual_backward(loss, *args, **kwargs)

    def toggle_optimizer(self, optimizer: Any) -> None:
        """Let only this optimizer's parameters require gradients, until :meth:`untoggle_optimizer`."""
        before: dict[nn.Parameter, bool] = {}
        for one in self.trainer.optimizers:
            for parameter in _parameters(one):
                if parameter not in before:
                    before[parameter] = parameter.requires_grad
                    parameter.requires_grad = False
        for parameter in _parameters(optimizer):
            parameter.requires_grad = before[parameter]
        self._param_requires_grad_state = before

    def untoggle_optimizer(self, optimizer: Any) -> None:
        """Give the other optimizers' parameters back what :meth:`toggle_optimizer` took."""
        own = getattr(optimizer, "optimizer", optimizer)
        for one in self.trainer.optimizers:
            if one is not own and one is not optimizer:
                for parameter in _parameters(one):
                    if parameter in self._param_requires_grad_state:
                        parameter.requires_grad = self._param_requires_grad_state[parameter]
        self._param_requires_grad_state = {}

    @contextmanager
    def toggled_optimizer(self, optimizer: Any) -> Iterator[None]:
        """Within it only this optimizer's parameters require gradients."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    def clip_gradients(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of an optimizer's parameters.

        Args:
            optimizer: its parameters count.
            gradient_clip_val: the largest norm, or the largest absolute value; the Trainer's by default.
            gradient_clip_algorithm: ``"norm"`` or ``"value"``; the Trainer's, or ``"norm"``, by default.

        Raises:
            MisconfigurationException: other than what the Trainer was given, or no such algorithm.
            TypeError: the value is not a number.
        """
        from torchlift.clipping import clip_gradients

        if self.fabric is not None:
            by_value = gradient_clip_algorithm == GradClipAlgorithmType.VALUE
            kind = "clip_val" if by_value else "max_norm"
            self.fabric.clip_gradients(self, optimizer, **{kind: gradient_clip_val})
            return
        clip_gradients(self.trainer, optimizer, gradient_clip_val, gradient_clip_algorithm)


def _parameters(optimizer: Any) -> Iterator[nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]
