"""The three hooks that a batch goes through on its way to the device, and who has the say in each."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torchlift.hooks import is_implemented
from torchlift.module_hooks import DataHooks
from torchlift.utilities.rank_zero import warn_once

if TYPE_CHECKING:
    from torchlift.datamodule import LightningDataModule
    from torchlift.module import LightningModule

DATA_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def hook_holder(name: str, module: "LightningModule", datamodule: "LightningDataModule | None") -> Any:
    """Who has the say in a data hook: the data module where it overrides it, or else the module."""
    if datamodule is None:
        return module
    in_module = is_implemented(name, module, DataHooks)
    if not is_implemented(name, datamodule, DataHooks):
        if in_module:
            warn_once(
                f"You have overridden `{name}` in `LightningModule` but have passed in a `LightningDataModule`. It will"
                " use the implementation from `LightningModule` instance."
            )
        return module
    if in_module:
        warn_once(
            f"You have overridden `{name}` in both `LightningModule` and `LightningDataModule`. It will use the"
            " implementation from `LightningDataModule` instance."
        )
    return datamodule


def data_hooks(module: Any, datamodule: "LightningDataModule | None") -> list[Callable[..., Any]]:
    """The three hooks that a batch goes through on its way to the device."""
    return [getattr(hook_holder(name, module, datamodule), name) for name in DATA_HOOKS]
