"""Set the least important weights to zero while training.

Arguments, methods and checkpoints are those of
https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.ModelPruning.html
The pruning itself is torch's:
https://docs.pytorch.org/docs/stable/nn.html#torch.nn.utils.prune.BasePruningMethod
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from torch import Tensor, nn
from torch.nn.utils import prune

from torchlift.callback import Callback
from torchlift.module import LightningModule
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import log, rank_zero_debug, rank_zero_only

if TYPE_CHECKING:
    from torchlift.trainer import Trainer

__all__ = ["ModelPruning"]

Parameters = Sequence[tuple[nn.Module, str]]

_METHODS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {  # for single parameters, and for all at once
    "ln_structured": (prune.ln_structured, prune.LnStructured),
    "l1_unstructured": (prune.l1_unstructured, prune.L1Unstructured),
    "random_structured": (prune.random_structured, prune.RandomStructured),
    "random_unstructured": (prune.random_unstructured, prune.RandomUnstructured),
}
_CONTAINERS = (LightningModule, nn.Sequential, nn.ModuleList, nn.ModuleDict)


class _Original(TypedDict):
    data: nn.Module  # a module as it was before training
    names: list[tuple[int, str]]  # its parameters, with their places among those to prune


class ModelPruning(Callback):
    """Prune parameters at the end of each epoch; what is pruned stays zero for the rest of training.

    Checkpoints hold the pruned weights under their own names, so that they load without this callback.

    Args:
        pruning_fn: "l1_unstructured", "random_unstructured", "ln_structured", "random_structured", or a subclass of
            ``torch.nn.utils.prune.BasePruningMethod``.
        parameters_to_prune: pairs of a module and the name of its parameter; by default all that have one of
            `parameter_names`. :meth:`filter_parameters_to_prune` can be overridden to choose among them.
        parameter_names: "weight", "bias", or both.
        use_global_unstructured: compare all parameters with one another, rather than each by itself.
        amount: how much to prune each time: a fraction of what is left, a number of elements, or a function of the
            epoch that gives either.
        apply_pruning: whether to, or a function of the epoch that says so.
        make_pruning_permanent: put the pruned weights in the place of weights and masks when training ends, and in
            checkpoints.
        use_lottery_ticket_hypothesis: put what was not pruned back to where it began (Frankle and Carbin, 2018,
            https://arxiv.org/abs/1803.03635), or a function of the epoch that says so.
        resample_parameters: for that, draw the beginning anew.
        pruning_dim: the dimension of structured pruning.
        pruning_norm: the norm of "ln_structured".
        verbose: 1 reports how much is pruned, 2 that of each parameter.
        prune_on_train_epoch_end: prune at the end of training epochs; otherwise at the end of validation.

    Raises:
        MisconfigurationException: an argument cannot work, or a parameter is not in the module.
    """

    PARAMETER_NAMES = ("weight", "bias")

    def __init__(
        self,
        pruning_fn: Callable[..., Any] | str,
        parameters_to_prune: Parameters = (),
        parameter_names: list[str] | None = None,
        use_global_unstructured: bool = True,
        amount: int | float | Callable[[int], int | float] = 0.5,
        apply_pruning: bool | Callable[[int], bool] = True,
        make_pruning_permanent: bool = True,
        use_lottery_ticket_hypothesis: bool | Callable[[int], bool] = True,
        resample_parameters: bool = False,
        pruning_dim: int | None = None,
        pruning_norm: int | None = None,
        verbose: int = 0,
        prune_on_train_epoch_end: bool = True,
    ) -> None:
        self._use_global_unstructured = use_global_unstructured
        self._parameters_to_prune = parameters_to_prune
        self._use_lottery_ticket_hypothesis = use_lottery_ticket_hypothesis
        self._resample_parameters = resample_parameters
        self._prune_on_train_epoch_end = prune_on_train_epoch_end
        self._parameter_names = parameter_names or self.PARAMETER_NAMES
        self._global_kwargs: dict[str, Any] = {}
        self._original_layers: dict[int, _Original] = {}  # by the module's id
        self._pruning_method_name: str | None = None
        for name in self._parameter_names:
            if name not in self.PARAMETER_NAMES:
                raise MisconfigurationException(
                    f"The provided `parameter_names` name: {name} isn't in {self.PARAMETER_NAMES}"
                )
        self.pruning_fn = self._choose(pruning_fn, pruning_dim, pruning_norm)
        self._apply_pruning = apply_pruning
        self._make_pruning_permanent = make_pruning_permanent
        if not (isinstance(amount, int | float) or callable(amount)):
            raise MisconfigurationException(
                f"`amount` should be provided and be either an int, a float or Callable function, not {amount!r}."
            )
        self.amount = amount
        if verbose not in (0, 1, 2):
            raise MisconfigurationException("`verbose` must be any of (0, 1, 2)")
        self._verbose = verbose

    def _choose(self, given: Callable[..., Any] | str, dim: int | None, norm: int | None) -> Callable[..., Any]:
        """The function that prunes one parameter, or the class that prunes all at once."""
        if isinstance(given, str):
            chosen = self._create_pruning_fn(given.lower(), **_options(given.lower(), dim, norm))
        elif not self._is_pruning_method(given):
            raise MisconfigurationException(
                f"`pruning_fn` is expected to be a str in {list(_METHODS)} or a PyTorch `BasePruningMethod`. Found:"
                f" {given}. HINT: if passing a `BasePruningMethod`, pass the class, not an instance"
            )
        elif not self._use_global_unstructured:
            raise MisconfigurationException(
                "PyTorch `BasePruningMethod` is currently only supported with `use_global_unstructured=True`."
            )
        else:
            chosen = given
        if self._use_global_unstructured and (kind := chosen.PRUNING_TYPE) != "unstructured":  # type: ignore[attr-defined]
            raise MisconfigurationException(
                'Only the "unstructured" PRUNING_TYPE is supported with `use_global_unstructured=True`. Found method'
                f" {chosen} of type {kind}."
            )
        return chosen

    def _create_pruning_fn(self, pruning_fn: str, **kwargs: Any) -> Callable[..., Any]:
        single, together = _METHODS[pruning_fn]
        method = together if self._use_global_unstructured else single
        self._pruning_method_name = method.__name__
        if self._use_global_unstructured:
            self._global_kwargs = kwargs
            return method
        return partial(method, **kwargs)

    @staticmethod
    def _is_pruning_method(method: Any) -> bool:
        return inspect.isclass(method) and issubclass(method, prune.BasePruningMethod)

    # -- hooks --------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        found = self.sanitize_parameters_to_prune(pl_module, self._parameters_to_prune, self._parameter_names)
        self._parameters_to_prune = self.filter_parameters_to_prune(found)
        if self._use_lottery_ticket_hypothesis:
            self._original_layers = {}
            for index, (module, name) in enumerate(self._parameters_to_prune):
                if id(module) not in self._original_layers:
                    self._original_layers[id(module)] = {"data": deepcopy(module), "names": []}
                self._original_layers[id(module)]["names"].append((index, name))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._prune_on_train_epoch_end:
            rank_zero_debug("`ModelPruning.on_train_epoch_end`. Applying pruning")
            self._run_pruning(pl_module.current_epoch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and not self._prune_on_train_epoch_end:
            rank_zero_debug("`ModelPruning.on_validation_epoch_end`. Applying pruning")
            self._run_pruning(pl_module.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._make_pruning_permanent:
            rank_zero_debug("`ModelPruning.on_train_end`. Pruning is made permanent for this checkpoint")
            self.make_pruning_permanent(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._make_pruning_permanent:
            rank_zero_debug("`ModelPruning.on_save_checkpoint`. Pruning is made permanent for this checkpoint")
            checkpoint["state_dict"] = _without_masks(pl_module.state_dict())

    # -- what to prune ------------------------------------------------------------------------------------------------

    def filter_parameters_to_prune(self, parameters_to_prune: Parameters = ()) -> Parameters:
        """Override it to leave some out."""
        return parameters_to_prune

    @staticmethod
    def sanitize_parameters_to_prune(
        pl_module: LightningModule, parameters_to_prune: Parameters = (), parameter_names: Sequence[str] = ()
    ) -> Parameters:
        """The parameters given, or all of those names.

        Raises:
            MisconfigurationException: they are not pairs of a module and a name, or not in the module.
        """
        modules = [module for module in pl_module.modules() if not isinstance(module, _CONTAINERS)]
        if not parameters_to_prune:
            names = parameter_names or ModelPruning.PARAMETER_NAMES
            pairs = [(module, name) for name in names for module in modules]
            return [(module, name) for module, name in pairs if isinstance(getattr(module, name, None), nn.Parameter)]
        if not isinstance(parameters_to_prune, list | tuple) or not all(map(_is_pair, parameters_to_prune)):
            raise MisconfigurationException(
                "The provided `parameters_to_prune` should either be list of tuple with 2 elements: (nn.Module,"
                " parameter_name_to_prune) or None"
            )
        missing = [module for module, _ in parameters_to_prune if module not in modules]
        nameless = [name for module, name in parameters_to_prune if module in modules and not hasattr(module, name)]
        if missing or nameless:
            raise MisconfigurationException(
                f"Some provided `parameters_to_prune` don't exist in the model. Found missing modules: {missing} and"
                f" missing parameters: {nameless}"
            )
        return parameters_to_prune

    # -- pruning ------------------------------------------------------------------------------------------------------

    def _run_pruning(self, current_epoch: int) -> None:
        amount = _at(self.amount, current_epoch)
        if not _at(self._apply_pruning, current_epoch) or not amount:
            return
        self.apply_pruning(amount)
        if _at(self._use_lottery_ticket_hypothesis, current_epoch):
            self.apply_lottery_ticket_hypothesis()

    def apply_pruning(self, amount: int | float) -> None:
        """Prune this much, in addition to what is pruned already."""
        before = [_zeros(module, name) for module, name in self._parameters_to_prune] if self._verbose else []
        if self._use_global_unstructured:
            takes = inspect.signature(self.pruning_fn).parameters
            options = {name: value for name, value in self._global_kwargs.items() if name in takes}
            if "amount" in takes:
                options["amount"] = amount
            prune.global_unstructured(self._parameters_to_prune, self.pruning_fn, **options)
        else:
            for module, name in self._parameters_to_prune:
                self.pruning_fn(module, name=name, amount=amount)
        if self._verbose:
            after = [_zeros(module, name) for module, name in self._parameters_to_prune]
            self._log_sparsity_stats(before, after, amount)

    def apply_lottery_ticket_hypothesis(self) -> None:
        """Give the parameters the values they had before training; their masks stay."""
        for original in self._original_layers.values():
            copy = original["data"]
            if self._resample_parameters and callable(getattr(copy, "reset_parameters", None)):
                copy = deepcopy(copy)
                copy.reset_parameters()  # type: ignore[operator]
            for index, name in original["names"]:
                self._copy_param(self._parameters_to_prune[index][0], copy, name)

    @staticmethod
    def _copy_param(new: nn.Module, old: nn.Module, name: str) -> None:
        target = getattr(new, f"{name}_orig", None)  # where pruning keeps the parameter
        target = getattr(new, name) if target is None else target
        source = getattr(old, name)
        if isinstance(target, Tensor) and isinstance(source, Tensor):
            # On one device this shares the memory, as in Lightning: what is trained next moves the beginning along.
            target.data = source.data.to(target.device)

    def make_pruning_permanent(self, module: nn.Module) -> None:
        """Put the pruned parameters in the place of the original ones and their masks."""
        for inner in module.modules():
            for key, hook in list(inner._forward_pre_hooks.items()):
                if isinstance(hook, prune.BasePruningMethod):
                    hook.remove(inner)
                    del inner._forward_pre_hooks[key]

    @rank_zero_only
    def _log_sparsity_stats(
        self, prev: list[tuple[int, int]], curr: list[tuple[int, int]], amount: int | float = 0
    ) -> None:
        total = sum(size for _, size in curr)
        was, now = (sum(zeros for zeros, _ in stats) for stats in (prev, curr))
        name = self._pruning_method_name
        log.info(f"Applied `{name}`. Pruned: {was}/{total} ({was / total:.2%}) -> {now}/{total} ({now / total:.2%})")
        if self._verbose < 2:
            return
        for (module, parameter), (was, size), (now, new_size) in zip(self._parameters_to_prune, prev, curr):
            log.info(
                f"Applied `{name}` to `{module!r}.{parameter}` with amount={amount}. Pruned: {was} ({was / size:.2%})"
                f" -> {now} ({now / new_size:.2%})"
            )


def _options(name: str, dim: int | None, norm: int | None) -> dict[str, Any]:
    """The arguments that a method of torch needs besides the amount."""
    if name not in _METHODS:
        raise MisconfigurationException(
            f"The provided `pruning_fn` {name} isn't available in PyTorch's built-in functions: {list(_METHODS)} "
        )
    if not name.endswith("_structured"):
        return {}
    if dim is None:
        raise MisconfigurationException("When requesting `structured` pruning, the `pruning_dim` should be provided.")
    if name != "ln_structured":
        return {"dim": dim}
    if norm is None:
        raise MisconfigurationException(
            "When requesting `ln_structured` pruning, the `pruning_norm` should be provided."
        )
    return {"n": norm, "dim": dim}


def _at(value: Any, epoch: int) -> Any:
    return value(epoch) if callable(value) else value


def _is_pair(pair: Any) -> bool:
    return len(pair) == 2 and isinstance(pair[0], nn.Module) and isinstance(pair[1], str)


def _zeros(module: nn.Module, name: str) -> tuple[int, int]:
    """How many elements of a parameter are pruned, and of how many."""
    mask = getattr(module, f"{name}_mask", None)
    return (0, 1) if mask is None else (int((mask == 0).sum()), mask.numel())


def _without_masks(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state as it is without pruning: the masks applied, the names the modules' own, on the CPU."""
    pruned = [key.removesuffix("_mask") for key in state if key.endswith("_mask")]
    for name in pruned:
        original, mask = state.pop(f"{name}_orig"), state.pop(f"{name}_mask")
        state[name] = mask.to(dtype=original.dtype) * original
    return {key: value.cpu() if isinstance(value, Tensor) else value for key, value in state.items()}
