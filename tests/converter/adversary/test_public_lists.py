"""Loops over a list of samples, without a DataLoader, as tutorials on words and sequences write them."""

from __future__ import annotations

from pathlib import Path

from tests.converter.adversary.harness import same

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Status

SCRIPT = """
import random

import numpy as np
import torch
import torch.nn as nn


def main():
    pairs = [(np.arange(4.0) + i, ["a", "b"][i % 2]) for i in range(6)]
    labels = {"a": 0, "b": 1}
    model = nn.Linear(4, 2)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        total = 0.0
        for n, (x, label) in enumerate(pairs):
            optimizer.zero_grad()
            loss = criterion(model(torch.from_numpy(x).float()[None]), torch.tensor([labels[label]]))
            loss.backward()
            optimizer.step()
            total += loss.item()
            print(epoch, n, type(x).__name__, label, loss.item().hex())
        print(total.hex())
    print(len(pairs))


main()
"""


def _codes(source: str) -> list[str]:
    result = convert(source, Options())
    assert result.status is Status.REFUSED
    return [d.code for d in result.diagnostics]


def test_one_sample_of_a_list_is_one_step(tmp_path: Path) -> None:
    result = same(SCRIPT, tmp_path)
    assert result.code is not None and "x, label = batch" in result.code


def test_a_list_that_an_epoch_shuffles(tmp_path: Path) -> None:
    same(SCRIPT.replace("        total = 0.0\n", "        total = 0.0\n        random.shuffle(pairs)\n"), tmp_path)


def test_a_sample_that_a_step_changes_is_refused() -> None:
    changing = "            total += loss.item()\n"
    assert _codes(SCRIPT.replace(changing, changing + "            x += 1.0\n")) == ["TL702"]


def test_an_iterator_is_no_list(tmp_path: Path) -> None:
    """Its batches come in the first epoch; a list would give them in each."""
    made = 'pairs = [(np.arange(4.0) + i, ["a", "b"][i % 2]) for i in range(6)]'
    assert made in SCRIPT
    script = SCRIPT.replace(made, 'pairs = ((np.arange(4.0) + i, "a") for i in range(6))')
    same(script.replace("len(pairs)", "'none left'"), tmp_path)
