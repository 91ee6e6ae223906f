"""The hooks that a LightningModule can override, each doing what happens when nobody does.

Names, arguments and order: https://lightning.ai/docs/pytorch/stable/common/lightning_module.html#hooks
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchlift.utilities.apply import move_data_to_device
from torchlift.utilities.types import STEP_OUTPUT

if TYPE_CHECKING:
    from torchlift.trainer import Trainer


class DataHooks:
    """What a module and a data module have in common: making loaders and moving batches."""

    prepare_data_per_node: bool = True
    allow_zero_length_dataloader_with_multiple_devices: bool = False

    def prepare_data(self) -> None:
        """Download or tokenise, on one process only; assign nothing here, other processes would not see it."""

    def setup(self, stage: str) -> None:
        """The call of fit, validate, test or predict (`stage`) begins."""

    def teardown(self, stage: str) -> None:
        """The call ends."""

    def train_dataloader(self) -> Any:
        """The batches to train on: an iterable, or a collection of iterables."""
        raise _missing(self, "train_dataloader")

    def val_dataloader(self) -> Any:
        """The batches to validate on."""
        raise _missing(self, "val_dataloader")

    def test_dataloader(self) -> Any:
        """The batches to test on."""
        raise _missing(self, "test_dataloader")

    def predict_dataloader(self) -> Any:
        """The batches to predict on."""
        raise _missing(self, "predict_dataloader")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before it goes to the device."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch to the device; override it for types of your own."""
        return move_data_to_device(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch once it is on the device."""
        return batch


def _missing(holder: object, name: str) -> Exception:
    from torchlift.utilities.exceptions import MisconfigurationException

    return MisconfigurationException(f"`{name}` must be implemented to be used with the Lightning Trainer")


class ModelHooks:
    """The moments of a run."""

    if TYPE_CHECKING:  # not at run time: TorchScript would read them as the types of attributes
        trainer: "Trainer"

    def on_fit_start(self) -> None:
        """Once, at the start of fit, after the module has moved to its device."""

    def on_fit_end(self) -> None:
        """Once, at the end of fit."""

    def on_train_start(self) -> None:
        """Once, after the sanity check, before the first epoch."""

    def on_train_end(self) -> None:
        """Once, after the last epoch."""

    def on_validation_start(self) -> None: ...
    def on_validation_end(self) -> None: ...
    def on_test_start(self) -> None: ...
    def on_test_end(self) -> None: ...
    def on_predict_start(self) -> None: ...
    def on_predict_end(self) -> None: ...

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """Before a training batch. Return -1 to leave out the rest of the epoch."""
        return None

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int) -> None:
        """After a training batch; `outputs` has the detached loss under ``"loss"``."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...
    def on_validation_batch_end(
        self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None: ...
    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...
    def on_test_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...
    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...
    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...

    def on_validation_model_zero_grad(self) -> None:
        """Before validation inside fit: gradients are cleared, for their memory."""
        self.zero_grad()  # type: ignore[attr-defined]

    def on_validation_model_eval(self) -> None:
        """Before validation: evaluation mode."""
        self.trainer.model.eval()

    def on_validation_model_train(self) -> None:
        """After validation. Not overridden, each submodule gets back the mode it had."""
        self.trainer.model.train()

    def on_test_model_eval(self) -> None:
        """Before testing: evaluation mode."""
        self.trainer.model.eval()

    def on_test_model_train(self) -> None:
        """After testing. Not overridden, each submodule gets back the mode it had."""
        self.trainer.model.train()

    def on_predict_model_eval(self) -> None:
        """Before predicting: evaluation mode."""
        self.trainer.model.eval()

    def on_train_epoch_start(self) -> None: ...

    def on_train_epoch_end(self) -> None:
        """After the last batch of an epoch and the validation that follows it."""

    def on_validation_epoch_start(self) -> None: ...
    def on_validation_epoch_end(self) -> None: ...
    def on_test_epoch_start(self) -> None: ...
    def on_test_epoch_end(self) -> None: ...
    def on_predict_epoch_start(self) -> None: ...
    def on_predict_epoch_end(self) -> None: ...

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """After ``training_step``, before gradients are cleared."""

    def on_before_backward(self, loss: Tensor) -> None:
        """Before ``loss.backward()``."""

    def on_after_backward(self) -> None:
        """After ``loss.backward()``, before the optimizer's step."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Before clipping and the optimizer's step; gradients are unscaled."""

    def configure_sharded_model(self) -> None:
        """Replaced by :meth:`configure_model`."""

    def configure_model(self) -> None:
        """Create submodules here when they are too large to be created twice. Called for every entry point."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint was read and is about to be restored."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint is about to be written; it may be added to."""
