"""Seeds, combined loaders, batches in transit and data modules on their own."""

from __future__ import annotations

import os
import random
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from typing import Any

import lightning
import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.fabric.utilities import move_data_to_device as their_move
from lightning.pytorch.utilities import CombinedLoader as TheirLoader
from torch.utils.data import DataLoader, TensorDataset

import torchlift as L
from torchlift.utilities import CombinedLoader
from torchlift.utilities.apply import move_data_to_device
from torchlift.utilities.seed import isolate_rng

MODES = ("min_size", "max_size_cycle", "max_size", "sequential")


def test_seed_everything_seeds_everything() -> None:
    draws = []
    for R in (L, lightning):
        assert R.seed_everything(42, verbose=False) == 42
        draws.append((random.random(), numpy.random.rand(), torch.rand(1).item()))
        assert os.environ.pop("PL_GLOBAL_SEED") == "42"
        assert os.environ.pop("PL_SEED_WORKERS") == "0"
    assert draws[0] == draws[1]


def test_seeds_out_of_range_and_from_the_environment(monkeypatch: Any) -> None:
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match="not in bounds"):
            L.seed_everything(seed)
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    assert L.seed_everything(verbose=False) == 7
    monkeypatch.setenv("PL_GLOBAL_SEED", "seven")
    with pytest.raises(ValueError, match="seven"):
        L.seed_everything()


def test_isolated_draws_leave_no_trace() -> None:
    states = (torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist())
    with isolate_rng():
        torch.rand(3), random.random(), numpy.random.rand()
    after = (torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist())
    assert torch.equal(states[0], after[0]) and states[1:] == after[1:]


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    mode=st.sampled_from(MODES),
    limited=st.booleans(),
    data=st.data(),
)
def test_combined_loader_is_lightnings(sizes: list[int], mode: Any, limited: bool, data: Any) -> None:
    """The same batches, in the same order, of the same length, for any sizes and limits."""
    limits = [data.draw(st.integers(0, 6)) for _ in sizes] if limited else None
    results = []
    for kind in (CombinedLoader, TheirLoader):
        combined: Any = kind([range(100 * i, 100 * i + size) for i, size in enumerate(sizes)], mode)
        combined.limits = limits
        iterator = iter(combined)
        results.append((list(iterator), len(combined)))
    assert results[0] == results[1]


@pytest.mark.parametrize("mode", MODES)
def test_combined_loader_keeps_the_nesting(mode: Any) -> None:
    nested = {"a": [1, 2, 3], "b": [range(2), {"c": range(4)}]}
    results = []
    for kind in (CombinedLoader, TheirLoader):
        combined: Any = kind(nested, mode)
        results.append(list(combined))
    assert results[0] == results[1]


def test_combined_loader_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="max_size_cycle"):
        CombinedLoader([range(2)], "longest")  # type: ignore[arg-type]
    combined = CombinedLoader([range(2), range(3)])
    with pytest.raises(RuntimeError, match="iter"):
        len(combined)
    with pytest.raises(ValueError, match="limits"):
        combined.limits = [1]
    with pytest.raises(ValueError, match="flattened"):
        combined.flattened = [range(1)]


# -- batches in transit -----------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "x y")


@dataclass
class Batch:
    x: torch.Tensor
    name: str


class Movable:
    def __init__(self) -> None:
        self.moved = False

    def to(self, device: Any) -> None:
        self.moved = True


def shapes() -> dict[str, Any]:
    x, y = torch.ones(2), torch.zeros(3)
    return {
        "tensor": x,
        "list": [x, y],
        "tuple": (x, [y, "s"]),
        "dict": {"x": x, "y": {"z": y}},
        "ordered": OrderedDict(x=x),
        "defaults": defaultdict(list, {"x": [x]}),
        "named": Pair(x, y),
        "dataclass": Batch(x, "n"),
        "text": ["a", 1, None],
        "number": 3,
    }


@pytest.mark.parametrize("name", shapes())
def test_moving_keeps_types_and_values(lab: Any, name: str) -> None:
    batch = shapes()[name]
    ours, theirs = move_data_to_device(batch, "cpu"), their_move(batch, torch.device("cpu"))
    assert type(ours) is type(theirs)
    plain = [lab.told(vars(one) if name == "dataclass" else one) for one in (ours, theirs)]
    assert plain[0] == plain[1]
    assert (ours is batch) == (theirs is batch) or name in ("tuple",)


def test_moving_calls_to_and_forgives_a_missing_return() -> None:
    movable = Movable()
    assert move_data_to_device([movable], "cpu") == [movable] and movable.moved
    moved = move_data_to_device({"x": torch.ones(2)}, "meta")
    assert moved["x"].device.type == "meta"


# -- data modules alone -----------------------------------------------------------------------------------------------


def test_a_data_module_works_alone() -> None:
    class Data(L.LightningDataModule):
        def __init__(self, size: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()

        def setup(self, stage: str) -> None:
            self.rows = TensorDataset(torch.arange(6))

        def train_dataloader(self) -> Any:
            return DataLoader(self.rows, batch_size=self.hparams.size)

    data = Data(size=3)
    assert "Train dataloader: None" in str(data)
    data.prepare_data()
    data.setup("fit")
    assert [batch[0].tolist() for batch in data.train_dataloader()] == [[0, 1, 2], [3, 4, 5]]
    assert "Train dataloader: size=6" in str(data)
    assert (data.trainer, data.state_dict()) == (None, {})
    with pytest.raises(Exception, match="val_dataloader"):
        data.val_dataloader()


def test_from_datasets(lab: Any) -> None:
    def described(R: Any) -> Any:
        torch.manual_seed(0)
        rows = TensorDataset(torch.arange(5))
        data = R.LightningDataModule.from_datasets(rows, [rows, rows], batch_size=2)
        batches = [batch[0].tolist() for batch in data.train_dataloader()]
        return batches, [len(loader) for loader in data.val_dataloader()]

    assert described(L) == described(lightning)
