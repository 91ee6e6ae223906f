"""Average the weights of the last epochs, at a constant learning rate.

Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018,
https://arxiv.org/abs/1803.05407. Arguments, hooks and state are those of
https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.StochasticWeightAveraging.html
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import SWALR

from torchlift.callback import Callback
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torchlift.utilities.types import LRSchedulerConfig

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["StochasticWeightAveraging"]


class StochasticWeightAveraging(Callback):
    """From one epoch on, anneal the learning rate to a constant and average the weights found at each epoch's start.

    At the end the module gets the averaged weights. If it has batch normalisation, one more epoch passes over the
    training data without gradients, to find the statistics that belong to these weights.

    Args:
        swa_lrs: the learning rate to anneal to: one for all parameter groups, or a list of one for each.
        swa_epoch_start: the first epoch that counts, counted from 1; as a float its place among ``max_epochs``.
        annealing_epochs: how many epochs the annealing takes.
        annealing_strategy: "cos" or "linear".
        avg_fn: ``avg_fn(averaged parameter, current parameter, number averaged so far)`` gives the new average; the
            mean by default.
        device: where the average is kept; ``None`` is the module's device.

    Attributes:
        n_averaged: how many sets of weights are in the average (0-dim tensor); ``None`` before the first.

    Raises:
        MisconfigurationException: an argument cannot work; or, when fit begins, there is more than one optimizer or
            scheduler, or a float ``swa_epoch_start`` without a number of epochs to take it of.
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: Literal["cos", "linear"] = "cos",
        avg_fn: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
        device: torch.device | str | None = "cpu",
    ) -> None:
        _check(swa_lrs, swa_epoch_start, avg_fn, device)
        self._swa_lrs = swa_lrs
        self._swa_epoch_start = swa_epoch_start
        self._annealing_epochs = annealing_epochs
        self._annealing_strategy = annealing_strategy
        self._avg_fn = avg_fn or self.avg_fn
        self._device = device
        self.n_averaged: Tensor | None = None
        self.momenta: dict[_BatchNorm, float | None] = {}
        self._average_model: LightningModule | None = None
        self._swa_scheduler: SWALR | None = None
        self._latest_update_epoch = -1
        self._model_contains_batch_norm = False
        self._max_epochs = 0
        self._accumulate_grad_batches = 1
        self._initialized = False
        # From a checkpoint
        self._scheduler_state: dict[str, Any] | None = None
        self._init_n_averaged = 0

    @property
    def swa_start(self) -> int:
        """The first epoch that counts, from 0."""
        return max(int(self._swa_epoch_start) - 1, 0)

    @property
    def swa_end(self) -> int | float:
        """The last epoch that counts, from 0; infinite when training has no last epoch."""
        return float("inf") if self._max_epochs == -1 else self._max_epochs - 1

    # -- hooks --------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Now, while it is on the CPU: a copy on the accelerator would cost its memory.
        self._average_model = deepcopy(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if len(trainer.optimizers) != 1:
            raise MisconfigurationException("SWA currently works with 1 `optimizer`.")
        if len(trainer.lr_scheduler_configs) > 1:
            raise MisconfigurationException("SWA currently not supported for more than 1 `lr_scheduler`.")
        limit = trainer.fit_loop
        assert limit.max_epochs is not None
        if isinstance(self._swa_epoch_start, float):
            if limit.max_epochs == -1:
                raise MisconfigurationException(
                    "SWA with `swa_epoch_start` as a float is not supported when `max_epochs=-1`, because there is no"
                    " number of epochs to take a share of. Give `swa_epoch_start` as an integer."
                )
            self._swa_epoch_start = int(limit.max_epochs * self._swa_epoch_start)
        self._max_epochs = limit.max_epochs
        self._model_contains_batch_norm = self.pl_module_contains_batch_norm(pl_module)
        if self._model_contains_batch_norm and limit.max_epochs != -1:
            limit.max_epochs += 1  # for the statistics
        if self._scheduler_state is not None:
            # The checkpoint was written with our scheduler in place of the module's: its state is for ours.
            trainer.lr_scheduler_configs.clear()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        resuming, epoch = trainer.fit_loop.resuming, trainer.current_epoch
        if resuming is None or not resuming.is_inside_epoch() or self._scheduler_state is None:
            return
        # The epoch that is resumed in its middle does not begin again.
        if self.swa_start <= epoch <= self.swa_end + 1:
            self._begin(trainer, pl_module)
        if epoch == self.swa_end + 1:
            self._keep_momenta(pl_module)
            self._pass_data_through(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch
        if self.swa_start <= epoch <= self.swa_end:
            if not self._initialized:
                self._begin(trainer, pl_module)
            if epoch > self._latest_update_epoch:
                assert self._average_model is not None and self.n_averaged is not None
                self.update_parameters(self._average_model, pl_module, self.n_averaged, self._avg_fn)
                self._latest_update_epoch = epoch
        if epoch == self.swa_end + 1:
            self._begin_statistics(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.fit_loop._skip_backward = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        last_epoch = trainer.current_epoch - 1
        if self._model_contains_batch_norm and last_epoch == self.swa_end + 1:
            assert trainer.fit_loop.max_epochs is not None
            trainer.accumulate_grad_batches = self._accumulate_grad_batches
            trainer.fit_loop.max_epochs -= 1
            self.reset_momenta()
        elif self._average_model is not None and (last_epoch == self.swa_end or self._max_epochs == -1):
            self.transfer_weights(self._average_model, pl_module)

    # -- the phases ---------------------------------------------------------------------------------------------------

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put a scheduler that anneals to ``swa_lrs`` in the place of the module's."""
        self._initialized = True
        assert self._average_model is not None
        self._average_model.to(self._device or pl_module.device)
        optimizer = trainer.optimizers[0]
        if isinstance(self._swa_lrs, float):
            self._swa_lrs = [self._swa_lrs] * len(optimizer.param_groups)
        for lr, group in zip(self._swa_lrs, optimizer.param_groups):
            group["initial_lr"] = lr
        assert trainer.max_epochs is not None
        self._swa_scheduler = SWALR(
            optimizer,
            swa_lr=self._swa_lrs,  # type: ignore[arg-type]
            anneal_epochs=self._annealing_epochs,
            anneal_strategy=self._annealing_strategy,
            last_epoch=trainer.max_epochs if self._annealing_strategy == "cos" else -1,
        )
        if self._scheduler_state is not None:
            self._swa_scheduler.load_state_dict(self._scheduler_state)
        elif trainer.current_epoch != self.swa_start:
            rank_zero_warn(
                "SWA is initializing after swa_start without any checkpoint data: the average lacks the epochs before"
                " this one. The checkpoint was written without this callback."
            )
        self._swap_scheduler(trainer.lr_scheduler_configs)
        if self.n_averaged is None:
            self.n_averaged = torch.tensor(self._init_n_averaged, dtype=torch.long, device=pl_module.device)

    def _swap_scheduler(self, configs: list[LRSchedulerConfig]) -> None:
        assert self._swa_scheduler is not None
        ours = LRSchedulerConfig(self._swa_scheduler)
        if not configs:
            configs.append(ours)
            return
        theirs = configs[0]
        if theirs.interval != "epoch" or theirs.frequency != 1:
            rank_zero_warn(f"SWA is currently only supported every epoch. Found {theirs}")
        rank_zero_info(f"Swapping scheduler `{type(theirs.scheduler).__name__}` for `{type(ours.scheduler).__name__}`")
        configs[0] = ours

    def _begin_statistics(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The averaged weights, and an epoch without a backward pass to find their batch-norm statistics."""
        assert self._average_model is not None
        self.transfer_weights(self._average_model, pl_module)
        self.reset_batch_norm_and_save_state(pl_module)
        self._pass_data_through(trainer)

    def _pass_data_through(self, trainer: Trainer) -> None:
        """Let the epoch under way compute no gradients."""
        trainer.fit_loop._skip_backward = True
        self._accumulate_grad_batches = trainer.accumulate_grad_batches
        # No batch but the last completes an update.
        batches = trainer.num_training_batches
        trainer.accumulate_grad_batches = sys.maxsize if batches == float("inf") else int(batches) + 1

    # -- weights and statistics ---------------------------------------------------------------------------------------

    @staticmethod
    def pl_module_contains_batch_norm(pl_module: LightningModule) -> bool:
        """Whether there is a layer with running statistics."""
        return any(isinstance(module, _BatchNorm) for module in pl_module.modules())

    @staticmethod
    def avg_fn(averaged_model_parameter: Tensor, model_parameter: Tensor, num_averaged: Tensor) -> Tensor:
        """The mean, with one more value in it."""
        return averaged_model_parameter + (model_parameter - averaged_model_parameter) / (num_averaged + 1)

    @staticmethod
    def update_parameters(
        average_model: LightningModule,
        model: LightningModule,
        n_averaged: Tensor,
        avg_fn: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> None:
        """Take the model's parameters into the average, in place; ``n_averaged`` counts it."""
        for averaged, current in zip(average_model.parameters(), model.parameters()):
            average, new = averaged.detach(), current.detach().to(averaged.device)
            average.copy_(new if n_averaged == 0 else avg_fn(average, new, n_averaged.to(average.device)))
        n_averaged += 1

    @staticmethod
    def transfer_weights(src_pl_module: LightningModule, dst_pl_module: LightningModule) -> None:
        """Give one module the parameters of another."""
        for source, target in zip(src_pl_module.parameters(), dst_pl_module.parameters()):
            target.detach().copy_(source.to(target.device))

    def reset_batch_norm_and_save_state(self, pl_module: LightningModule) -> None:
        """Let the running statistics begin anew, as plain means over all batches; the momenta are kept."""
        self._keep_momenta(pl_module)
        for module in self.momenta:
            assert module.running_mean is not None and module.running_var is not None
            assert module.num_batches_tracked is not None
            module.running_mean = torch.zeros_like(module.running_mean, device=pl_module.device)
            module.running_var = torch.ones_like(module.running_var, device=pl_module.device)
            module.num_batches_tracked *= 0

    def _keep_momenta(self, pl_module: LightningModule) -> None:
        self.momenta = {one: one.momentum for one in pl_module.modules() if isinstance(one, _BatchNorm)}
        for module in self.momenta:
            module.momentum = None

    def reset_momenta(self) -> None:
        """Give the layers back the momenta that :meth:`reset_batch_norm_and_save_state` kept."""
        for module, momentum in self.momenta.items():
            module.momentum = momentum

    # -- state --------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "n_averaged": 0 if self.n_averaged is None else self.n_averaged.item(),
            "latest_update_epoch": self._latest_update_epoch,
            "scheduler_state": None if self._swa_scheduler is None else self._swa_scheduler.state_dict(),
            "average_model_state": None if self._average_model is None else self._average_model.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._init_n_averaged = state_dict["n_averaged"]
        self._latest_update_epoch = state_dict["latest_update_epoch"]
        self._scheduler_state = state_dict["scheduler_state"]
        if self._average_model is not None:
            self._average_model.load_state_dict(state_dict["average_model_state"])


def _check(swa_lrs: Any, swa_epoch_start: Any, avg_fn: Any, device: Any) -> None:
    too_early = isinstance(swa_epoch_start, int) and swa_epoch_start < 1
    if too_early or (isinstance(swa_epoch_start, float) and not 0 <= swa_epoch_start <= 1):
        raise MisconfigurationException(
            f"swa_epoch_start should be a >0 integer or a float between 0 and 1, not {swa_epoch_start}."
        )
    rates = swa_lrs if isinstance(swa_lrs, list) else [swa_lrs]
    if not all(isinstance(rate, float) and rate > 0 for rate in rates):
        raise MisconfigurationException(
            f"The `swa_lrs` should be a positive float, or a list of positive floats, not {swa_lrs}."
        )
    if avg_fn is not None and not callable(avg_fn):
        raise MisconfigurationException(f"The `avg_fn` should be callable, not {avg_fn!r}.")
    if device is not None and not isinstance(device, torch.device | str):
        raise MisconfigurationException(f"device is expected to be a torch.device or a str. Found {device}")
