"""Any change of a bit changes the digest; what a reader cannot see does not."""

from __future__ import annotations

import collections
import copy
from types import SimpleNamespace

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from torchlift.verify.digest import of_gradient, of_object, of_tensor

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.complex64]


@given(st.sampled_from(DTYPES), st.integers(1, 40), st.data())
def test_one_flipped_bit_changes_it(dtype: torch.dtype, size: int, data: st.DataObject) -> None:
    tensor = torch.randint(0, 100, (size,)).to(dtype)
    other = tensor.clone()
    raw = other.view(torch.uint8)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert of_tensor(tensor) == of_tensor(tensor.clone())
    assert of_tensor(tensor) != of_tensor(other)
    assert of_object({"a": [tensor]}) != of_object({"a": [other]})


def test_dtype_and_shape_count_and_strides_do_not() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    assert of_tensor(tensor) != of_tensor(tensor.double())
    assert of_tensor(tensor) != of_tensor(tensor.reshape(3, 2))
    assert of_tensor(tensor.t().contiguous().t()) == of_tensor(tensor)
    assert of_tensor(nn.Parameter(tensor)) == of_tensor(tensor)
    assert of_tensor(torch.tensor(1.0)) != of_tensor(torch.tensor([1.0]))


def test_layouts_that_hold_the_same_values_have_the_same_digest() -> None:
    tensor = torch.eye(3)
    assert of_tensor(tensor.to_sparse()) == of_tensor(tensor)
    assert of_tensor(torch.empty(0)) == of_tensor(torch.empty(0))
    complex_ = torch.tensor([1 + 2j])
    assert of_tensor(complex_.conj()) == of_tensor(torch.tensor([1 - 2j]))


def test_no_gradient_and_a_zero_gradient_are_the_same() -> None:
    assert of_gradient(None) == of_gradient(torch.zeros(2, 3)) == "-"
    assert of_gradient(torch.tensor([0.0, 1e-45])) != "-"


SAME = [
    (collections.OrderedDict(a=1, b=2), {"b": 2, "a": 1}),
    ({1, 2}, {2, 1}),
    (nn.Linear(2, 2).state_dict(), None),
    (SimpleNamespace(a=1), SimpleNamespace(a=1)),
    (torch.device("cpu"), torch.device("cuda:0")),
    (numpy.arange(3), numpy.arange(3)),
    (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), None),
]
DIFFERENT = [
    ([1, 2], [2, 1]),
    ([1], (1,)),
    (1, True),
    (1, 1.0),
    (0.1 + 0.2, 0.3),
    ("1", 1),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, {"a": 1, "b": None}),
    (numpy.float32(1), numpy.float64(1)),
    (numpy.arange(3), numpy.arange(3.0)),
    (SimpleNamespace(a=1), SimpleNamespace(a=2)),
    (nn.ReLU(), nn.Tanh()),
    (nn.Dropout(0.1), nn.Dropout(0.2)),
    (b"a", b"b"),
    (torch.float32, torch.float64),
]


@pytest.mark.parametrize(("value", "other"), SAME)
def test_equal_objects(value: object, other: object) -> None:
    assert of_object(value) == of_object(copy.deepcopy(value) if other is None else other)


@pytest.mark.parametrize(("value", "other"), DIFFERENT)
def test_different_objects(value: object, other: object) -> None:
    assert of_object(value) != of_object(other)


def test_a_cycle_ends() -> None:
    first: list[object] = [1]
    first.append(first)
    second: list[object] = [1]
    second.append(second)
    assert of_object(first) == of_object(second) != of_object([1, [1]])


def test_what_cannot_be_pickled_counts_by_its_type() -> None:
    assert of_object(x for x in [1]) == of_object(x for x in [2])


def test_an_optimizer_and_its_state() -> None:
    def made(lr: float) -> torch.optim.Optimizer:
        torch.manual_seed(0)
        layer = nn.Linear(2, 1)
        optimizer = torch.optim.Adam(layer.parameters(), lr=lr)
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return optimizer

    assert of_object(made(0.1).state_dict()) == of_object(made(0.1).state_dict())
    assert of_object(made(0.1).state_dict()) != of_object(made(0.2).state_dict())
