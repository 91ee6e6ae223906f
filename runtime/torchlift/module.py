"""LightningModule: a ``torch.nn.Module`` that says how it is trained."""

import sys
import weakref
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim import Optimizer

from torchlift.data_hooks import DATA_HOOKS
from torchlift.hooks import TABLED
from torchlift.hparams import HyperparametersMixin
from torchlift.module_export import ExportMethods
from torchlift.module_hooks import DataHooks, ModelHooks
from torchlift.module_logging import LoggingMethods
from torchlift.module_optimization import OptimizationMethods
from torchlift.placed import PlacedModule
from torchlift.utilities.classmethods import only_on_the_class
from torchlift.utilities.rank_zero import rank_zero_warn
from torchlift.utilities.types import STEP_OUTPUT

if TYPE_CHECKING:
    from typing import Self

    from torchlift.trainer import Trainer


LOOKED_UP = frozenset(
    {
        *TABLED,
        *DATA_HOOKS,
        "training_step",
        "backward",
        "optimizer_step",
        "optimizer_zero_grad",
        "configure_gradient_clipping",
        "lr_scheduler_step",
        "automatic_optimization",
    }
)
"""What the training loop looks up once and not at every step."""


class LightningModule(
    LoggingMethods,
    OptimizationMethods,
    ExportMethods,
    PlacedModule,
    HyperparametersMixin,
    ModelHooks,
    DataHooks,
    nn.Module,
):
    """Override ``training_step`` and ``configure_optimizers`` at least, and hand an instance to ``Trainer.fit``."""

    CHECKPOINT_HYPER_PARAMS_KEY = "hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "hparams_type"

    __jit_unused_properties__ = [
        "automatic_optimization",
        "current_epoch",
        "device",
        "device_mesh",
        "dtype",
        "example_input_array",
        "fabric",
        "global_rank",
        "global_step",
        "hparams",
        "hparams_initial",
        "local_rank",
        "logger",
        "loggers",
        "on_gpu",
        "strict_loading",
        "trainer",
    ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trainer: Trainer | None = None
        self._example_input_array: Tensor | tuple | dict | None = None
        self._automatic_optimization = True
        self._strict_loading: bool | None = None
        self._log_hyperparams = False
        self._param_requires_grad_state: dict[nn.Parameter, bool] = {}
        self._logged_metric_names: dict[int, str] | None = None
        self._compiler_ctx: dict[str, Any] | None = None  # see torchlift.utilities.compile
        self._fabric: Any | None = None
        self._fabric_optimizers: list[Any] = []
        self._device_mesh: Any | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in LOOKED_UP:
            self._method_replaced()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in LOOKED_UP:
            self._method_replaced()

    def _method_replaced(self) -> None:
        """Tell a run under way to look its methods up again: ``self.training_step = self.other`` holds at once."""
        trainer = self.__dict__.get("_trainer")
        if trainer is not None:
            trainer._replaced = True

    # -- what to override ---------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes; for inference mostly."""
        return super().forward(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """Compute the loss of one batch: ``training_step(self, batch, batch_idx)``.

        Returns:
            The loss; or a dictionary with it under ``"loss"``; or ``None`` to leave this batch out.
        """
        rank_zero_warn("`training_step` must be implemented to be used with the Lightning Trainer")
        return None

    def validation_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """Evaluate one batch: ``validation_step(self, batch, batch_idx, dataloader_idx=0)``."""
        return None

    def test_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """Test on one batch: ``test_step(self, batch, batch_idx, dataloader_idx=0)``."""
        return None

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        """Predict one batch; calls ``forward`` with it unless overridden."""
        return self(kwargs.get("batch", args[0]))

    def configure_callbacks(self) -> Any:
        """Callbacks of the module's own; one of a type that the Trainer has too replaces the Trainer's."""
        return []

    def configure_optimizers(self) -> Any:
        """The optimizers and schedulers, in one of the documented forms.

        https://lightning.ai/docs/pytorch/stable/common/lightning_module.html#configure-optimizers
        """
        rank_zero_warn("`configure_optimizers` must be implemented to be used with the Lightning Trainer")

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradients of `loss`, which is already divided by the number of accumulated batches."""
        loss.backward(*args, **kwargs)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Update the parameters. The closure runs ``training_step``, clears gradients and runs ``backward``."""
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clear the gradients."""
        optimizer.zero_grad()

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients; the arguments are the Trainer's."""
        self.clip_gradients(
            optimizer, gradient_clip_val=gradient_clip_val, gradient_clip_algorithm=gradient_clip_algorithm
        )

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step a scheduler; `metric` is its monitor's value, for ``ReduceLROnPlateau``."""
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric)

    @property
    def automatic_optimization(self) -> bool:
        """Whether the loop runs backward and the optimizer's step, or ``training_step`` itself does."""
        return self._automatic_optimization

    @automatic_optimization.setter
    def automatic_optimization(self, automatic_optimization: bool) -> None:
        self._automatic_optimization = automatic_optimization

    # -- where it is and what it belongs to ---------------------------------------------------------------------------

    @property
    def trainer(self) -> Any:
        """The Trainer that runs this module.

        Raises:
            RuntimeError: none does.
        """
        if self._fabric is not None:
            return _FabricTrainer(self._fabric)
        if self._trainer is None and not _torchscript_asks():
            raise RuntimeError(f"{type(self).__qualname__} is not attached to a `Trainer`.")
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: "Trainer | None") -> None:
        for child in self.children():
            if isinstance(child, LightningModule):
                child.trainer = trainer
        self._trainer = trainer

    @property
    def fabric(self) -> Any | None:
        """The Fabric that this module was set up with, or ``None``."""
        return self._fabric

    @fabric.setter
    def fabric(self, fabric: Any | None) -> None:
        for child in self.children():
            if isinstance(child, LightningModule):
                child.fabric = fabric
        held = fabric is None or isinstance(fabric, weakref.ProxyTypes)
        self._fabric = fabric if held else weakref.proxy(fabric)

    @property
    def device_mesh(self) -> Any | None:
        """The mesh of devices over which the strategy spreads the module; ``None`` on a single device."""
        return self._device_mesh

    @property
    def example_input_array(self) -> Any:
        """An example of what ``forward`` takes: one tensor, a tuple of arguments or a dict of keyword arguments."""
        return self._example_input_array

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        self._example_input_array = example

    @property
    def current_epoch(self) -> int:
        """The number of the epoch, from 0; 0 without a Trainer."""
        return self._trainer.current_epoch if self._trainer else 0

    @property
    def global_step(self) -> int:
        """How many optimizer steps were taken; 0 without a Trainer."""
        return self._trainer.global_step if self._trainer else 0

    @property
    def global_rank(self) -> int:
        """This process's number among all."""
        return self._trainer.global_rank if self._trainer else 0

    @property
    def local_rank(self) -> int:
        """This process's number on its machine."""
        return self._trainer.local_rank if self._trainer else 0

    @property
    def logger(self) -> Any:
        """The Trainer's first logger, or ``None``."""
        owner = self._fabric if self._fabric is not None else self._trainer
        return owner.logger if owner is not None else None

    @property
    def loggers(self) -> list[Any]:
        """The Trainer's loggers."""
        owner = self._fabric if self._fabric is not None else self._trainer
        return owner.loggers if owner is not None else []

    @property
    def strict_loading(self) -> bool:
        """Whether a checkpoint must have exactly this module's keys."""
        return self._strict_loading in (None, True)

    @strict_loading.setter
    def strict_loading(self, strict_loading: bool) -> None:
        self._strict_loading = strict_loading

    def all_gather(self, data: Any, group: Any | None = None, sync_grads: bool = False) -> Any:
        """The tensors of all processes, stacked along a new first dimension; those of `data` in a single process.

        Args:
            data: tensors and numbers, in any collections; numbers become tensors.
            group: the processes to gather from; all by default.
            sync_grads: let gradients flow back to the processes that the values came from.
        """
        from torchlift.utilities.apply import apply_to_leaves, numbers_to_tensors

        all_gather = self.trainer.strategy.all_gather

        def gather(value: Tensor) -> Any:
            return all_gather(value, group=group, sync_grads=sync_grads)

        data = numbers_to_tensors(data, self.device)
        return apply_to_leaves(data, lambda value: isinstance(value, Tensor), gather)

    def freeze(self) -> "Self":
        """No parameter requires gradients any more, and evaluation mode is on."""
        for parameter in self.parameters():
            parameter.requires_grad = False
        return self.eval()

    def unfreeze(self) -> "Self":
        """Every parameter requires gradients, and training mode is on."""
        for parameter in self.parameters():
            parameter.requires_grad = True
        return self.train()

    @only_on_the_class
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any | IO,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> "Self":
        """Make an instance from a checkpoint: its hyperparameters go to ``__init__``, then its weights are loaded.

        Args:
            checkpoint_path: a path or an open file.
            map_location: where to put the tensors, as in ``torch.load``.
            hparams_file: a ``.yaml`` or ``.csv`` file with hyperparameters to use instead.
            strict: whether the checkpoint must have exactly the module's keys.
            weights_only: ``False`` lets the checkpoint hold any object, which can run code.
            kwargs: replace single hyperparameters.
        """
        from torchlift.loading import load_module

        return load_module(cls, checkpoint_path, map_location, hparams_file, strict, weights_only, kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self._compiler_ctx is not None:  # a copy is not compiled
            replaced = self._compiler_ctx["replaced"]
            state = {name: value for name, value in state.items() if name not in replaced} | {"_compiler_ctx": None}
        state["_trainer"] = None
        return state


def _torchscript_asks() -> bool:
    """Whether TorchScript reads a property: it reads all that a module has, whatever they are for."""
    return sys._getframe(2).f_globals.get("__name__", "").startswith(("torch.jit", "torch._jit"))


class _FabricTrainer:
    """Stands for ``self.trainer`` in a module that Fabric runs: Fabric answers what it can."""

    def __init__(self, fabric: Any) -> None:
        self._fabric = fabric

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._fabric, name)
        except AttributeError:
            raise AttributeError(
                f"Your LightningModule code tried to access `self.trainer.{name}` but this attribute is not available"
                " when using Fabric with a LightningModule."
            ) from None
