"""Keep an average of the weights while they train, validate with it, and end with it.

Arguments, hooks and what a checkpoint holds are those of
https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.WeightAveraging.html
The averaging itself is torch's: https://docs.pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from torchlift.callback import Callback, ignores_outputs
from torchlift.hooks import is_overridden
from torchlift.module_hooks import ModelHooks
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["EMAWeightAveraging", "WeightAveraging"]

_PREFIX = "module."  # before the names of the module's own values in the state of an AveragedModel


class WeightAveraging(Callback):
    """Average the module's weights in a ``torch.optim.swa_utils.AveragedModel``.

    Validation runs with the average, and when training ends the module gets it. Checkpoints hold the average as
    ``state_dict``, so that they are used like any other, and the weights in training as ``current_model_state``.

    Args:
        device: where the average is kept; the module's device by default.
        use_buffers: average buffers too; otherwise the average keeps those of the module at the start.
        **kwargs: for ``AveragedModel``: ``avg_fn`` or ``multi_avg_fn``. The mean by default.
    """

    def __init__(self, device: torch.device | str | int | None = None, use_buffers: bool = True, **kwargs: Any) -> None:
        self._device = torch.device(device) if isinstance(device, str) else device
        self._use_buffers = use_buffers
        self._kwargs = kwargs
        self._average_model: AveragedModel | None = None
        self._latest_update_step = 0  # how many steps the optimizer had taken, so that no step counts twice
        self._latest_update_epoch = -1

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the weights of this moment go into the average. Override it to choose; every step by default.

        Args:
            step_idx: the index of the optimizer's step that was just taken, or
            epoch_idx: the index of the epoch that just ended.
        """
        return step_idx is not None

    # -- hooks --------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if is_overridden("configure_model", pl_module, ModelHooks):
            rank_zero_warn(
                "You're using the WeightAveraging callback with a model that overrides the configure_model hook. The"
                " hook is called now, outside the strategy, because the average needs all layers: a model that is to be"
                " split between devices may not fit."
            )
            pl_module.configure_model()
        device = self._device or pl_module.device
        self._average_model = AveragedModel(pl_module, device=device, use_buffers=self._use_buffers, **self._kwargs)

    @ignores_outputs
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        steps = trainer.global_step
        if steps > self._latest_update_step and self.should_update(step_idx=steps - 1):
            assert self._average_model is not None
            self._average_model.update_parameters(pl_module)
            self._latest_update_step = steps

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch
        if epoch > self._latest_update_epoch and self.should_update(epoch_idx=epoch):
            assert self._average_model is not None
            self._average_model.update_parameters(pl_module)
            self._latest_update_epoch = epoch

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._average_model is not None:
            self._swap_models(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._average_model is not None:
            self._swap_models(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._copy_average_to_current(pl_module)

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"latest_update_step": self._latest_update_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._latest_update_step = state_dict["latest_update_step"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._average_model is None:
            rank_zero_info(
                "You're using the WeightAveraging callback, but saving a checkpoint outside the 'fit' stage: it holds"
                " the module's weights, which are the average once training has ended, and no state of the averaging."
            )
            return
        average = self._average_model.state_dict()
        checkpoint["current_model_state"] = checkpoint["state_dict"]
        checkpoint["state_dict"] = {
            name.removeprefix(_PREFIX): value for name, value in average.items() if name.startswith(_PREFIX)
        }
        checkpoint["averaging_state"] = {name: value for name, value in average.items() if not name.startswith(_PREFIX)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._average_model is None:
            rank_zero_warn(
                "You're using the WeightAveraging callback, but loading a checkpoint outside the 'fit' stage: the"
                " module gets the averaged weights, which is what testing and predicting want, and the state of the"
                " averaging is not restored. Remove the callback to silence this warning."
            )
        elif "current_model_state" in checkpoint and "averaging_state" in checkpoint:
            rank_zero_info("Found current_model_state in the checkpoint. This will be used to initialize the model.")
            average = {_PREFIX + name: value for name, value in checkpoint["state_dict"].items()}
            self._average_model.load_state_dict(average | checkpoint["averaging_state"])
            # The module was given `state_dict`, which is the average.
            pl_module.load_state_dict(checkpoint["current_model_state"])
        else:
            rank_zero_warn(
                "The checkpoint was not created with WeightAveraging. Both the current and the average model will be"
                " initialized with state_dict."
            )
            self._average_model.module.load_state_dict(deepcopy(checkpoint["state_dict"]), strict=False)

    # -- weights ------------------------------------------------------------------------------------------------------

    def _pairs(self, pl_module: LightningModule) -> Iterator[tuple[Tensor, Tensor]]:
        """Each value of the average with that of the module."""
        assert self._average_model is not None
        average = self._average_model.module
        yield from zip(
            chain(average.parameters(), average.buffers()), chain(pl_module.parameters(), pl_module.buffers())
        )

    def _swap_models(self, pl_module: LightningModule) -> None:
        for average, current in self._pairs(pl_module):
            kept = average.data.clone()
            average.data.copy_(current.data)
            current.data.copy_(kept)

    def _copy_average_to_current(self, pl_module: LightningModule) -> None:
        for average, current in self._pairs(pl_module):
            current.data.copy_(average.data)


class EMAWeightAveraging(WeightAveraging):
    """Keep an exponential moving average: ``decay * average + (1 - decay) * current`` at each update.

    Args:
        device: where the average is kept; the module's device by default.
        use_buffers: average buffers too.
        decay: the weight of what was there before.
        update_every_n_steps: update after every so many steps of the optimizer.
        update_starting_at_step: not before the step of this index.
        update_starting_at_epoch: update at the end of epochs too, from this one on.
        **kwargs: for ``AveragedModel``.
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(device=device, use_buffers=use_buffers, **kwargs, avg_fn=get_ema_avg_fn(decay=decay))
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        if step_idx is not None:
            has_begun = self.update_starting_at_step is None or step_idx >= self.update_starting_at_step
            if has_begun and self.update_every_n_steps > 0 and step_idx % self.update_every_n_steps == 0:
                return True
        first = self.update_starting_at_epoch
        return epoch_idx is not None and first is not None and epoch_idx >= first
