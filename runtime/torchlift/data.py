"""From a loader (or a method that makes one) to batches: limits, the moment iterators are made, and which is last."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice, repeat
from typing import TYPE_CHECKING, Any

from torchlift.data_checks import check_iterable, check_workers, is_shuffled, turn_shuffling_off
from torchlift.hooks import chain, is_implemented
from torchlift.profiling import action_of, timed
from torchlift.states import RunningStage
from torchlift.utilities.combined_loader import CombinedLoader, Mode
from torchlift.utilities.data import has_len_all_ranks
from torchlift.utilities.exceptions import MisconfigurationException, PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn
from torchlift.utilities.seed import worker_init_function

if TYPE_CHECKING:
    from torchlift.trainer import Trainer


@dataclass
class Source:
    """Where loaders come from: what the user passed, or the method `name` of a module or data module."""

    instance: Any
    name: str

    def is_module(self) -> bool:
        from torchlift.datamodule import LightningDataModule
        from torchlift.module import LightningModule

        return isinstance(self.instance, (LightningModule, LightningDataModule))

    def is_defined(self) -> bool:
        """Whether there is something to ask: passed loaders always, a method when it is overridden."""
        from torchlift.module_hooks import DataHooks

        return not self.is_module() or is_implemented(self.name, self.instance, DataHooks)

    def dataloader(self) -> Any:
        """The loaders, made now if a method makes them; ``None`` where the method was set to something else."""
        if not self.is_module():
            return self.instance
        method = getattr(self.instance, self.name)
        return method() if callable(method) else None


class Batches:
    """Hands out batches one by one and knows which of them is the last.

    With a length nothing is fetched ahead, and never more than the length; without one, one batch is fetched ahead,
    because only so the last one is known. Which draw happens when is Lightning's (``loops/fetchers.py``), so that the
    same seed gives the same batches.
    """

    __slots__ = ("_ahead", "_combined", "_in_turn", "_iterator", "_lone", "done", "fetched", "length")

    def __init__(self, combined: CombinedLoader) -> None:
        self._combined = combined
        # One loader, whose batches need no unpacking.
        in_turn = self._in_turn = combined._mode == "sequential"
        self._lone = len(combined.flattened) == 1 and (in_turn or combined.iterables is combined.flattened[0])
        self._iterator: Iterator[Any] = iter(())
        self._ahead: list[Any] = []
        self.fetched = 0
        self.length: int | None = None
        self.done = False

    def start(self) -> None:
        """Make the iterators. What this draws from the random generators is part of the experiment."""
        if self._lone:
            self._iterator = iter(self._combined.flattened[0])
        else:
            self._iterator = iter(self._combined)
        self.fetched, self._ahead = 0, []
        self.length = self._combined.total()
        self.done = self.length == 0
        if self.length is None:
            if self._lone and self._in_turn:
                self._iterator = zip(self._iterator, count(), repeat(0))
            with contextlib.suppress(StopIteration):
                self._ahead.append(self._fetch())

    def _fetch(self) -> Any:
        try:
            batch = next(self._iterator)
        except StopIteration:
            self.done = True
            raise
        self.fetched += 1
        if self.length is not None:
            self.done = self.fetched >= self.length
        return batch

    def take(self) -> Any:
        """The next batch; from a combination of loaders ``(batch, batch_idx, dataloader_idx)``.

        Raises:
            StopIteration: there is none.
        """
        if self.length is not None:
            if self.done:
                raise StopIteration
            batch = next(self._iterator)
            self.fetched += 1
            self.done = self.fetched >= self.length
            return batch
        if not self._ahead:
            raise StopIteration
        batch = self._ahead.pop()
        try:
            self._ahead.append(self._fetch())
        except StopIteration:
            self.done = True
        return batch

    def choose_take(self) -> tuple[Callable[[], Any], int | float]:
        """A function that gives the next batch alone, and how many there are.

        One loader with a length is asked directly, and the caller tells from the number which batch is the last;
        otherwise, and behind a resumed batch, the number is infinite and ``done`` tells.
        """
        if self._lone and self.length is not None and not self.fetched:
            return islice(self._iterator, self.length).__next__, self.length
        return (self.take if self._lone else lambda: self.take()[0]), float("inf")

    def numbered(self) -> tuple[Iterator[tuple[Any, int, int]], int | float]:
        """Each batch as ``(batch, batch_idx, dataloader_idx)``; and the number, as in :meth:`choose_take`."""
        if self._lone and self.length is not None:
            return zip(islice(self._iterator, self.length), count(), repeat(0)), self.length
        return iter(self.take, None), float("inf")

    def stop(self) -> None:
        """Let go of the iterators and end the loaders' workers."""
        self._iterator, self._ahead, self.fetched = iter(()), [], 0
        self._combined.reset()


def load(trainer: "Trainer", source: Source, stage: RunningStage, mode: Mode) -> CombinedLoader:
    """Ask the source for its loaders and make them ready.

    Raises:
        TypeError: what came is not iterable.
    """
    kind = "LightningDataModule" if source.instance is trainer.datamodule else "LightningModule"
    action = action_of(kind, source.instance, source.name)
    make = chain(trainer._logged, source.name, (), timed(trainer, action, source.dataloader))
    found = make() if source.is_module() else source.instance
    combined = found if isinstance(found, CombinedLoader) else CombinedLoader(found, mode)
    if trainer.overfit_batches > 0 and stage in (RunningStage.TRAINING, RunningStage.VALIDATING) and trainer.fitting:
        turn_shuffling_off(combined, stage)
    checked = [_checked(trainer, loader, source, stage) for loader in combined.flattened]
    combined.flattened = [trainer.strategy.process_dataloader(loader) for loader in checked]
    return combined


def limits(trainer: "Trainer", combined: CombinedLoader, stage: RunningStage) -> list[int | float]:
    """How many batches of each loader are used, with ``limit_*_batches`` applied."""
    limit = getattr(trainer, f"limit_{stage.dataloader_prefix}_batches")
    if stage is RunningStage.TRAINING and combined.total() == 0:
        rank_zero_warn(
            "Total length of `CombinedLoader` across ranks is zero. Please make sure this was your intention."
        )
    sized = [has_len_all_ranks(loader, trainer.strategy) for loader in combined.flattened]
    lengths = [len(loader) if has else float("inf") for loader, has in zip(combined.flattened, sized)]
    return [_limited(stage, length, limit) for length in lengths]


def set_epoch(combined: CombinedLoader, epoch: int) -> None:
    """Tell the samplers that know about epochs which one begins."""
    for loader in combined.flattened:
        own = getattr(loader, "sampler", None)
        nested = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
        for sampler in [own] if own is nested else [own, nested]:
            tell = getattr(sampler, "set_epoch", None)
            if callable(tell):
                tell(epoch)


def has_length(combined: CombinedLoader) -> bool:
    return combined.total() is not None


def _limited(stage: RunningStage, length: int | float, limit: int | float) -> int | float:
    name = stage.dataloader_prefix
    if length == 0:
        return 0
    if isinstance(limit, int):
        return min(length, limit)
    if length == float("inf"):
        if limit != 1.0:
            raise MisconfigurationException(
                f"When using an `IterableDataset`, `Trainer(limit_{name}_batches)` must be `1.0` or an int. An int"
                f" specifies `num_{name}_batches` to use."
            )
        return length
    number = int(length * limit)
    if number == 0 and limit > 0.0:
        raise MisconfigurationException(
            f"You requested to check {limit} of the `{name}_dataloader` but {limit} * {length} < 1. Please increase the"
            f" `limit_{name}_batches` argument. Try at least `limit_{name}_batches={1.0 / length}`"
        )
    return number


def _checked(trainer: "Trainer", loader: Any, source: Source, stage: RunningStage) -> Any:
    from torch.utils.data import DataLoader

    name = f"{stage.dataloader_prefix}_dataloader"
    check_iterable(loader, source, trainer.state.fn)
    if stage is not RunningStage.TRAINING and is_shuffled(loader):
        rank_zero_warn(
            f"Your `{name}`'s sampler has shuffling enabled, it is strongly recommended that you turn shuffling off for"
            " val/test dataloaders.",
            category=PossibleUserWarning,
        )
    if isinstance(loader, DataLoader):
        check_workers(trainer, loader, name)
    if int(os.environ.get("PL_SEED_WORKERS", 0)) and getattr(loader, "worker_init_fn", loader) is None:
        loader.worker_init_fn = partial(worker_init_function, rank=trainer.global_rank)
    return loader
