"""Loops around whole trainings: folds, seeds, learning rates, retries. Each round makes its module and its Trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Status

HEAD = """
import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset, Subset

torch.manual_seed(0)
X = torch.randn(40, 4)
Y = (X.sum(1) > 0).long()
dataset = TensorDataset(X, Y)


def make():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def evaluate(model, loader):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in loader:
            total += F.cross_entropy(model(x), y, reduction="sum").item()
    return total / len(loader.dataset)

"""
STEP = """
optimizer.zero_grad()
loss = F.cross_entropy(model(x), y)
loss.backward()
optimizer.step()
"""


def script(body: str) -> str:
    """A whole script, with the four calls of a step for each line STEP."""
    out: list[str] = []
    for line in body.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        out += [indent + one for one in STEP.split("\n") if one] if line.strip() == "STEP" else [line]
    return HEAD + "\n".join(out) + "\n"


ROUNDS = {
    "folds in main": """
def main():
    k = 2
    results = []
    best = -1.0
    for fold, seed in enumerate([3, 5]):
        torch.manual_seed(seed)
        loader = DataLoader(Subset(dataset, list(range(fold * 20, fold * 20 + 20))), batch_size=5, shuffle=True)
        val = DataLoader(Subset(dataset, list(range(20))), batch_size=7)
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        for epoch in range(2):
            model.train()
            for x, y in loader:
                STEP
            v = evaluate(model, val)
            scheduler.step()
            print(fold, epoch, v, optimizer.param_groups[0]["lr"])
            if v > best:
                best = v
                state = copy.deepcopy(model.state_dict())
        results.append(v)
        print("fold", fold, "best", best)
    model.load_state_dict(state)
    print(results, best, evaluate(model, val), optimizer.param_groups[0]["lr"], epoch, fold)


if __name__ == "__main__":
    main()
""",
    "a function called in a loop and again": """
def run(lr, epochs=2):
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    history = []
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            STEP
            history.append(loss.item())
    return model, history


results = {}
for lr in [0.1, 0.01]:
    model, history = run(lr)
    results[lr] = history
    print(lr, evaluate(model, DataLoader(dataset, batch_size=8)))
best, _ = run(0.5, epochs=3)
print(results, evaluate(best, DataLoader(dataset, batch_size=8)))
""",
    "one optimizer for all rounds": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
for cycle in range(2):
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        scheduler.step()
        print(cycle, epoch, loss.item())
    print(evaluate(model, loader), optimizer.param_groups[0]["lr"])
print(evaluate(model, loader), loss.item())
""",
    "weights put back": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
start = copy.deepcopy(model.state_dict())
for lr in (0.1, 0.3):
    model.load_state_dict(start)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
    print(lr, evaluate(model, loader))
""",
    "a round that is skipped": """
for fold in range(4):
    model = make()
    if fold == 1:
        print("skip")
        continue
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
    print(fold, loss.item())
    if fold == 2:
        break
print(torch.rand(1).item(), fold)
""",
    "what only some rounds bind": """
best_epoch = None
acc = 7
for fold in range(2):
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        model.train()
        for x, y in loader:
            STEP
        if loss.item() < 0.6:
            best_epoch = (fold, epoch)
            acc = acc + 1
    print(fold, best_epoch, acc)
print(best_epoch, acc)
""",
    "what may never be bound": """
acc = 7
for fold in range(2):
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        model.train()
        for x, y in loader:
            STEP
        if loss.item() < 60:
            best_epoch = (fold, epoch)
            acc = acc + 1
    print(fold, best_epoch, acc)
print(best_epoch, acc)
""",
    "names bound anew behind the loops": """
for fold in range(2):
    loader = DataLoader(Subset(dataset, range(fold, 30)), batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
    loss = loss.item() * 100
    print(loss)
    loader = DataLoader(dataset, batch_size=4)
    print(evaluate(model, loader))
print(loss, len(loader))
""",
    "an optimizer for each epoch": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
for epoch in range(3):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 / (epoch + 1))
    model.train()
    for i, (x, y) in enumerate(loader):
        STEP
        if i % 2 == 0:
            print(epoch, i, loss.item())
    print(epoch, evaluate(model, loader))
""",
    "a list for each round": """
every = []
for trial in range(2):
    losses = []
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
            losses.append(loss.item())
    every.append(losses)
    if trial == 0:
        first = losses
print(every, first is every[0], losses is every[1])
""",
    "steps without a loader": """
for trial in range(2):
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(5):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()
        if epoch % 2 == 0:
            print(trial, epoch, loss.item())
print(loss.item())
""",
    "a function that reads globals": """
def show():
    print("weights", sum(p.sum().item() for p in model.parameters()), fold, len(loader))


for fold in range(2):
    loader = DataLoader(Subset(dataset, range(fold, 30)), batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        show()
    show()
show()
""",
    "a while loop": """
fold = 0
while fold < 2:
    loader = DataLoader(Subset(dataset, range(fold, 30)), batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
    fold += 1
    print(fold, loss.item())
print(fold)
""",
    "two ways to one function": """
import sys


def work(rank, lr):
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
    print(rank, loss.item())


def main():
    if len(sys.argv) > 99:
        torch.multiprocessing.spawn(work, nprocs=2, args=(0.1,))
    else:
        work(0, 0.1)


main()
""",
    "again after an error": """
def train(model, lr):
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        print(epoch, loss.item())


if __name__ == "__main__":
    model = make()
    try:
        train(model, 0.1)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        train(model, 0.01)
""",
    "a function that calls itself": """
def train(depth):
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
    print(depth, loss.item())
    if depth > 0:
        train(depth - 1)


train(2)
""",
    "an early return": """
def main(evaluate_only=False):
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    if evaluate_only:
        print(evaluate(model, loader))
        return
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        print(epoch, loss.item())


main(True)
main()
print(torch.rand(1).item())
""",
    "a try in the round": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
for attempt in range(3):
    try:
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for epoch in range(2):
            model.train()
            for x, y in loader:
                STEP
        if attempt == 0:
            raise ValueError("again")
        break
    except ValueError as error:
        print("retry", error, attempt)
print(loss.item(), attempt)
""",
}


@pytest.mark.parametrize("body", ROUNDS.values(), ids=ROUNDS)
def test_each_round_is_a_fit_of_its_own(body: str, tmp_path: Path) -> None:
    result = same(script(body), tmp_path)
    assert result.optimization is Optimization.AUTOMATIC
    assert ".backward()" not in (result.code or "")


def test_folds_make_their_data_in_a_module() -> None:
    code = convert(script(ROUNDS["folds in main"]), Options()).code or ""
    assert "data = DataModule(fold)" in code and "self.hparams.fold" in code
    assert 'if hasattr(lit_model, "state"):\n            state = lit_model.state' in code


REFUSED = {
    "read before any round binds it": (
        "TL106",
        ROUNDS["what may never be bound"].replace(
            "            acc = acc + 1",
            "            print(best_epoch)\n        elif fold:\n            print(acc, best_epoch)",
        ),
    ),
    "gradients left behind": (
        "TL304",
        """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
F.cross_entropy(model(X), Y).backward()
for epoch in range(2):
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(loss.item())
""",
    ),
    "gradients left by a round": (
        "TL304",
        """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for cycle in range(2):
    for epoch in range(2):
        for i, (x, y) in enumerate(loader):
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            if i % 2:
                optimizer.step()
                optimizer.zero_grad()
    print(loss.item())
""",
    ),
}


@pytest.mark.parametrize(("code", "body"), REFUSED.values(), ids=REFUSED)
def test_what_a_round_leaves_to_the_next(code: str, body: str) -> None:
    result = convert(script(body), Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == [code]


def test_gradients_of_before_that_are_zeroed_first(tmp_path: Path) -> None:
    body = REFUSED["gradients left behind"][1].replace("        optimizer.zero_grad()\n", "")
    same(script(body.replace("        loss = F", "        optimizer.zero_grad()\n        loss = F")), tmp_path)
