"""Train the head of a model first, and the rest of it later.

Methods, arguments and state are those of
https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.BaseFinetuning.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import Module, ModuleDict, Parameter
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.optimizer import Optimizer

from torchlift.callback import Callback
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import log, rank_zero_warn

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

    Modules = Module | Iterable["Modules"]

__all__ = ["BackboneFinetuning", "BaseFinetuning"]


def multiplicative(epoch: int) -> float:
    """The default growth of the backbone's learning rate: it doubles every epoch."""
    return 2.0


class BaseFinetuning(Callback):
    """Override :meth:`freeze_before_training` and :meth:`finetune_function`.

    ``configure_optimizers`` then hands the optimizer only what requires gradients::

        torch.optim.Adam(filter(lambda p: p.requires_grad, self.parameters()), lr=1e-3)

    Parameter groups that are added later, and which parameters are trained, are part of this callback's state, so that
    a run that is resumed goes on with both.
    """

    def __init__(self) -> None:
        self._internal_optimizer_metadata: dict[int, list[dict[str, Any]]] = {}
        self._trainable: list[str] = []
        self._restarting = False

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze what is not to be trained yet; called before ``configure_optimizers``."""
        raise NotImplementedError

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze what is due; called at the start of each epoch, with each optimizer."""
        raise NotImplementedError

    # -- hooks and state ----------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.freeze_before_training(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._restarting:
            return
        self._restarting = False
        named = dict(pl_module.named_parameters())
        for index, optimizer in enumerate(trainer.optimizers):
            if index in self._internal_optimizer_metadata:
                optimizer.param_groups = _translated(self._internal_optimizer_metadata[index], named)
        # `setup` has frozen anew what was unfrozen before the checkpoint.
        unfrozen = {id(named[name]) for name in self._trainable if not named[name].requires_grad}
        for module in pl_module.modules():
            _set_trainable(module, True, only=unfrozen)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for index, optimizer in enumerate(trainer.optimizers):
            before = len(optimizer.param_groups)
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)
            self._store(pl_module, index, before, optimizer.param_groups)
        self._trainable = [name for name, parameter in pl_module.named_parameters() if parameter.requires_grad]

    def state_dict(self) -> dict[str, Any]:
        groups = self._internal_optimizer_metadata
        return {"internal_optimizer_metadata": groups, "trainable_parameters": self._trainable}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restarting = True
        # Files of Lightning before 1.6 hold the groups themselves.
        self._internal_optimizer_metadata = state_dict.get("internal_optimizer_metadata", state_dict)
        self._trainable = state_dict.get("trainable_parameters", [])  # not in Lightning's files

    def _store(
        self,
        pl_module: LightningModule,
        opt_idx: int,
        num_param_groups: int,
        current_param_groups: list[dict[str, Any]],
    ) -> None:
        """Keep the groups that are new, with names in place of parameters."""
        names = {parameter: name for name, parameter in pl_module.named_parameters()}
        if opt_idx not in self._internal_optimizer_metadata:
            self._internal_optimizer_metadata[opt_idx] = _translated(current_param_groups, names)
        elif num_param_groups != len(current_param_groups):
            new = current_param_groups[num_param_groups:]
            self._internal_optimizer_metadata[opt_idx].extend(_translated(new, names))

    # -- freezing and unfreezing --------------------------------------------------------------------------------------

    @staticmethod
    def flatten_modules(modules: Modules) -> list[Module]:
        """The modules among these, and inside them, that have no children or have parameters of their own."""
        if isinstance(modules, ModuleDict):
            modules = modules.values()
        if isinstance(modules, Iterable):
            found = [inner for one in modules for inner in BaseFinetuning.flatten_modules(one)]
        else:
            found = list(modules.modules())
        return [module for module in found if module._parameters or not list(module.children())]

    @staticmethod
    def filter_params(modules: Modules, train_bn: bool = True, requires_grad: bool = True) -> Iterator[Parameter]:
        """The parameters that do (or do not) require gradients; without those of batch norm if not `train_bn`."""
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm) and not train_bn:
                continue
            # The children come by themselves.
            for parameter in module.parameters(recurse=False):
                if parameter.requires_grad == requires_grad:
                    yield parameter

    @staticmethod
    def make_trainable(modules: Modules) -> None:
        """Let all parameters require gradients, and batch norm keep statistics."""
        for module in BaseFinetuning.flatten_modules(modules):
            _set_trainable(module, True)

    @staticmethod
    def freeze_module(module: Module) -> None:
        """Freeze the parameters of this module itself, not those of its children."""
        _set_trainable(module, False)

    @staticmethod
    def freeze(modules: Modules, train_bn: bool = True) -> None:
        """Freeze all parameters; with `train_bn` those of batch norm are made trainable instead."""
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm) and train_bn:
                BaseFinetuning.make_trainable(module)
            else:
                BaseFinetuning.freeze_module(module)

    @staticmethod
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[Tensor]) -> list[Tensor]:
        """Those of `params` that the optimizer does not have yet; the others are named in a warning."""
        present = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        params = list(params)
        new = [parameter for parameter in params if id(parameter) not in present]
        if len(new) < len(params):
            rank_zero_warn(
                "The provided params to be frozen already exist within another group of this optimizer. Those"
                " parameters will be skipped.\nHINT: Did you init your optimizer in `configure_optimizer` as such:\n"
                f" {type(optimizer)}(filter(lambda p: p.requires_grad, self.parameters()), ...) "
            )
        return new

    @staticmethod
    def unfreeze_and_add_param_group(
        modules: Modules,
        optimizer: Optimizer,
        lr: float | None = None,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
    ) -> None:
        """Unfreeze, and give the parameters to the optimizer as a group.

        Args:
            modules: what to unfreeze.
            optimizer: what trains them from now on.
            lr: the group's learning rate; by default that of the first group divided by `initial_denom_lr`.
            initial_denom_lr: see `lr`.
            train_bn: train the parameters of batch norm too.
        """
        BaseFinetuning.make_trainable(modules)
        rate = optimizer.param_groups[0]["lr"] / initial_denom_lr if lr is None else float(lr)
        new = BaseFinetuning.filter_on_optimizer(optimizer, BaseFinetuning.filter_params(modules, train_bn))
        if new:
            optimizer.add_param_group({"params": new, "lr": rate})


class BackboneFinetuning(BaseFinetuning):
    """Freeze ``module.backbone`` at first, unfreeze it at one epoch, and let its learning rate grow from there.

    Args:
        unfreeze_backbone_at_epoch: the epoch, from 0.
        lambda_func: ``lambda_func(epoch)`` multiplies the backbone's learning rate at each epoch after that.
        backbone_initial_ratio_lr: where the backbone's learning rate starts, relative to the first group's.
        backbone_initial_lr: where it starts, absolutely.
        should_align: let it grow no further than the first group's.
        initial_denom_lr: as in :meth:`unfreeze_and_add_param_group`; without effect, because a rate is given.
        train_bn: train the parameters of batch norm too.
        verbose: report the learning rates at each of these epochs.
        rounding: digits of that report.

    Raises:
        MisconfigurationException: (at the start) the module has no ``backbone``.
    """

    def __init__(
        self,
        unfreeze_backbone_at_epoch: int = 10,
        lambda_func: Callable[[int], float] = multiplicative,
        backbone_initial_ratio_lr: float = 10e-2,
        backbone_initial_lr: float | None = None,
        should_align: bool = True,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
        verbose: bool = False,
        rounding: int = 12,
    ) -> None:
        super().__init__()
        self.unfreeze_backbone_at_epoch = unfreeze_backbone_at_epoch
        self.lambda_func = lambda_func
        self.backbone_initial_ratio_lr = backbone_initial_ratio_lr
        self.backbone_initial_lr = backbone_initial_lr
        self.should_align = should_align
        self.initial_denom_lr = initial_denom_lr
        self.train_bn = train_bn
        self.verbose = verbose
        self.rounding = rounding
        self.previous_backbone_lr: float | None = None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "previous_backbone_lr": self.previous_backbone_lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.previous_backbone_lr = state_dict["previous_backbone_lr"]
        super().load_state_dict(state_dict)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(getattr(pl_module, "backbone", None), Module):
            raise MisconfigurationException("The LightningModule should have a nn.Module `backbone` attribute")
        super().on_fit_start(trainer, pl_module)

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        if epoch < self.unfreeze_backbone_at_epoch:
            return
        current = optimizer.param_groups[0]["lr"]
        if epoch == self.unfreeze_backbone_at_epoch:
            initial = self.backbone_initial_lr
            rate = current * self.backbone_initial_ratio_lr if initial is None else initial
            self.unfreeze_and_add_param_group(
                pl_module.backbone,
                optimizer,
                rate,
                train_bn=self.train_bn,
                initial_denom_lr=self.initial_denom_lr,
            )
        else:
            assert self.previous_backbone_lr is not None
            rate = self.lambda_func(epoch + 1) * self.previous_backbone_lr
            if self.should_align and rate > current:
                rate = current
            optimizer.param_groups[-1]["lr"] = rate
        self.previous_backbone_lr = rate
        if self.verbose:
            log.info(f"Current lr: {round(current, self.rounding)}, Backbone lr: {round(rate, self.rounding)}")


def _set_trainable(module: Module, trainable: bool, only: set[int] | None = None) -> None:
    """Freeze or unfreeze the parameters of the module itself, or `only` some of them, by id."""
    own = [one for one in module.parameters(recurse=False) if only is None or id(one) in only]
    if isinstance(module, _BatchNorm) and (own or only is None):
        module.track_running_stats = trainable
    for parameter in own:
        parameter.requires_grad = trainable


def _translated(groups: list[dict[str, Any]], mapping: dict[Any, Any]) -> list[dict[str, Any]]:
    """The groups with each parameter replaced by what `mapping` has for it."""
    return [{**group, "params": [mapping[parameter] for parameter in group["params"]]} for group in groups]
