"""One training batch. Read ``plain_step`` first: it is what almost every run does.

The order is Lightning's: ``training_step``, then gradients are cleared, then ``backward``, then clipping and the update
(https://lightning.ai/docs/pytorch/stable/common/lightning_module.html#hooks).
"""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor, is_grad_enabled, set_grad_enabled
from torch._C._autograd import _profiler_enabled
from torch.optim import Optimizer

from torchlift.hooks import is_overridden
from torchlift.precision import Precision
from torchlift.profiling import timed
from torchlift.run import Run, accepts_plain_step
from torchlift.strategies import Strategy
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import warn_once

_TORCHS_ZERO_GRAD = Optimizer.zero_grad

Step = Callable[[Run, Any, int], dict[str, Any]]


def choose_step(run: Run) -> None:
    """The form of step that this module, its optimizer and those who listen need, decided at the start of an epoch."""
    step = _form_of_step(run)
    step = watched(step) if run.trainer._detect_anomaly else step
    run.step = timed(run.trainer, "run_training_batch", step)


def watched(step: Step) -> Step:
    """The step, with the batch named where torch's anomaly detection finds a NaN, and an error where it cannot."""

    def watched_step(run: Run, batch: Any, batch_idx: int) -> dict[str, Any]:
        where = f"epoch {run.trainer.current_epoch}, batch {batch_idx}"
        run.hooks.reads_outputs = True
        try:
            outputs = step(run, batch, batch_idx)
        except RuntimeError as error:
            error.add_note(f"This was in {where}; `Trainer(detect_anomaly=True)` made torch look.")
            raise
        loss = outputs.get("loss")
        if isinstance(loss, Tensor) and loss.isnan().any():
            raise RuntimeError(
                f"`training_step` returned a loss of nan in {where}, though no gradient of it is nan. Look for what is"
                " added to the loss."
            )
        return outputs

    return watched_step


def _form_of_step(run: Run) -> Step:
    hooks, optimizers = run.hooks, run.trainer.optimizers
    run.optimizer = optimizers[0] if optimizers else None
    if not run.automatic:
        return manual_step
    assert run.optimizer is not None
    if run.fit._skip_backward:
        return forward_step
    if run.own_optimizer_step or run.strategy_step or not accepts_plain_step(run.optimizer):
        return closure_step
    listens = hooks.on_before_zero_grad or hooks.on_before_backward or hooks.on_after_backward
    if listens or hooks.on_before_optimizer_step or run.own_zero_grad or run.own_clipping:
        return hooked_step
    if run.own_backward or run.strategy_backward:
        return hooked_step
    run.clear_gradients = choose_clearing(run.optimizer)
    return plain_step


def choose_clearing(optimizer: Optimizer) -> Callable[[Optimizer], None]:
    """``zero_grad``; where that is torch's own, the same without its range in a profile.

    The range is opened whether somebody profiles or not, and costs twenty times what clearing the gradients does.
    """
    is_torchs = getattr(optimizer.zero_grad, "__func__", None) is _TORCHS_ZERO_GRAD
    return _clear_gradients if is_torchs else methodcaller("zero_grad")


def _clear_gradients(optimizer: Optimizer) -> None:
    if _profiler_enabled():
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def decide(run: Run) -> None:
    """Find out what of a step a strategy or precision of the user's own does; the rest goes the short way."""
    strategy, precision = run.trainer.strategy, run.precision

    def is_own(name: str) -> bool:
        return is_overridden(name, strategy, Strategy) or is_overridden(name, precision, Precision)

    run.update, run.before_update = partial(wrapped_step, run), partial(_before_update, run)
    if not run.automatic:
        run.update = timed(run.trainer, "optimizer_step", run.update)
    if precision.scaler is not None or is_own("optimizer_step"):
        run.strategy_step = strategy.optimizer_step
    if any(is_own(name) for name in ("pre_backward", "backward", "post_backward")):
        run.strategy_backward = strategy.backward
    if any(is_own(name) for name in ("clip_gradients", "clip_grad_by_value", "clip_grad_by_norm", "main_params")):
        run.strategy_clipping = run.own_clipping = run.module.configure_gradient_clipping


def plain_step(run: Run, batch: Any, batch_idx: int) -> dict[str, Any]:
    """Loss, gradients, update: the loop of a plain script, where nobody listens in between."""
    logged, optimizer, fit, trainer = run.logged, run.optimizer, run.fit, run.trainer
    every = trainer.accumulate_grad_batches
    if not is_grad_enabled():
        set_grad_enabled(True)  # somebody forgot to
    logged.fx = "training_step"
    output = run.training_step(batch, batch_idx)  # type: ignore[misc]
    loss = output if type(output) is Tensor and every == 1 else loss_of(output, every)
    outputs = outputs_of(output, loss) if run.hooks.reads_outputs else {}
    logged.fx = "optimizer_step"
    if every == 1 or batch_idx % every == 0:
        run.clear_gradients(optimizer)  # type: ignore[misc, arg-type]
        fit.zero_grads.total += 1
    if loss is not None:
        logged.fx = "backward"
        loss.backward()
        logged.fx = "optimizer_step"
    if every == 1 or not fit.accumulates(every):
        if trainer.gradient_clip_val:
            clip(run, optimizer)  # type: ignore[arg-type]
        optimizer.step()  # type: ignore[union-attr]
        fit.steps.total += 1
    logged.fx = None
    return outputs


def hooked_step(run: Run, batch: Any, batch_idx: int) -> dict[str, Any]:
    """As ``plain_step``, with the hooks that somebody overrides."""
    hooks, fit, optimizer, every = run.hooks, run.fit, run.optimizer, run.trainer.accumulate_grad_batches
    assert run.training_step is not None and optimizer is not None
    if not is_grad_enabled():
        set_grad_enabled(True)
    run.logged.fx = "training_step"
    output = run.training_step(batch, batch_idx)
    loss = loss_of(output, every, apart=True)
    outputs = outputs_of(output, loss)
    run.logged.fx = "optimizer_step"
    if batch_idx % every == 0:
        zero_grad(run, optimizer, batch_idx)
    if loss is not None:
        backward(run, loss)
    if every == 1 or not fit.accumulates(every):
        if hooks.on_before_optimizer_step:
            hooks.on_before_optimizer_step(optimizer)
        if run.own_clipping or run.trainer.gradient_clip_val:
            clip(run, optimizer)
        optimizer.step()
        fit.steps.total += 1
    run.logged.fx = None
    return outputs


def closure_step(run: Run, batch: Any, batch_idx: int) -> dict[str, Any]:
    """As ``plain_step``, but loss and gradients are computed inside a closure that the optimizer calls.

    For an overridden ``optimizer_step``, for optimizers that call the closure more than once or not at all, and for
    gradient scaling.
    """
    trainer, fit, optimizer, every = run.trainer, run.fit, run.optimizer, run.trainer.accumulate_grad_batches
    assert run.training_step is not None and optimizer is not None
    outputs: dict[str, Any] | None = None

    @torch.enable_grad()  # an optimizer may have turned gradients off around its step
    def closure() -> Tensor | None:
        nonlocal outputs
        outer, run.logged.fx = run.logged.fx, "training_step"
        assert run.training_step is not None and optimizer is not None
        output = run.training_step(batch, batch_idx)
        loss = loss_of(output, every, apart=True)
        outputs = outputs_of(output, loss)
        run.logged.fx = outer
        if batch_idx % every == 0:
            zero_grad(run, optimizer, batch_idx)
        if loss is not None:
            backward(run, loss)
        return outputs.get("loss")

    if every > 1 and fit.accumulates(every):
        with trainer.strategy.no_sync(trainer.model):
            closure()
        assert outputs is not None
        return outputs
    run.logged.fx = "optimizer_step"
    optimizer_step = run.own_optimizer_step or run.module.optimizer_step
    optimizer_step(trainer.current_epoch, batch_idx, trainer._wrapped_optimizers[0], closure)
    if outputs is None:
        raise MisconfigurationException(
            "The closure hasn't been executed: call `optimizer_closure()` in your `optimizer_step` hook, or hand it to"
            " `optimizer.step(optimizer_closure)`, whose optimizer then has to call it."
        )
    run.logged.fx = None
    fit.steps.total += 1
    return outputs


def forward_step(run: Run, batch: Any, batch_idx: int) -> dict[str, Any]:
    """``training_step`` alone, without clearing or computing gradients, for an epoch that only looks at the data.

    The accumulated batches still end in a step of the optimizer, with the gradients that are there, as in Lightning.
    """
    trainer, every = run.trainer, run.trainer.accumulate_grad_batches
    outputs: dict[str, Any] = {}

    def closure() -> Tensor | None:
        nonlocal outputs
        outer, run.logged.fx = run.logged.fx, "training_step"
        assert run.training_step is not None
        output = run.training_step(batch, batch_idx)
        outputs = outputs_of(output, loss_of(output, every))
        run.logged.fx = outer
        return outputs.get("loss")

    if run.fit.accumulates(every):
        closure()
        return outputs
    run.logged.fx = "optimizer_step"
    optimizer_step = run.own_optimizer_step or run.module.optimizer_step
    optimizer_step(trainer.current_epoch, batch_idx, trainer._wrapped_optimizers[0], closure)
    run.logged.fx = None
    run.fit.steps.total += 1
    return outputs


def manual_step(run: Run, batch: Any, batch_idx: int) -> dict[str, Any]:
    """``training_step`` does it all, through ``self.optimizers()`` and ``self.manual_backward``."""
    assert run.training_step is not None
    run.in_training_step, run.logged.fx = True, "training_step"
    output = None
    with contextlib.suppress(StopIteration):  # ends this step alone, and not the epoch, as in Lightning
        output = run.training_step(batch, batch_idx)
    run.in_training_step, run.logged.fx = False, None
    if output is None:
        return {}
    if isinstance(output, Tensor):
        return {"loss": output.detach()}
    if isinstance(output, Mapping):
        outputs = dict(output)
        if "loss" in outputs:
            outputs["loss"] = outputs["loss"].detach()
        return outputs
    raise MisconfigurationException(
        "In manual optimization, `training_step` must either return a Tensor or have no return."
        f" Yours returned `{type(output).__name__}`."
    )


def loss_of(output: Any, every: int, apart: bool = False) -> Tensor | None:
    """The loss to differentiate, divided by the number of accumulated batches; ``None`` leaves the batch out.

    Args:
        output: what ``training_step`` returned.
        every: the number of accumulated batches.
        apart: a tensor of its own, so that hooks that change one of them in place leave the other alone.

    Raises:
        MisconfigurationException: `output` is no tensor, no mapping with ``"loss"``, and not ``None``.
    """
    if isinstance(output, Tensor):
        loss = output
    elif isinstance(output, Mapping):
        if output.get("loss") is None:
            raise MisconfigurationException(
                "In automatic_optimization, when `training_step` returns a dict, the 'loss' key needs to be present"
            )
        loss = output["loss"]
    elif output is None:
        warn_once("`training_step` returned `None`. If this was on purpose, ignore this warning...")
        return None
    else:
        raise MisconfigurationException(
            "In automatic optimization, `training_step` must return a Tensor, a dict, or None (where the step will be"
            f" skipped). Yours returned `{type(output).__name__}`."
        )
    return loss / every if every > 1 or apart else loss


def outputs_of(output: Any, loss: Tensor | None) -> dict[str, Any]:
    """What ``on_train_batch_end`` gets: the loss that was differentiated, and what else `output` holds."""
    if loss is None:
        return {}
    # A copy: whoever changes the loss in place later must not change what was reported.
    outputs: dict[str, Any] = {"loss": loss.detach().clone()}
    if isinstance(output, Mapping):
        outputs.update((key, value) for key, value in output.items() if key != "loss")
    return outputs


def zero_grad(run: Run, optimizer: Optimizer, batch_idx: int) -> None:
    """Clear the gradients, with the hook before it."""
    if run.hooks.on_before_zero_grad:
        run.hooks.on_before_zero_grad(optimizer)
    if run.own_zero_grad:
        outer, run.logged.fx = run.logged.fx, "optimizer_zero_grad"
        run.own_zero_grad(run.trainer.current_epoch, batch_idx, optimizer)
        run.logged.fx = outer
    else:
        optimizer.zero_grad()
    run.fit.zero_grads.total += 1


def backward(run: Run, loss: Tensor, *args: Any, **kwargs: Any) -> None:
    """Compute the gradients, scaled if the precision wants it, with the hooks around it."""
    outer, hooks = run.logged.fx, run.hooks
    if run.automatic:
        run.logged.fx = "backward"
    if run.strategy_backward is not None:
        run.strategy_backward(loss, run.optimizer if run.automatic else None, *args, **kwargs)
        run.logged.fx = outer
        return
    if run.precision.scaler is not None:
        loss = run.precision.scaler.scale(loss)
    if hooks.on_before_backward:
        hooks.on_before_backward(loss)
    if run.own_backward:
        run.own_backward(loss, *args, **kwargs)
    else:
        loss.backward(*args, **kwargs)
    if hooks.on_after_backward:
        hooks.on_after_backward()
    run.logged.fx = outer


def clip(run: Run, optimizer: Optimizer) -> None:
    """Hand the gradients to the module's ``configure_gradient_clipping``."""
    trainer = run.trainer
    outer, run.logged.fx = run.logged.fx, "configure_gradient_clipping"
    configure = run.own_clipping or run.module.configure_gradient_clipping
    configure(
        optimizer,
        gradient_clip_val=trainer.gradient_clip_val,
        gradient_clip_algorithm=trainer.gradient_clip_algorithm,
    )
    run.logged.fx = outer


def wrapped_step(run: Run, optimizer: Optimizer, closure: Callable[[], Any] | None, **kwargs: Any) -> Any:
    """What ``LightningOptimizer.step`` does: the closure, the hooks, clipping, the update."""
    if run.strategy_step is not None:
        result = run.strategy_step(optimizer, closure or _nothing, model=run.module, **kwargs)
    elif closure is None and accepts_plain_step(optimizer):
        _before_update(run, optimizer)
        result = optimizer.step(**kwargs)
    else:

        def whole() -> Any:
            loss = closure() if closure is not None else None
            _before_update(run, optimizer)
            return loss

        result = optimizer.step(closure=whole, **kwargs)
    if run.in_training_step:
        run.fit.manual_steps.total += 1
        run.fit.gradients_wait = False
    return result


def _before_update(run: Run, optimizer: Optimizer) -> None:
    """What happens between the gradients and the update."""
    if run.hooks.on_before_optimizer_step:
        run.hooks.on_before_optimizer_step(optimizer)
    if run.automatic and (run.own_clipping or run.trainer.gradient_clip_val):
        clip(run, optimizer)


def _nothing() -> None:
    """The closure of a step that was given none."""
