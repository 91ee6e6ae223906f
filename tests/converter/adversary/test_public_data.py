"""Data as public scripts make it: inline, with random numbers, read by functions of the script."""

from __future__ import annotations

from pathlib import Path

from tests.converter.adversary.harness import same

DRAWN_INLINE = """
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.randn(32, 4), torch.randn(32, 1)), batch_size=8, shuffle=True)
model = nn.Linear(4, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(2):
    for i, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        print(epoch, i, loss.item().hex())
for x, y in loader:
    print(criterion(model(x), y).item().hex())
"""

READ_BY_A_FUNCTION = """
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class Words(Dataset):
    def __init__(self):
        self.words = ["ab", "cd", "ef", "gh"] * 4
        self.kinds = sorted(set(self.words))

    def __len__(self):
        return len(self.words)

    def __getitem__(self, i):
        return self.words[i], self.kinds.index(self.words[i])

    def code(self, word):
        return [ord(c) - 96.0 for c in word]


def encode(words):
    return torch.tensor([dataset.code(w) for w in words])


dataset = Words()
loader = DataLoader(dataset, batch_size=4, shuffle=True)
model = nn.Linear(2, 4)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for epoch in range(2):
    for words, kinds in loader:
        loss = criterion(model(encode(words)), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(epoch, loss.item().hex())
"""


def test_a_loader_of_drawn_tensors_is_made_once_and_where_it_stood(tmp_path: Path) -> None:
    result = same(DRAWN_INLINE, tmp_path)
    assert result.code is not None and "return self.loader\n" in result.code


def test_a_drawn_loader_left_by_a_break_is_wrapped(tmp_path: Path) -> None:
    stopping = "        print(epoch, i, loss.item().hex())\n"
    same(DRAWN_INLINE.replace(stopping, stopping + "        if i == 2:\n            break\n"), tmp_path)


def test_a_loader_of_plain_parts_is_made_by_its_hook(tmp_path: Path) -> None:
    apart = DRAWN_INLINE.replace("loader = DataLoader(TensorDataset(", "whole = TensorDataset(")
    apart = apart.replace("(32, 1)), batch_size=8, shuffle=True)", "(32, 1))\nloader = DataLoader(whole, batch_size=8)")
    result = same(apart, tmp_path)
    assert result.code is not None and "return DataLoader(self.whole, batch_size=8)" in result.code


def test_data_that_a_function_reads_by_name_stays(tmp_path: Path) -> None:
    result = same(READ_BY_A_FUNCTION, tmp_path)
    assert result.datamodule is None
    assert [d.code for d in result.diagnostics] == ["TL701"]


def test_data_that_no_function_reads_moves(tmp_path: Path) -> None:
    reading = "[dataset.code(w) for w in words]"
    result = same(READ_BY_A_FUNCTION.replace(reading, "[[ord(c) - 96.0 for c in w] for w in words]"), tmp_path)
    assert result.datamodule == "WordsDataModule"


MODEL_FIRST = """
import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--start", type=int, default=0)


def main():
    args = parser.parse_args([])
    model = nn.Linear(4, 1)
    if args.start < 0:
        args.start = 0
    whole = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    loader = DataLoader(whole, batch_size=8, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), args.lr)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 2], last_epoch=args.start - 1)
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    for epoch in range(args.start, 3):
        for x, y in loader:
            optimizer.zero_grad()
            loss = ((model(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
        scheduler.step()
        print(epoch, loss.item().hex(), optimizer.param_groups[0]["lr"])


main()
"""


def test_a_model_made_late_does_not_pass_data_that_draws(tmp_path: Path) -> None:
    same(MODEL_FIRST, tmp_path)


def test_a_model_made_late_passes_data_that_does_not_draw(tmp_path: Path) -> None:
    still = MODEL_FIRST.replace("torch.randn(32, 4), torch.randn(32, 1)", "torch.ones(32, 4), torch.ones(32, 1)")
    result = same(still, tmp_path)
    assert result.datamodule is not None


def test_data_filled_by_a_loop(tmp_path: Path) -> None:
    """What the filling loop counts with is no option of the data."""
    code = """\
import torch
import torch.nn as nn

N = 10
X, y = torch.zeros(N * 3, 2), torch.zeros(N * 3, dtype=torch.long)
for j in range(3):
    rows = range(N * j, N * (j + 1))
    X[rows] = float(j)
    y[rows] = j
model = nn.Linear(2, 3)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
for i in range(5):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(X), y)
    loss.backward()
    optimizer.step()
    print(loss.item().hex())
"""
    assert same(code, tmp_path).datamodule
