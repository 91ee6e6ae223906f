"""``self.log`` and ``self.print``: what a module says while it runs."""

import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torchlift.results import default_dtype
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_warn, warn_once

if TYPE_CHECKING:
    from torchlift.trainer import Trainer


class LoggingMethods:
    """The part of a LightningModule that logs."""

    if TYPE_CHECKING:  # not at run time: TorchScript would read them as the types of attributes
        trainer: Any
        device: torch.device
        _trainer: "Trainer | None"
        _fabric: Any | None
        _logged_metric_names: dict[int, str] | None
        named_modules: Callable[..., Any]

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[[Any], Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any | None = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log one value. The device is not waited for.

        Args:
            name: the key in ``trainer.callback_metrics``, the loggers and the bar.
            value: a tensor of one element (it keeps its dtype), a number (it becomes float32) or a torchmetrics object.
            prog_bar: show it in the progress bar.
            logger: hand it to the loggers; yes by default.
            on_step: log the value of this step; the default depends on the hook.
            on_epoch: log the reduction over the epoch; the default depends on the hook.
            reduce_fx: ``"mean"`` (weighted by batch size), ``"sum"``, ``"min"`` or ``"max"``.
            enable_graph: accepted for compatibility; values are always detached.
            sync_dist: reduce over processes.
            sync_dist_group: the group to reduce over.
            add_dataloader_idx: append the loader's index to the name when there are several loaders.
            batch_size: the weight in the mean; found in the batch by default.
            metric_attribute: the name under which the module holds the torchmetrics object.
            rank_zero_only: only the first process logs this.

        Raises:
            MisconfigurationException: the hook may not log, or the name was logged with other arguments before.
            ValueError: the value is not a single number.
        """
        trainer = self._trainer
        if trainer is None:
            if not isinstance(value, (Tensor, numbers.Number)):
                _check_metric(name, value)
            if self._fabric is not None:
                _log_through_fabric(self._fabric, {name: value}, logger)
                return
            rank_zero_warn(
                "You are trying to `self.log()` but the `self.trainer` reference is not registered on the model yet."
                " This is most likely because the model hasn't been passed to the `Trainer`"
            )
            return
        if trainer.barebones:
            rank_zero_warn(
                "You are trying to `self.log()` but `Trainer(barebones=True)` is configured. Logging can impact raw"
                " speed so it is disabled under this setting."
            )
            return
        if isinstance(value, Tensor):
            if value.dim():
                value = _single_element(name, value)
        elif isinstance(value, numbers.Number):
            value = torch.tensor(value, device=self.device, dtype=default_dtype())
        else:
            metric_attribute = _attribute_of_metric(self, name, value, metric_attribute)
        if logger and not trainer.loggers:
            warn_once(
                f"You called `self.log({name!r}, ..., logger=True)` but have no logger configured. You can enable one"
                " by doing `Trainer(logger=ALogger(...))`"
            )
        logger = True if logger is None else logger
        how = (prog_bar, logger, on_step, on_epoch, reduce_fx, metric_attribute, add_dataloader_idx)
        trainer._logged.log(name, value, how, batch_size)

    def log_dict(
        self,
        dictionary: Mapping[str, Any],
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[[Any], Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any | None = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log several values at once; the arguments are those of :meth:`log`."""
        if self._fabric is not None:
            _log_through_fabric(self._fabric, dictionary, logger)
            return
        # A torchmetrics MetricCollection hands out copies with prefixes unless it is told not to.
        options = {"keep_base": False} if hasattr(dictionary, "compute_groups") else {}
        if getattr(dictionary, "_enable_compute_groups", False):
            options["copy_state"] = False  # members of a group share theirs
        for name, value in dictionary.items(**options):
            self.log(
                name,
                value,
                prog_bar=prog_bar,
                logger=logger,
                on_step=on_step,
                on_epoch=on_epoch,
                reduce_fx=reduce_fx,
                enable_graph=enable_graph,
                sync_dist=sync_dist,
                sync_dist_group=sync_dist_group,
                add_dataloader_idx=add_dataloader_idx,
                batch_size=batch_size,
                rank_zero_only=rank_zero_only,
            )

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on the first process only, without tearing the progress bar."""
        if not self.trainer.is_global_zero:
            return
        bar = self.trainer.progress_bar_callback
        if bar is not None and bar.is_enabled:
            bar.print(*args, **kwargs)
        else:
            print(*args, **kwargs)


def _single_element(name: str, value: Tensor) -> Tensor:
    if value.numel() != 1:
        raise ValueError(
            f"`self.log({name}, {value})` was called, but the tensor must have a single element. You can try doing"
            f" `self.log({name}, {value}.mean())`"
        )
    return value.squeeze()


def _log_through_fabric(fabric: Any, values: Mapping[str, Any], logger: bool | None) -> None:
    """Fabric's loggers are the only place it can log to."""
    for name, value in values.items():
        if not isinstance(value, (Tensor, numbers.Number)):
            raise ValueError(
                f"`self.log({name}, {value})` was called, but `{type(value).__name__}` values cannot be logged with"
                " Fabric"
            )
    if logger is not False:
        fabric.log_dict(metrics=values)


def _check_metric(name: str, value: Any) -> None:
    if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
        raise ValueError(f"`self.log({name}, {value})` was called, but nested dictionaries cannot be logged")
    if not (hasattr(value, "compute") and hasattr(value, "_forward_cache")):
        raise ValueError(
            f"`self.log({name}, {value})` was called, but `{type(value).__name__}` values cannot be logged"
        )


def _attribute_of_metric(module: Any, name: str, value: Any, given: str | None) -> str:
    """The name under which this module holds a torchmetrics object."""
    _check_metric(name, value)
    if given is not None:
        return given
    if module._logged_metric_names is None:
        module._logged_metric_names = {id(m): n for n, m in module.named_modules() if hasattr(m, "_forward_cache")}
    if not module._logged_metric_names:
        raise MisconfigurationException(
            "Could not find the `LightningModule` attribute for the `torchmetrics.Metric` logged. You can fix this by"
            f" setting an attribute for the metric in your `{type(module).__name__}`, a `LightningModule`."
        )
    if id(value) not in module._logged_metric_names:
        raise MisconfigurationException(
            "Could not find the `LightningModule` attribute for the `torchmetrics.Metric` logged. You can fix this"
            f" by calling `self.log({name}, ..., metric_attribute=name)` where `name` is one of"
            f" {list(module._logged_metric_names.values())}"
        )
    return module._logged_metric_names[id(value)]
