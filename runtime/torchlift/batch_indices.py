"""Which samples of the data set a batch is made of, for those who write predictions; and no sample left out.

The loader is the user's own: a shallow copy of it draws from the same sampler through a recorder, and nothing else
about it changes.
"""

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from torchlift.utilities.exceptions import PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn

if TYPE_CHECKING:
    from torchlift.loop_state import PredictState
    from torchlift.trainer import Trainer


class RecordingBatchSampler:
    """A batch sampler that keeps what it drew; in all else the one it wraps.

    Attributes:
        seen_batch_indices: the indices of each batch drawn since the last iterator was made, fetched ahead or not.
    """

    def __init__(self, batch_sampler: Any) -> None:
        self._batch_sampler = batch_sampler
        self.seen_batch_indices: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        self.seen_batch_indices = []
        for batch in self._batch_sampler:
            self.seen_batch_indices.append(batch)
            yield batch

    def __len__(self) -> int:
        return len(self._batch_sampler)

    def __getattr__(self, name: str) -> Any:
        if name == "_batch_sampler":  # while it is copied
            raise AttributeError(name)
        return getattr(self._batch_sampler, name)


def for_prediction(loader: Any) -> Any:
    """The loader with nothing dropped, its batches' indices recorded where it draws them by a batch sampler."""
    batches = getattr(loader, "batch_sampler", None)
    if not isinstance(loader, DataLoader) or batches is None or isinstance(loader.dataset, IterableDataset):
        return loader
    if getattr(batches, "drop_last", False):
        batches = copy.copy(batches)
        batches.drop_last = False
    elif not isinstance(batches, BatchSampler) and not hasattr(batches, "drop_last"):
        rank_zero_warn(
            f"You are using a custom batch sampler `{type(batches).__qualname__}` for prediction. Lightning would"
            " normally set `drop_last=False` to ensure all samples are returned, but for custom samplers it can't"
            " guarantee this. Make sure your sampler is configured correctly to return all indices.",
            category=PossibleUserWarning,
        )
    own = copy.copy(loader)
    own._iterator = None  # persistent workers belong to the user's loader
    # DataLoader refuses the plain assignment, because for itself it would come too late.
    vars(own)["batch_sampler"] = RecordingBatchSampler(batches)
    return own


def choose_note(trainer: "Trainer", state: "PredictState") -> Callable[[int, int], None] | None:
    """A function that notes the indices of a batch and its loader in `state`; ``None`` where nobody writes."""
    from torchlift.callbacks import BasePredictionWriter

    assert state.combined is not None
    loaders = state.combined.flattened
    state.current_batch_indices, state.epoch_batch_indices = [], [[] for _ in loaders]
    intervals = [one.interval for one in trainer.callbacks if isinstance(one, BasePredictionWriter)]
    if not intervals:
        return None
    on_batch, on_epoch = (any(getattr(one, name) for one in intervals) for name in ("on_batch", "on_epoch"))
    recorders = [getattr(loader, "batch_sampler", None) for loader in loaders]
    for loader, recorder in zip(loaders, recorders):
        if not isinstance(recorder, RecordingBatchSampler):
            rank_zero_warn(f"Couldn't infer the batch indices fetched from your dataloader: `{type(loader).__name__}`")

    def note(batch_idx: int, dataloader_idx: int) -> None:
        recorder = recorders[dataloader_idx]
        indices = recorder.seen_batch_indices[batch_idx] if isinstance(recorder, RecordingBatchSampler) else []
        if on_epoch and indices:
            state.epoch_batch_indices[dataloader_idx].append(indices)
        if on_batch:
            state.current_batch_indices = indices

    return note
