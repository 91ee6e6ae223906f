"""Loaders that code out of sight has made: going through one draws, wherever that happens."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same

SCRIPT = """
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
others = getattr(torch.utils.data, "DataLoader")(TensorDataset(torch.randn(40, 4), torch.randn(40, 1)), 8, shuffle=True)
loader = DataLoader(TensorDataset(torch.randn(40, 4), torch.randn(40, 1)), batch_size=8, shuffle=True)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

for epoch in range(3):
    LOOK
    print(last.sum().item())
    for x, y in loader:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    print(loss.item())
"""

LOOKS = {
    "loop": "for a, b in others:\n        last = a",
    "comprehension": "last = [a for a, b in others][-1]",
    "unpacking": "(last, _), *rest = others",
    "list": "last = list(others)[-1][0]",
    "next": "last = next(iter(others))[0]",
}


@pytest.mark.parametrize("how", LOOKS)
def test_looking_at_other_batches_at_the_start_of_an_epoch(how: str, tmp_path: Path) -> None:
    result = same(SCRIPT.replace("LOOK", LOOKS[how]), tmp_path)
    assert result.code is not None and "Batches(" in result.code  # the iterator is made where the script makes it


def test_a_value_of_unknown_code_that_nothing_goes_through_is_no_loader(tmp_path: Path) -> None:
    result = same(SCRIPT.replace("LOOK", "last = torch.ones(2) * epoch").replace("others", "unused"), tmp_path)
    assert result.code is not None and "Batches(" not in result.code
