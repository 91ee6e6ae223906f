"""Each kind of loader through each entry point: batches, warnings and errors, against real lightning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
from lightning.fabric.utilities import data as their_data
from torch.utils._pytree import tree_leaves
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler, TensorDataset

import torchlift as L
from torchlift.utilities import CombinedLoader
from torchlift.utilities import data as our_data
from torchlift.utilities.data import has_len_all_ranks, suggested_max_num_workers


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(torch.arange(5.0))


class Sized(Stream):
    def __len__(self) -> int:
        return 5


class OddBatches:
    """A batch sampler that derives from none of torch's."""

    def __init__(self, sampler: Any, batch_size: int = 2, drop_last: bool = False) -> None:
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Any:
        return iter(BatchSampler(self.sampler, self.batch_size, self.drop_last))

    def __len__(self) -> int:
        return (len(self.sampler) + 1) // 2


class Breaking(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        if index == 3:
            raise RuntimeError("bad sample")
        return float(index)


def rows(number: int = 5) -> TensorDataset:
    return TensorDataset(torch.arange(float(number)))


def loader(number: int = 5, **options: Any) -> DataLoader:
    return DataLoader(rows(number), batch_size=2, **options)


LOADERS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda R: loader(),
    "shuffled": lambda R: loader(shuffle=True),
    "with a generator": lambda R: loader(shuffle=True, generator=torch.Generator().manual_seed(3)),
    "drop_last": lambda R: loader(drop_last=True),
    "sequential batch sampler": lambda R: DataLoader(rows(), batch_sampler=OddBatches(SequentialSampler(rows()))),
    "without batches": lambda R: DataLoader(rows(), batch_size=None, shuffle=True),
    "empty": lambda R: loader(0),
    "stream": lambda R: DataLoader(Stream(), batch_size=2),
    "stream with a length": lambda R: DataLoader(Sized(), batch_size=2),
    "breaking": lambda R: DataLoader(Breaking(), batch_size=2),
    "list": lambda R: [loader(), loader(3)],
    "dict": lambda R: {"a": loader(), "b": loader(3)},
    "nested": lambda R: {"a": [loader(), loader(3)], "b": (loader(1),)},
    "no loader in a list": lambda R: [],
    "batches": lambda R: [torch.ones(2), torch.zeros(2)],
    "generator": lambda R: (torch.ones(2) * number for number in range(3)),
    "range": lambda R: range(3),
    "number": lambda R: 3,
    "object": lambda R: object(),
    "min_size": lambda R: combined(R, "min_size"),
    "max_size": lambda R: combined(R, "max_size"),
    "max_size_cycle": lambda R: combined(R, "max_size_cycle"),
    "sequential": lambda R: combined(R, "sequential"),
}
CALLS: dict[str, dict[str, Any]] = {
    "fit": {},
    "fit, overfit": {"overfit_batches": 2},
    "fit, limits": {"limit_train_batches": 2, "limit_val_batches": 1},
    "fit, shares": {"limit_train_batches": 0.7, "limit_val_batches": 0.3, "num_sanity_val_steps": 0},
    "fit, reload": {"reload_dataloaders_every_n_epochs": 1},
    "validate": {},
    "test": {"limit_test_batches": 0.1},
    "predict": {},
}


def combined(R: Any, mode: str) -> Any:
    kind = CombinedLoader if R is L else lightning.pytorch.utilities.CombinedLoader
    return kind({"a": loader(), "b": loader(3)}, mode)


def outcome(R: Any, lab: Any, call: str, make: Callable[[Any], Any]) -> Any:
    """The batches that the steps saw, the error's type, and the warnings about loaders."""
    seen: list[Any] = []

    class Module(R.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.look(batch, batch_idx, 0)

        def look(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
            numbers = [leaf.flatten().tolist() if hasattr(leaf, "flatten") else leaf for leaf in tree_leaves(batch)]
            seen.append((batch_idx, dataloader_idx, numbers))
            return self.weight * 0.5

        validation_step = test_step = predict_step = look

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    name, error = call.partition(",")[0], None
    torch.manual_seed(0)
    trainer = R.Trainer(max_epochs=2, **CALLS[call], **lab.QUIET)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            options = {"val_dataloaders": make(R)} if name == "fit" else {}
            getattr(trainer, name)(Module(), make(R), **options)
        except Exception as exception:
            error = type(exception).__name__
    words = ("loader", "Loader", "__len__", "overfit")
    told = {(w.category.__name__, str(w.message)) for w in said if any(word in str(w.message) for word in words)}
    return {"seen": seen, "error": error, "warnings": told}


@pytest.mark.parametrize("call", CALLS)
def test_each_loader_through_each_entry_point(call: str, lab: Any, monkeypatch: Any) -> None:
    for module in (our_data, their_data):
        monkeypatch.setattr(module, "_num_cpus_available", lambda: 8)
    for name, make in LOADERS.items():
        ours, theirs = (outcome(R, lab, call, make) for R in (L, lightning))
        assert ours == theirs, name


def test_shuffling_is_turned_off_in_a_loader_of_any_class(lab: Any) -> None:
    class Labelled(DataLoader):
        def __init__(self, label: str, data: Any) -> None:
            super().__init__(data, batch_size=2, shuffle=True)
            self.label = label

    mine = Labelled("mine", rows())
    found = outcome(L, lab, "fit, overfit", lambda R: mine)
    assert found["error"] is None
    assert {str(batch) for *_, batch in found["seen"]} == {"[[0.0, 1.0]]", "[[2.0, 3.0]]"}
    assert isinstance(mine.sampler, RandomSampler)  # the user's own is left alone

    class Opaque:
        def __iter__(self) -> Any:
            return iter([[1, 0], [3, 2]])

        def __len__(self) -> int:
            return 2

    shuffled = loader(shuffle=True)
    assert outcome(L, lab, "fit, overfit", lambda R: [shuffled, DataLoader(rows(), batch_sampler=Opaque())])[
        "error"
    ] == ("TypeError")


def test_prediction_keeps_the_order_of_the_users_sampler(lab: Any) -> None:
    # Lightning puts the loader's default sampler into the batch sampler, and so reads in order.
    found = outcome(L, lab, "predict", lambda R: DataLoader(rows(), batch_sampler=OddBatches([4, 2, 0])))
    assert [numbers for *_, numbers in found["seen"]] == [[[4.0, 2.0]], [[0.0]]]


def test_a_method_that_was_set_to_none(lab: Any) -> None:
    module = lab.classifier(L)()
    module.train_dataloader = None
    with pytest.raises(TypeError, match=r"invalid dataloader was passed to `Trainer\.fit\(train_dataloaders=.*OR impl"):
        L.Trainer(**lab.QUIET).fit(module)


def test_workers_that_start_anew(lab: Any) -> None:
    spawning = loader(num_workers=1, multiprocessing_context="spawn")
    kept = loader(num_workers=1, persistent_workers=True, pin_memory=True)
    from torchlift.data_checks import check_workers

    trainer = L.Trainer(reload_dataloaders_every_n_epochs=1, **lab.QUIET)
    with pytest.warns(UserWarning, match="persistent_workers=True` in 'train_dataloader'"):
        check_workers(trainer, spawning, "train_dataloader")
    with pytest.warns(UserWarning, match="can lead to instability"):
        check_workers(trainer, kept, "train_dataloader")


def test_workers_for_the_cores_that_there_are(monkeypatch: Any) -> None:
    monkeypatch.setattr(our_data, "_num_cpus_available", lambda: 9)
    assert [suggested_max_num_workers(number) for number in (1, 2, 8, 20)] == [8, 3, 1, 1]
    with pytest.raises(ValueError, match="should be >= 1"):
        suggested_max_num_workers(0)


def test_a_length_that_only_other_processes_have() -> None:
    class Others:
        root_device = torch.device("cpu")

        def reduce(self, tensor: Any, reduce_op: str) -> Any:
            return tensor + 3

    assert not has_len_all_ranks(DataLoader(Stream()), Others())
    with pytest.raises(RuntimeError, match="within local rank has zero length"):
        has_len_all_ranks(loader(0), Others())
    assert has_len_all_ranks(loader(0), Others(), allow_zero_length=True)
