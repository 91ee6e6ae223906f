"""Where the module runs, how processes work together, and what of a step a user's own strategy may change.

Names and the order of calls are Lightning's, so that a class derived from one of these works here. What nobody
overrides is not called in the loop: a run finds out at its start which of these methods are a user's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from torchlift.checkpoint_io import CheckpointIO, TorchCheckpointIO
from torchlift.optim import LightningOptimizer, configure, optimizers_to_device
from torchlift.precision import Precision
from torchlift.strategies._moments import Moments
from torchlift.utilities.apply import move_data_to_device
from torchlift.utilities.init import NoInitialization
from torchlift.utilities.types import LRSchedulerConfig

if TYPE_CHECKING:
    from torchlift.accelerators import Accelerator
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["Strategy"]


class Strategy(Moments, ABC):
    """Holds what a run trains and with what.

    Args:
        accelerator: the kind of hardware; the Trainer's by default.
        checkpoint_io: how checkpoints are written; the Trainer's by default.
        precision_plugin: the precision; the Trainer's by default.

    Attributes:
        lr_scheduler_configs: the schedulers, with the moments of their steps.
    """

    global_rank = 0
    local_rank = 0
    node_rank = 0
    world_size = 1
    num_nodes = 1
    launcher = None  # starts the other processes, where there are any

    def __init__(
        self,
        accelerator: "Accelerator | None" = None,
        checkpoint_io: CheckpointIO | None = None,
        precision_plugin: Precision | None = None,
    ) -> None:
        self._accelerator, self._checkpoint_io, self._precision_plugin = accelerator, checkpoint_io, precision_plugin
        self._lightning_module: LightningModule | None = None
        self._model: nn.Module | None = None
        self._optimizers: list[Optimizer] = []
        self._lightning_optimizers: list[LightningOptimizer] = []
        self.lr_scheduler_configs: list[LRSchedulerConfig] = []

    # -- what it holds ------------------------------------------------------------------------------------------------

    @property
    def accelerator(self) -> "Accelerator | None":
        return self._accelerator

    @accelerator.setter
    def accelerator(self, accelerator: "Accelerator") -> None:
        self._accelerator = accelerator

    @property
    def precision_plugin(self) -> Precision:
        return self._precision_plugin if self._precision_plugin is not None else Precision()

    @precision_plugin.setter
    def precision_plugin(self, precision_plugin: Precision | None) -> None:
        self._precision_plugin = precision_plugin

    @property
    def checkpoint_io(self) -> CheckpointIO:
        """How checkpoints are written; files of ``torch.save`` unless told otherwise."""
        if self._checkpoint_io is None:
            self._checkpoint_io = TorchCheckpointIO()
        return self._checkpoint_io

    @checkpoint_io.setter
    def checkpoint_io(self, io: CheckpointIO) -> None:
        self._checkpoint_io = io

    @property
    def lightning_module(self) -> "LightningModule | None":
        return self._lightning_module

    @property
    def model(self) -> nn.Module | None:
        """The module as it is called, perhaps wrapped."""
        return self._model if self._model is not None else self._lightning_module

    @model.setter
    def model(self, model: nn.Module | None) -> None:
        self._model = model

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers, bare."""
        return self._optimizers

    @optimizers.setter
    def optimizers(self, optimizers: list[Optimizer]) -> None:
        self._optimizers = optimizers
        self._lightning_optimizers = [self._wrapped(one) for one in optimizers]
        trainer = getattr(self._lightning_module, "_trainer", None)
        if trainer is not None:
            trainer._replaced = True

    def _wrapped(self, optimizer: Any) -> LightningOptimizer:
        """The optimizer as ``self.optimizers()`` gives it: its step is the run's."""
        if isinstance(optimizer, LightningOptimizer):
            return optimizer

        def step(bare: Any, closure: Any, **kwargs: Any) -> Any:
            module: Any = self._lightning_module
            return module._trainer._run.update(bare, closure, **kwargs)

        return LightningOptimizer(optimizer, step, self._lightning_module)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lightning_optimizers": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.optimizers = self._optimizers  # wrapped ones cannot be pickled

    # -- before and after a run ---------------------------------------------------------------------------------------

    def connect(self, model: "LightningModule") -> None:
        """Take the module of the next run."""
        self._lightning_module = model
        self.model = model

    def setup_environment(self) -> None:
        """Make the device ready, before any hook runs."""
        assert self.accelerator is not None
        self.accelerator.setup_device(self.root_device)

    def setup(self, trainer: "Trainer") -> None:
        """Bring the module to its dtype and device and, to train, make the optimizers."""
        assert self.accelerator is not None and self.model is not None
        self.accelerator.setup(trainer)
        self.model = self.precision_plugin.convert_module(self.model)
        self.model_to_device()
        self.model = self.wrap(self.model)
        if trainer.fitting:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()
        if trainer.fitting:
            optimizers_to_device(self.optimizers, self.root_device)

    def setup_optimizers(self, trainer: "Trainer") -> None:
        """Ask the module for its optimizers and schedulers."""
        assert self.lightning_module is not None
        self.optimizers, self.lr_scheduler_configs = configure(self.lightning_module)

    def setup_precision_plugin(self) -> None:
        """Show the precision what is trained."""
        assert self.model is not None
        connected = self.precision_plugin.connect(self.model, self.optimizers, self.lr_scheduler_configs)
        self.model, optimizers, self.lr_scheduler_configs = connected
        if optimizers is not self._optimizers:
            self.optimizers = optimizers

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as the loop calls it, for instance within DDP."""
        return module

    @abstractmethod
    def model_to_device(self) -> None:
        """Bring the module to this process's device."""

    def teardown(self) -> None:
        """The run is over: give the device's memory back."""
        optimizers_to_device(self.optimizers, torch.device("cpu"))
        if self.lightning_module is not None:
            self.lightning_module.cpu()
        self.precision_plugin.teardown()
        if self.accelerator is not None:
            self.accelerator.teardown()
        self.checkpoint_io.teardown()

    @contextmanager
    def tensor_init_context(self, empty_init: bool | None = None) -> Iterator[None]:
        """Within it, parameters are created on the run's device and in its precision.

        Args:
            empty_init: leave them uninitialized, for weights that are loaded anyway.
        """
        filled = NoInitialization() if empty_init else nullcontext()
        with filled, self.root_device, self.precision_plugin.tensor_init_context():
            yield

    @contextmanager
    def model_sharded_context(self) -> Iterator[None]:
        """Entered around ``configure_model``."""
        yield

    # -- a step -------------------------------------------------------------------------------------------------------

    def batch_to_device(self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0) -> Any:
        """Bring a batch to the device, through the module's hook."""
        device = device or self.root_device
        if self.lightning_module is None:
            return move_data_to_device(batch, device)
        return self.lightning_module.transfer_batch_to_device(batch, device, dataloader_idx)

    def process_dataloader(self, dataloader: Any) -> Any:
        """Each loader goes through here once."""
        return dataloader

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """The module's ``training_step`` in the precision's context."""
        with self.precision_plugin.train_step_context():
            return self.lightning_module.training_step(*args, **kwargs)  # type: ignore[union-attr]

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        with self.precision_plugin.val_step_context():
            return self.lightning_module.validation_step(*args, **kwargs)  # type: ignore[union-attr]

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        with self.precision_plugin.test_step_context():
            return self.lightning_module.test_step(*args, **kwargs)  # type: ignore[union-attr]

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        with self.precision_plugin.predict_step_context():
            return self.lightning_module.predict_step(*args, **kwargs)  # type: ignore[union-attr]

    def backward(self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any) -> Tensor:
        """Compute the gradients, with the hooks and the scaling around it; returns the loss without its graph.

        Args:
            closure_loss: the loss to differentiate.
            optimizer: the one whose step this is; ``None`` in manual optimization.
            args: go to ``Tensor.backward``.
            kwargs: go to ``Tensor.backward``.
        """
        module, precision = self.lightning_module, self.precision_plugin
        assert module is not None
        self.pre_backward(closure_loss)
        closure_loss = precision.pre_backward(closure_loss, module)
        precision.backward(closure_loss, module, optimizer, *args, **kwargs)
        closure_loss = precision.post_backward(closure_loss, module)
        self.post_backward(closure_loss)
        return closure_loss

    def optimizer_step(
        self, optimizer: Optimizer, closure: Callable[[], Any], model: Any | None = None, **kwargs: Any
    ) -> Any:
        """One update, by the precision: see ``Precision.optimizer_step``."""
        model = model if model is not None else self.lightning_module
        assert model is not None
        return self.precision_plugin.optimizer_step(optimizer, model=model, closure=closure, **kwargs)

    def no_sync(self, module: Any, enabled: bool = True) -> AbstractContextManager:
        """Within it, backward passes leave gradients as they are in each process."""
        return nullcontext()

    # -- processes ----------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def root_device(self) -> torch.device:
        """The device of this process."""

    @property
    @abstractmethod
    def is_global_zero(self) -> bool:
        """Whether this is the first process of all."""

    @abstractmethod
    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """One value of the values of all processes."""

    @abstractmethod
    def barrier(self, name: str | None = None) -> None:
        """Wait until all processes are here."""

    @abstractmethod
    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """The object that process `src` has."""

    @abstractmethod
    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """The values of all processes, stacked; the value itself in a single process."""

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """The same answer on every process: whether all of them said yes, or any of them."""
        return decision

    # -- checkpoints --------------------------------------------------------------------------------------------------

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Whether a checkpoint's weights are loaded after :meth:`setup`, not before it."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Whether the Trainer restores optimizers and schedulers; ``False`` leaves it to the strategy."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The weights, for a checkpoint."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """An optimizer's state, for a checkpoint."""
        bare: Any = getattr(optimizer, "_optimizer", optimizer)
        if hasattr(bare, "consolidate_state_dict"):  # sharded, as in torch's ZeroRedundancyOptimizer
            bare.consolidate_state_dict()
            return bare.state_dict() if self.is_global_zero else {}
        return bare.state_dict()

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take the weights of a checkpoint."""
        assert self.lightning_module is not None
        self.lightning_module.load_state_dict(checkpoint["state_dict"], strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take the optimizers' states of a checkpoint."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"]):
            optimizer.load_state_dict(state)
        optimizers_to_device(self.optimizers, self.root_device)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint, on the first process, so that a reader sees the old file or the new one."""
        if self.is_global_zero:
            self.checkpoint_io.save_checkpoint(checkpoint, filepath, storage_options=storage_options)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def remove_checkpoint(self, filepath: str | Path) -> None:
        """Delete a checkpoint, on the first process."""
        if self.is_global_zero:
            self.checkpoint_io.remove_checkpoint(filepath)
