"""Functions around the loop as public scripts have them: unused, inside a main guard, sharing globals."""

from __future__ import annotations

from pathlib import Path

from tests.converter.adversary.harness import same

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Status

HEAD = """
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

"""

NEVER_CALLED = (
    HEAD
    + """
def old_train(x, y):
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def train(x, y):
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


whole = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
loader = DataLoader(whole, batch_size=8, shuffle=True)
model = nn.Linear(4, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for epoch in range(2):
    for x, y in loader:
        print(train(x, y).hex())
"""
)

INSIDE_THE_GUARD = (
    HEAD
    + """
if __name__ == "__main__":
    whole = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    loader = DataLoader(whole, batch_size=8, shuffle=True)
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def train():
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    for epoch in range(3):
        print(epoch, train().hex())
"""
)

GLOBAL_OF_MAIN = (
    HEAD
    + """
best = 100.0


def main():
    global best
    whole = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    loader = DataLoader(whole, batch_size=8, shuffle=True)
    model = nn.Linear(4, 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(3):
        total = train(loader, model, criterion, optimizer)
        is_best = total < best
        best = min(total, best)
        print(epoch, is_best, best.hex())


def train(loader, model, criterion, optimizer):
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total


if __name__ == "__main__":
    main()
    print(best.hex())
"""
)


def test_a_function_that_nothing_calls_finds_its_globals(tmp_path: Path) -> None:
    result = same(NEVER_CALLED, tmp_path)
    assert result.code is not None
    assert "def old_train(x, y):" in result.code and "model = lit_model.model" in result.code


def test_without_such_a_function_nothing_is_aliased(tmp_path: Path) -> None:
    head, _, rest = NEVER_CALLED.partition("def old_train")
    result = same(head + "def train" + rest.partition("def train")[2], tmp_path)
    assert result.code is not None and "model = lit_model.model" not in result.code


def test_a_function_inside_the_guard_that_became_hooks_goes(tmp_path: Path) -> None:
    result = same(INSIDE_THE_GUARD, tmp_path)
    assert result.code is not None and "def train():" not in result.code


def test_a_function_inside_the_guard_that_is_called_again_stays(tmp_path: Path) -> None:
    result = same(INSIDE_THE_GUARD + "    print(train().hex())\n", tmp_path)
    assert result.code is not None and "def train():" in result.code


def test_what_main_declares_global_stays_a_global(tmp_path: Path) -> None:
    result = same(GLOBAL_OF_MAIN, tmp_path)
    assert result.code is not None and "global best\n" in result.code and "self.best" not in result.code


STARRED = """
import random

import torch
import torch.nn as nn

text = "the quick brown fox jumps over the lazy dog " * 4
letters = sorted(set(text))
net = nn.GRU(len(letters), 8)
head = nn.Linear(8, len(letters))
optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=0.01)
criterion = nn.CrossEntropyLoss()


def sample():
    at = random.randint(0, len(text) - 10)
    codes = torch.tensor([letters.index(c) for c in text[at : at + 9]])
    return nn.functional.one_hot(codes[:-1], len(letters)).float(), codes[1:]


def train(inp, target):
    optimizer.zero_grad()
    out, _ = net(inp)
    loss = criterion(head(out), target)
    loss.backward()
    optimizer.step()
    return loss.item()


for epoch in range(1, 8):
    loss = train(*sample())
    if epoch % 2 == 0:
        print(epoch, loss.hex())
"""


def test_a_starred_last_argument_gives_the_parameters_that_are_left(tmp_path: Path) -> None:
    result = same(STARRED, tmp_path)
    assert result.code is not None and "inp, target = sample()" in result.code


def test_a_starred_argument_beside_a_default_is_not_guessed() -> None:
    result = convert(STARRED.replace("def train(inp, target):", "def train(inp, target, clip=1.0):"), Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL104"]


PRINTS_THE_LOSS = """
import torch
import torch.nn as nn

x, y = torch.randn(8, 2), torch.randn(8, 1)
model = nn.Linear(2, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(6):
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    w, b = model.parameters()
    print(epoch, w[0][0].item(), loss)
"""


def test_a_loss_that_is_printed_whole_keeps_its_graph(tmp_path: Path) -> None:
    result = same(PRINTS_THE_LOSS, tmp_path)
    assert result.code is not None and 'outputs["loss"]' not in result.code


def test_a_loss_of_which_the_value_is_printed_comes_from_the_outputs(tmp_path: Path) -> None:
    result = same(PRINTS_THE_LOSS.replace(".item(), loss)", ".item(), loss.item())"), tmp_path)
    assert result.code is not None and 'outputs["loss"].item()' in result.code
