"""What is said about a loader before it is used, and how ``overfit_batches`` turns its shuffling off."""

import copy
import multiprocessing as mp
from typing import TYPE_CHECKING, Any

from torchlift.states import RunningStage
from torchlift.utilities.combined_loader import CombinedLoader
from torchlift.utilities.data import has_iterable_dataset, suggested_max_num_workers
from torchlift.utilities.exceptions import PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn

if TYPE_CHECKING:
    from torchlift.data import Source
    from torchlift.states import TrainerFn
    from torchlift.trainer import Trainer


def check_iterable(loader: Any, source: "Source", fn: "TrainerFn | None") -> None:
    """Make sure that a loader can be iterated.

    Raises:
        TypeError: it cannot; the message says where it came from.
    """
    from torch.utils.data import DataLoader

    if isinstance(loader, DataLoader):
        return  # it can, and trying it would be expensive
    try:
        # As in Lightning, an iterator is made just to see; what that draws is part of the experiment.
        iter(loader)
        return
    except TypeError:
        pass
    call = fn.value if fn else "fit"
    passed = (
        f"An invalid dataloader was passed to `Trainer.{call}({'train_' if call == 'fit' else ''}dataloaders=...)`."
    )
    if not source.is_module():
        raise TypeError(f"{passed} Found {loader}.")
    if not source.is_defined():
        raise TypeError(
            f"{passed} Found {loader}. Either pass the dataloader to the `.{call}()` method OR implement"
            f" `def {source.name}(self):` in your LightningModule/LightningDataModule."
        )
    raise TypeError(
        f"An invalid dataloader was returned from `{type(source.instance).__name__}.{source.name}()`. Found {loader}."
    )


def is_shuffled(loader: Any) -> bool:
    """Whether a loader draws its samples at random."""
    from torch.utils.data import RandomSampler

    if has_iterable_dataset(loader) or not hasattr(loader, "sampler"):
        return False
    batches = getattr(loader, "batch_sampler", None)
    return isinstance(loader.sampler if batches is None else getattr(batches, "sampler", batches), RandomSampler)


def check_workers(trainer: "Trainer", dataloader: Any, name: str) -> None:
    """Warn of worker processes that are too few, or started anew for each epoch at a high price."""
    most = suggested_max_num_workers(trainer.num_devices)
    context = dataloader.multiprocessing_context
    # Asked so, the default stays open: asking for the method itself would fix it for the whole process.
    method = context.get_start_method() if context else mp.get_start_method(allow_none=True)
    method = method or mp.get_all_start_methods()[0]
    if dataloader.num_workers > 0 and method == "spawn" and not dataloader.persistent_workers:
        rank_zero_warn(
            f"Consider setting `persistent_workers=True` in '{name}' to speed up the dataloader worker initialization."
        )
    elif dataloader.num_workers < 2 and most > 1:
        rank_zero_warn(
            f"The '{name}' does not have many workers which may be a bottleneck. Consider increasing the value of the"
            f" `num_workers` argument` to `num_workers={most}` in the `DataLoader` to improve performance.",
            category=PossibleUserWarning,
        )
    if dataloader.persistent_workers and dataloader.pin_memory and trainer.reload_dataloaders_every_n_epochs > 0:
        rank_zero_warn(
            "The combination of `DataLoader(`pin_memory=True`, `persistent_workers=True`) and"
            " `Trainer(reload_dataloaders_every_n_epochs > 0)` can lead to instability due to limitations in PyTorch"
            " (https://github.com/pytorch/pytorch/issues/91252). We recommend setting `pin_memory=False` in this case.",
            category=PossibleUserWarning,
        )


def turn_shuffling_off(combined: CombinedLoader, stage: RunningStage) -> None:
    """For ``overfit_batches``: the same batches in every epoch."""
    from torch.utils.data import SequentialSampler

    samplers = [loader.sampler for loader in combined.flattened if hasattr(loader, "sampler")]
    if all(isinstance(sampler, SequentialSampler) for sampler in samplers):
        return
    rank_zero_warn(
        f"You requested to overfit but enabled {stage.dataloader_prefix} dataloader shuffling. We are turning off the"
        f" {stage.dataloader_prefix} dataloader shuffling for you."
    )
    combined.flattened = [_in_order(loader) for loader in combined.flattened]


def _in_order(loader: Any) -> Any:
    """A copy of the loader that reads its dataset from the start to the end; in all else the loader itself.

    Raises:
        TypeError: its batches come from an object that has no sampler to replace.
    """
    from torch.utils.data import DataLoader, SequentialSampler

    if not isinstance(loader, DataLoader) or has_iterable_dataset(loader):
        return loader  # it decides the order itself
    own = copy.copy(loader)
    own._iterator = None  # workers that persist belong to the user's loader
    sampler, batches = SequentialSampler(loader.dataset), copy.copy(loader.batch_sampler)  # type: ignore[arg-type]
    if batches is not None:
        if not hasattr(batches, "sampler"):
            raise TypeError(
                f"`overfit_batches` needs the same batches in every epoch, and the batch sampler"
                f" `{type(batches).__qualname__}` has no attribute `sampler` that could be replaced by one that goes"
                " through the dataset in order. Follow the API of PyTorch's `BatchSampler`, or turn shuffling off"
                " yourself."
            )
        batches.sampler = sampler
    # DataLoader refuses plain assignments, because for one that is under way they would come too late.
    vars(own).update(sampler=sampler, batch_sampler=batches)
    return own
