"""The table of reserved names is what both runtimes really have."""

from __future__ import annotations

from collections.abc import Iterator

import lightning
import pytest
from hypothesis import given
from hypothesis import strategies as st

import torchlift
from torchlift_convert.reserved import DATA_RESERVED, RESERVED, attribute_name, unique


def _public(framework: object, kind: str = "LightningModule") -> Iterator[str]:
    """Names of the class, and those that the constructor gives to an object."""
    made = getattr(framework, kind)
    yield from (n for n in {*dir(made), *vars(made())} if not n.startswith("_"))


@pytest.mark.parametrize("framework", [torchlift, lightning], ids=lambda module: module.__name__)
def test_every_name_of_the_module_is_reserved(framework: object) -> None:
    assert set(_public(framework)) <= RESERVED


def test_no_name_is_reserved_without_need() -> None:
    """Each costs a user's variable its name. Those of older releases count: the converted script may meet one."""
    older = {"on_predict_model_train", "strategy"}
    assert {*_public(torchlift), *_public(lightning)} == RESERVED - older


def test_names_of_the_data_module() -> None:
    both = {n for framework in (torchlift, lightning) for n in _public(framework, "LightningDataModule")}
    assert both == DATA_RESERVED


@pytest.mark.parametrize("name", ["device", "logger", "log", "training", "setup", "forward"])
def test_taken_name_steps_aside(name: str) -> None:
    assert attribute_name(name) == f"{name}_" and attribute_name(name) not in RESERVED


@pytest.mark.parametrize("name", ["model", "best_acc", "device_", "losses"])
def test_free_name_stays(name: str) -> None:
    assert attribute_name(name) == name


NAMES = st.sampled_from(["x", "x_2", "x_3", "train_x", "y"])


@given(NAMES, st.sets(NAMES), st.sampled_from(["", "train"]))
def test_unique_is_free_and_changes_a_free_name_never(name: str, taken: set[str], prefer: str) -> None:
    found = unique(name, taken, prefer=prefer)
    assert found not in taken
    assert found == name or name in taken
