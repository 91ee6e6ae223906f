"""Batches that come from no loader: whatever a loop goes over, a Trainer goes over it in the same way."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from tests.converter.adversary.harness import same

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Status

HEAD = """
import itertools
import random

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

torch.manual_seed(1)
X = torch.randn(40, 4)
Y = X.sum(dim=1, keepdim=True)
"""
LOADER = "loader = DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True)\n"
FUNCTIONS = """
def infinite(loader):
    while True:
        for batch in loader:
            yield batch


def batches(size):
    order = torch.randperm(len(X))
    for start in range(0, len(X), size):
        rows = order[start : start + size]
        yield X[rows], Y[rows] + 0.01 * torch.randn(len(rows), 1)
    print("all given", torch.rand(1))


"""
MODEL = """
model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 1))
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
"""
STEP = """optimizer.zero_grad()
loss = criterion(model(x), y)
loss.backward()
optimizer.step()
"""
END = "print(sum(p.sum().item() for p in model.parameters()), torch.rand(1))\n"


def script(loop: str, data: str = LOADER + FUNCTIONS) -> str:
    """A script around a loop, in which STEP stands for one training step."""
    lines = []
    for line in textwrap.dedent(loop).strip("\n").splitlines():
        pad = line[: len(line) - len(line.lstrip())]
        lines.append(textwrap.indent(STEP, pad) if line.strip() == "STEP" else line + "\n")
    return HEAD + data + MODEL + "".join(lines) + END


def in_main(loop: str) -> str:
    """The same with the data, the model and the loop in a function."""
    whole = script(loop, LOADER)
    head, _, rest = whole.partition("torch.manual_seed(1)\n")
    functions = FUNCTIONS.replace("batches(size)", "batches(X, Y, size)")
    return head + functions + "def main():\n" + textwrap.indent(rest, "    ") + "\n\nmain()\n"


STEPS = {
    "a generator": "for x, y in batches(8):\n    STEP\n    print(loss.item())",
    "a counted generator": "for i, (x, y) in enumerate(batches(8), 1):\n    STEP\n    print(i, loss.item())",
    "an endless generator, left": """
        for step, (x, y) in enumerate(infinite(loader)):
            if step >= 12:
                break
            STEP
            print(step, loss.item())
        print(step, x.sum())
    """,
    "an endless generator, left behind the step": """
        for step, (x, y) in enumerate(infinite(loader)):
            STEP
            print(step, loss.item())
            if step == 6:
                break
        print(step, x.sum())
    """,
    "zip with a range": "for step, (x, y) in zip(range(12), infinite(loader)):\n    STEP\n    print(step, loss.item())",
    "islice": "for x, y in itertools.islice(loader, 3):\n    STEP\n    print(loss.item())",
    "cycle": "for x, y in itertools.islice(itertools.cycle(loader), 12):\n    STEP\n    print(loss.item())",
    "next": """
        it = infinite(loader)
        for step in range(12):
            x, y = next(it)
            STEP
            print(step, loss.item())
    """,
    "next of what ends": """
        it = iter(loader)
        for step in range(5):
            batch = next(it)
            x, y = batch
            STEP
            print(step, loss.item())
        print(step, len(batch))
    """,
    "next, begun anew": """
        it = iter(loader)
        for step in range(12):
            try:
                x, y = next(it)
            except StopIteration:
                it = iter(loader)
                x, y = next(it)
            STEP
            print(step, loss.item())
    """,
    "next, and what is left over afterwards": """
        it = iter(loader)
        for step in range(3):
            x, y = next(it)
            STEP
        for x, y in it:
            print(x.sum())
    """,
    "batches passed over": """
        for i, (x, y) in enumerate(loader):
            if i % 2 == 1:
                continue
            STEP
            print(i, loss.item())
        print(i, x.sum())
    """,
}


@pytest.mark.parametrize("loop", STEPS.values(), ids=STEPS.keys())
def test_steps(loop: str, tmp_path: Path) -> None:
    result = same(script(loop), tmp_path)
    assert result.optimization is Optimization.AUTOMATIC


@pytest.mark.parametrize("loop", STEPS.values(), ids=STEPS.keys())
def test_steps_in_a_function(loop: str, tmp_path: Path) -> None:
    result = same(in_main(loop.replace("batches(8", "batches(X, Y, 8")), tmp_path)
    assert result.optimization is Optimization.AUTOMATIC


EPOCHS = {
    "a generator": "for x, y in batches(8):\n        STEP",
    "an endless generator, made anew": "for x, y in itertools.islice(infinite(loader), 3):\n        STEP",
    "an iterator, used up in the first epoch": "for x, y in once:\n        STEP",
    "parts of two tensors": "for x, y in zip(X.split(8), Y.split(8)):\n        STEP",
    "parts in another order each time": """order = torch.randperm(40)
    for x, y in zip(X[order].split(8), Y[order].split(8)):
        STEP""",
    "rows in another order each time": """for rows in torch.randperm(40).split(8):
        x, y = X[rows], Y[rows]
        STEP""",
    "a range that the epoch computes": """count = len(X) // 8
    for k in range(count):
        x, y = X[8 * k : 8 * k + 8], Y[8 * k : 8 * k + 8]
        STEP
    print(count)""",
    "a range that grows": """for k in range(epoch + 1):
        x, y = X[8 * k : 8 * k + 8], Y[8 * k : 8 * k + 8]
        STEP""",
    "an iterator asked by hand": """it = iter(loader)
    for i in range(len(loader)):
        x, y = next(it)
        STEP""",
    "a loader made in the loop": """for x, y in DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True):
        STEP""",
    "a zip that ends first": "for i, (x, y) in zip(range(3), loader):\n        STEP\n        print(i)",
    "left at the top": """for i, (x, y) in enumerate(loader):
        if i == 3:
            break
        STEP""",
    "left at the top, and looked at": """for i, (x, y) in enumerate(loader):
        if i == 3:
            break
        STEP
    print(i, x.sum())""",
    "left by what the last step changed": """total = 0.0
    for x, y in loader:
        if total > 5:
            break
        STEP
        total += loss.item()
    print(total)""",
}


@pytest.mark.parametrize("loop", EPOCHS.values(), ids=EPOCHS.keys())
def test_epochs(loop: str, tmp_path: Path) -> None:
    body = (
        "once = itertools.islice(infinite(loader), 6)\nloss = torch.tensor(0.0)\n"
        f"for epoch in range(3):\n    {loop}\n    print(epoch, loss.item(), torch.rand(1))\n"
    )
    result = same(script(body), tmp_path)
    assert result.optimization is Optimization.AUTOMATIC


def test_a_stream_that_only_the_data_decides_is_the_data_modules(tmp_path: Path) -> None:
    data = LOADER + FUNCTIONS.partition("def batches")[0]
    result = same(script(STEPS["zip with a range"], data), tmp_path)
    assert result.datamodule is not None and result.code is not None
    assert "infinite(self.loader)" in result.code


def test_an_iterator_that_ends_too_early_fails_as_it_did(tmp_path: Path) -> None:
    source = script(STEPS["next of what ends"].replace("range(5)", "range(7)"))
    with pytest.raises(StopIteration):
        same(source, tmp_path)
    result = convert(source, Options())
    assert result.code is not None
    with pytest.raises(RuntimeError, match="StopIteration"):
        exec(compile(result.code, "train.py", "exec"), {"__name__": "__main__"})


def test_a_batch_that_is_changed_in_place_is_refused() -> None:
    source = script("pairs = [[X, Y]] * 5\nfor pair in iter(pairs):\n    x, y = pair\n    STEP\n    pair.append(0)\n")
    result = convert(source, Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.refusals] == ["TL702"]


def test_what_stands_at_the_start_of_an_epoch_may_end_the_loop(tmp_path: Path) -> None:
    loop = """
        best = 100.0
        for epoch in range(5):
            if best < 20.0:
                print("enough")
                break
            best = 0.0
            for x, y in loader:
                STEP
                best += loss.item()
            print(epoch, best)
        print(epoch)
    """
    same(script(loop), tmp_path)


def test_an_epoch_that_is_passed_over_is_refused() -> None:
    loop = "for epoch in range(5):\n    if epoch == 2:\n        continue\n    for x, y in loader:\n        STEP\n"
    assert [d.code for d in convert(script(loop), Options()).refusals] == ["TL105"]


WHILES = {
    "epochs": """
        epoch = 0
        while epoch < 3:
            for x, y in loader:
                STEP
            print(epoch, loss.item())
            epoch += 1
        print(epoch)
    """,
    "epochs, counted first": """
        epoch = 0
        while epoch < 3:
            epoch += 1
            for x, y in loader:
                STEP
            print(epoch, loss.item())
        print(epoch)
    """,
    "epochs, for ever": """
        epoch = 0
        while True:
            for x, y in loader:
                STEP
            print(epoch, loss.item())
            epoch += 1
            if epoch >= 3:
                break
        print(epoch)
    """,
    "epochs, until they are good enough": """
        epoch, total = 0, 100.0
        while total > 5.0 and epoch < 50:
            total = 0.0
            for x, y in loader:
                STEP
                total += loss.item()
            epoch += 1
            if epoch == 2:
                continue
            print(epoch, total)
        print(epoch, total)
    """,
    "epochs, never": """
        epoch, total = 0, 1.0
        while total > 5.0:
            for x, y in loader:
                STEP
                total += loss.item()
            epoch += 1
        print(epoch, total)
    """,
    "epochs, while they get better": """
        best, total, bad = 1000.0, 999.0, 0
        while total < best or bad < 1:
            bad += not total < best
            best, total = min(best, total), 0.0
            for x, y in loader:
                STEP
                total += loss.item()
            print(best, total, bad, torch.rand(1))
        print(best, total, bad)
    """,
    "epochs, counted without an end": """
        for epoch in itertools.count(1):
            for x, y in loader:
                STEP
            print(epoch, loss.item())
            if loss.item() < 1.0 or epoch == 4:
                break
        print(epoch)
    """,
    "steps": """
        step = 0
        while step < 7:
            x, y = next(endless)
            STEP
            if step % 2 == 0:
                print(step, loss.item())
            step += 1
        print(step)
    """,
    "steps, for ever": """
        step = 0
        while True:
            x, y = next(endless)
            STEP
            step += 1
            if step > 7:
                break
            if step % 3 == 0:
                continue
            print(step, loss.item())
        print(step)
    """,
    "steps, left in front of the batch": """
        step = 0
        while True:
            if step == 7:
                print("enough")
                break
            x, y = next(endless)
            step += 1
            STEP
        print(step, x.sum())
    """,
    "steps, never": "step = 3\nwhile step < 3:\n    x, y = next(endless)\n    STEP\n    step += 1\nprint(step)",
    "steps of rounds over a loader": """
        step = 0
        while step < 12:
            for x, y in loader:
                STEP
                step += 1
                if step % 4 == 0:
                    print(step, loss.item())
                if step >= 12:
                    break
            print("round", step)
        print(step)
    """,
    "steps of rounds over a loader, done": """
        step, done = 0, False
        while not done:
            for x, y in loader:
                STEP
                step += 1
                if step == 12:
                    done = True
                    break
        print(step)
    """,
    "steps, until they are good enough": """
        loss = torch.tensor(100.0)
        x, y = X, Y
        while loss.item() > 4.0:
            STEP
        print(loss.item())
    """,
    "batches cut by hand": """
        for epoch in range(3):
            i = 0
            while i < len(X):
                x, y = X[i : i + 8], Y[i : i + 8]
                STEP
                i += 8
            print(epoch, i, loss.item())
    """,
    "batches asked for until there are none": """
        for epoch in range(3):
            it = iter(loader)
            while True:
                try:
                    x, y = next(it)
                except StopIteration:
                    break
                STEP
            print(epoch, loss.item())
    """,
    "batches until a round is good enough": """
        for epoch in range(3):
            total = 0.0
            while total < 6.0:
                x, y = next(endless)
                STEP
                total += loss.item()
            print(epoch, total, torch.rand(1))
    """,
}
ENDLESS = "endless = infinite(loader)\n"


@pytest.mark.parametrize("loop", WHILES.values(), ids=WHILES.keys())
def test_whiles(loop: str, tmp_path: Path) -> None:
    result = same(script(ENDLESS + textwrap.dedent(loop).lstrip("\n")), tmp_path)
    assert result.optimization is Optimization.AUTOMATIC


@pytest.mark.parametrize("loop", WHILES.values(), ids=WHILES.keys())
def test_whiles_in_a_function(loop: str, tmp_path: Path) -> None:
    result = same(in_main(ENDLESS + textwrap.dedent(loop).lstrip("\n")), tmp_path)
    assert result.optimization is Optimization.AUTOMATIC


MANUAL = """
step = 0
x, y = next(endless)
while True:
    if step % 4 == 0:
        with torch.no_grad():
            print("looked", step, criterion(model(X), Y).item())
    if step == 0 and torch.rand(1) > 2:
        break
    for micro in range(2):
        loss = criterion(model(x), y) / 2
        x, y = next(endless)
        loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    step += 1
    if step > 9:
        break
print(step)
"""


@pytest.mark.parametrize("around", [script, in_main])
def test_gradients_added_up_inside_a_step_for_ever(around, tmp_path: Path) -> None:
    result = same(around(ENDLESS + MANUAL), tmp_path)
    assert result.optimization is Optimization.MANUAL


def test_a_value_given_by_a_named_expression_that_other_hooks_read_is_refused() -> None:
    loop = "bad = 0\nwhile (bad := bad + 1) < 3:\n    for x, y in loader:\n        STEP\n    print(bad)\n"
    assert [d.code for d in convert(script(loop), Options()).refusals] == ["TL106"]
    loop = "bad = 0\nfor epoch in range(3):\n    for x, y in loader:\n        STEP\n    print(bad := bad + 1)\n"
    assert [d.code for d in convert(script(loop), Options()).refusals] == ["TL106"]


COUNTED = {
    "counted last": ("epoch = 0\nwhile epoch < 3:\n    EPOCH\n    epoch += 1\nprint(epoch)", "3"),
    "counted first": ("epoch = 0\nwhile epoch < 3:\n    epoch += 1\n    EPOCH\nprint(epoch)", "3"),
    "up to": ("epoch = 1\nwhile epoch <= 3:\n    EPOCH\n    epoch = epoch + 1\nprint(epoch)", "3"),
    "the other way round": ("epoch = 2\nwhile 5 > epoch:\n    EPOCH\n    epoch += 1\nprint(epoch)", "3"),
    "to a name": ("rounds = 3\nepoch = 0\nwhile epoch < rounds:\n    EPOCH\n    epoch += 1\nprint(epoch)", "rounds"),
    "left before that": (
        "epoch = 0\nwhile epoch < 9:\n    epoch += 1\n    EPOCH\n    if epoch == 2:\n        break\nprint(epoch)",
        "9",
    ),
    "left before that, and counted last": (
        "epoch = 0\nwhile epoch < 9:\n    EPOCH\n    if epoch == 2:\n        break\n    epoch += 1\nprint(epoch)",
        "-1",
    ),
    "with another number after a round": (
        "epoch = 0\nwhile epoch < 5:\n    EPOCH\n    if epoch == 1:\n        epoch = 3\n    epoch += 1\nprint(epoch)",
        "-1",
    ),
    "with an end that moves": (
        "epoch, end = 0, 2\nwhile epoch < end:\n    EPOCH\n    end = 4\n    epoch += 1\nprint(epoch)",
        "-1",
    ),
    "with a round that is not counted": (
        "again, epoch = True, 0\nwhile epoch < 3:\n    EPOCH\n    if epoch == 1 and again:\n        again = False\n"
        "        continue\n    epoch += 1\nprint(epoch)",
        "-1",
    ),
}


@pytest.mark.parametrize("around", [script, in_main])
@pytest.mark.parametrize("loop,limit", COUNTED.values(), ids=COUNTED.keys())
def test_epochs_counted_by_hand(around, loop: str, limit: str, tmp_path: Path) -> None:
    whole = loop.replace("EPOCH", "for x, y in loader:\n        STEP\n    print(epoch, loss.item())")
    result = same(around(whole), tmp_path)
    assert result.code is not None
    assert f"max_epochs={limit}," in result.code or f"max_epochs=self.{limit}," in result.code


def test_the_comments_of_a_while_loop_stay() -> None:
    loop = """
        # from nothing
        epoch = 0  # none yet
        # as long as it takes
        while epoch < 3:  # three times
            # all of them
            for x, y in loader:
                STEP
                # a step less
            # one more
            epoch += 1  # counted
            # and on
    """
    result = convert(script(loop), Options())
    assert result.code is not None
    for comment in ("from nothing", "none yet", "as long", "three times", "all of them", "a step less", "one more"):
        assert result.code.count(f"# {comment}") == 1, comment
    assert result.code.count("# counted") == result.code.count("# and on") == 1


EMPTY = {
    "no round": "loss = torch.tensor(3.0)\nwhile loss < 1:\n    for x, y in loader:\n        STEP\nprint(loss.item())",
    "no step": "loss = torch.tensor(3.0)\nx, y = X, Y\nwhile loss < 1:\n    STEP\nprint(loss.item())",
    "no batch": "loss = torch.tensor(3.0)\nfor x, y in itertools.islice(loader, 0):\n    STEP\nprint(loss.item())",
    "no batch in an epoch": (
        "loss = torch.tensor(3.0)\nfor epoch in range(2):\n    for x, y in itertools.islice(loader, epoch):\n"
        "        STEP\n    print(loss.item())"
    ),
}


@pytest.mark.parametrize("around", [script, in_main])
@pytest.mark.parametrize("loop", EMPTY.values(), ids=EMPTY.keys())
def test_loops_that_do_nothing(around, loop: str, tmp_path: Path) -> None:
    same(around(loop), tmp_path)


def test_parts_of_a_batch_made_anew_under_a_condition(tmp_path: Path) -> None:
    loop = "for x, y in iter(loader):\n    if len(x) > 2:\n        x = x * 2\n    STEP\nprint(x.sum())"
    same(script(loop), tmp_path)
    loop = "for x, y in iter(loader):\n    if len(x) > 2:\n        x *= 2\n    STEP\nprint(x.sum())"
    assert [d.code for d in convert(script(loop), Options()).refusals] == ["TL702"]


def test_lists_that_a_stream_goes_over_are_not_the_modules(tmp_path: Path) -> None:
    data = LOADER + "a = [1.0, 2.0, 3.0]\nb = [2.0, 4.0, 6.0]\n"
    loop = """
        for epoch in range(2):
            for u, v in zip(a, b):
                x, y = torch.full((8, 4), u), torch.full((8, 1), v)
                STEP
            print(epoch, loss.item())
    """
    same(script(loop, data), tmp_path)
