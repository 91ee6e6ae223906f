"""Predictions are written with the places of their samples in the data set, as Lightning writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import callbacks as theirs
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler

import torchlift
from torchlift.callbacks import BasePredictionWriter
from torchlift.utilities.exceptions import MisconfigurationException

NUMBERS = [10, 11, 12, 13, 14]


class Reversed:
    """Not a class of torch: it has neither a size nor ``drop_last``."""

    def __iter__(self) -> Iterator[list[int]]:
        yield from ([4, 3], [2, 1], [0])

    def __len__(self) -> int:
        return 3


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(NUMBERS)


def shuffled(**options: Any) -> DataLoader:
    sampler = RandomSampler(NUMBERS, generator=torch.Generator().manual_seed(1))
    return DataLoader(NUMBERS, batch_size=2, sampler=sampler, **options)


LOADERS = {
    "in order": lambda: DataLoader(NUMBERS, batch_size=2),
    "shuffled": shuffled,
    "drops the rest": lambda: shuffled(drop_last=True),
    "workers fetch ahead": lambda: shuffled(num_workers=1, persistent_workers=True),
    "batch sampler": lambda: DataLoader(NUMBERS, batch_sampler=BatchSampler(SequentialSampler(NUMBERS), 3, True)),
    "own batch sampler": lambda: DataLoader(NUMBERS, batch_sampler=Reversed()),
    "single samples": lambda: DataLoader(NUMBERS, batch_size=None),
    "stream": lambda: DataLoader(Stream(), batch_size=2),
    "several": lambda: [DataLoader(NUMBERS, batch_size=2), shuffled()],
}


def predictions(harness: Any, kind: str, root: Path, loader: Any, interval: str, **options: Any) -> Any:
    base = harness.callback_class(kind, "BasePredictionWriter")
    bases = (base, theirs.BasePredictionWriter) if kind == "bridged" else (base,)
    written: list[Any] = []

    class Writer(*bases):  # type: ignore[misc]
        def write_on_batch_end(
            self, trainer: Any, module: Any, prediction: Any, batch_indices: Any, batch: Any, *rest: int
        ) -> None:
            written.append((prediction, list(batch_indices), torch.as_tensor(batch).tolist(), *rest))

        def write_on_epoch_end(self, trainer: Any, module: Any, predictions: Any, batch_indices: Any) -> None:
            written.append((list(predictions), batch_indices))

    lightning = harness.runtime(kind)

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
            return torch.as_tensor(batch * 10).tolist()

    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, callbacks=[Writer(interval)], enable_progress_bar=False, default_root_dir=root
    )
    return written, trainer.predict(Module(), loader, **options)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.filterwarnings("ignore")
def test_predictions_and_indices_are_lightnings(harness: Any, name: str, tmp_path: Path) -> None:
    results = [
        predictions(harness, kind, tmp_path, LOADERS[name](), "batch_and_epoch") for kind in ("lightning", "torchlift")
    ]
    assert results[0] == results[1] and results[0][0]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("interval", ["batch", "epoch"])
def test_what_is_written_when_is_lightnings(harness: Any, kind: str, tmp_path: Path, interval: str, keep: bool) -> None:
    results = [
        predictions(harness, one, tmp_path, shuffled(), interval, return_predictions=keep)
        for one in ("lightning", kind)
    ]
    assert results[0] == results[1] and results[0][0]


def test_the_indices_lead_to_the_samples_and_the_loader_stays_as_it_was(harness: Any, tmp_path: Path) -> None:
    loader = shuffled(drop_last=True)
    sampler = loader.batch_sampler
    written, returned = predictions(harness, "torchlift", tmp_path, loader, "batch")
    batches = [batch for _, _, batch, *_ in written]
    assert [[NUMBERS[index] for index in indices] for _, indices, *_ in written] == batches
    assert sorted(number for batch in batches for number in batch) == NUMBERS and len(returned) == 3
    assert loader.batch_sampler is sampler and len(loader) == 2


def test_without_a_writer_and_with_nothing_to_drop_predictions_are_whole(tmp_path: Path) -> None:
    class Module(torchlift.LightningModule):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return batch.tolist()

    trainer = torchlift.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    assert trainer.predict(Module(), DataLoader(NUMBERS, batch_size=2, drop_last=True)) == [[10, 11], [12, 13], [14]]


@pytest.mark.parametrize("name", ["single samples", "stream"])
def test_indices_that_cannot_be_known_are_named(harness: Any, name: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Couldn't infer the batch indices fetched from your dataloader: `DataLoader`"):
        written, _ = predictions(harness, "torchlift", tmp_path, LOADERS[name](), "batch")
    assert all(indices == [] for _, indices, *_ in written)


def test_an_interval_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="'batch', 'epoch', 'batch_and_epoch'"):
        BasePredictionWriter("step")  # type: ignore[arg-type]
