from __future__ import annotations

import ast

import pytest

from torchlift_convert.facts import MakesLoader


@pytest.mark.parametrize(
    "call",
    [
        "DataLoader(train_set, batch_size=8, shuffle=True)",
        "DataLoader(dataset=train_set)",
        "torch.utils.data.DataLoader(train_set)",
        "torch.utils.data.dataloader.DataLoader(train_set)",
        "DataLoader(train_set, **options)",
    ],
)
def test_sees_a_loader_and_its_dataset(seen, call: str) -> None:
    fact = seen(call)
    assert isinstance(fact, MakesLoader) and ast.unparse(fact.dataset) == "train_set"


@pytest.mark.parametrize(
    ("call", "before", "reason"),
    [
        ("DataLoader(rows)", "class DataLoader:\n    pass", "the script's own class"),
        ("DataLoader(**options)", "", "the dataset cannot be told"),
        ("torch.utils.data.TensorDataset(x, y)", "", "a dataset"),
    ],
)
def test_leaves_alone(seen, call: str, before: str, reason: str) -> None:
    assert not isinstance(seen(call, before), MakesLoader), reason
