"""How loops count, where they are left, and what is read behind them."""

from __future__ import annotations

import pytest

STEP = """
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
"""
HEADER = "for epoch in range(3):\n    model.train()\n    for i, (x, y) in enumerate(train_loader):\n"
TEST = """
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in test_loader:
            total += criterion(model(x), y).item()
    print(epoch, total)
"""
NOISY = """
class Rows(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        row = torch.randn(4)
        return row, row.sum().unsqueeze(0)


train_loader = DataLoader(Rows(), batch_size=8, shuffle=True)
test_loader = DataLoader(Rows(), batch_size=8)
"""
LEFT = {
    "at the top of the fourth batch": "        if i >= 3:\n            break" + STEP,
    "behind the third step": STEP + "        if i == 2:\n            break\n",
    "when the loss is low": STEP + "        if loss.item() < 3:\n            break\n",
    "before the step": STEP.replace("optimizer.step()", "if i == 3:\n            break\n        optimizer.step()"),
    "with the size of the set printed": STEP
    + "        if i == 2:\n            print(len(train_loader.dataset))\n            break\n",
    "batches skipped": "        if i == 1:\n            continue" + STEP,
    "batches skipped for their loss": STEP.replace(
        "loss.backward()", "if loss.item() > 5:\n            continue\n        loss.backward()"
    ),
    "the rest of a batch skipped": STEP + "        if loss.item() > 2:\n            continue\n        print(i)\n",
}


@pytest.mark.parametrize("data", [None, NOISY], ids=["", "each row drawn"])
@pytest.mark.parametrize("body", LEFT.values(), ids=LEFT)
def test_batches_left_early(traps, body: str, data: str | None) -> None:
    """A batch that was fetched before the loop was left has drawn what it draws, and none more."""
    traps.exact(HEADER + body.strip("\n") + TEST, **({"data": data} if data else {}))


EPOCHS_LEFT = {
    "at the end": "    if epoch == 1:\n        break\n",
    "for a result": "    if total < 100 and epoch == 1:\n        print('enough')\n        break\n",
    "the rest skipped": "    if epoch == 1:\n        continue\n    print('odd')\n",
}


@pytest.mark.parametrize("tail", EPOCHS_LEFT.values(), ids=EPOCHS_LEFT)
def test_epochs_left_early(traps, tail: str) -> None:
    traps.exact(HEADER + STEP.strip("\n") + TEST + tail)


COUNTED = {
    "from one": "for epoch in range(1, 4):\n    for x, y in train_loader:" + STEP + "    print(epoch)\n",
    "from a variable": "first = 2\nfor epoch in range(first, 5):\n    for x, y in train_loader:"
    + STEP
    + "    print(epoch)\n",
    "batches from one": "for epoch in range(3):\n    for i, (x, y) in enumerate(train_loader, start=1):"
    + STEP
    + "        print(i)\n",
    "by hand": "seen = 0\n"
    + HEADER
    + STEP.strip("\n")
    + "\n        seen += 1\n        if seen % 4 == 0:\n            print(seen, loss.item())\n",
    "every second line": HEADER
    + STEP.strip("\n")
    + "\n        if i % 2 == 0:\n            print(epoch, i, f'{loss.item():.3f}')\n",
    "a window's mean": "running = 0.0\n"
    + HEADER
    + STEP.strip("\n")
    + "\n        running += loss.item()\n"
    + "        if i % 2 == 1:\n            print(running / 2)\n            running = 0.0\n",
    "the last batch": HEADER
    + STEP.strip("\n")
    + "\n        if i == len(train_loader) - 1:\n            print('last', loss.item())\n",
    "none": "for epoch in range(2):\n    for x, y in train_loader:" + STEP + "print('done')\n",
}


@pytest.mark.parametrize("script", COUNTED.values(), ids=COUNTED)
def test_counting(traps, script: str) -> None:
    traps.exact(script)


BEHIND = {
    "a forward in evaluation mode": "model.eval()\nprint(model(inputs[:4]).sum().item())\n",
    "a forward in the mode that was left": "print(model.training, model(inputs[:8]).sum().item())\n",
    "the weights": "torch.save(model.state_dict(), 'final.pt')\nprint(sorted(model.state_dict()))\n",
    "what the loops bound": "print(loss.item(), epoch, i, x.sum().item())\n",
    "an evaluation": "model.eval()\nprint(sum(criterion(model(a), b).item() for a, b in test_loader))\n",
    "the optimizer": "print(optimizer.param_groups[0]['lr'], len(optimizer.state))\n",
    "a draw": "print(torch.rand(1).item(), random.random())\n",
}


@pytest.mark.parametrize("tail", ["", TEST], ids=["trained", "evaluated"])
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_behind_the_loops(traps, behind: str, tail: str) -> None:
    traps.exact(HEADER + STEP.strip("\n") + "\n" + tail.lstrip("\n") + behind)


def test_draw_at_the_start_of_each_epoch(traps) -> None:
    """Lightning makes the first epoch's iterator before any hook, and iterators draw."""
    noise = HEADER.replace("model.train()\n", "model.train()\n    noise = torch.randn(4)\n")
    traps.exact(noise + STEP.replace("model(x)", "model(x + 0.01 * noise)").strip("\n") + TEST)


def test_seed_set_in_each_epoch(traps) -> None:
    traps.exact(
        HEADER.replace("model.train()\n", "torch.manual_seed(epoch)\n    model.train()\n") + STEP.strip("\n") + TEST
    )


def test_names_that_lightning_has_taken(traps) -> None:
    loop = """
    device, log, global_step = "cpu", [], 0
    for epoch in range(2):
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
            global_step += 1
            log.append(loss.item())
    print(log, global_step, device)
    """
    traps.exact(loop)


def test_functions_that_share_the_training(traps) -> None:
    loop = """
    best = float("inf")


    def train(net, loader, opt):
        net.train()
        total = 0.0
        for x, y in loader:
            opt.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            opt.step()
            total += loss.item()
        return total / len(loader)


    def evaluate():
        global best
        model.eval()
        with torch.no_grad():
            total = sum(criterion(model(x), y).item() for x, y in test_loader)
        if total < best:
            best = total
        return total


    for epoch in range(3):
        print(epoch, train(model, train_loader, optimizer), evaluate())
    print(best)
    """
    traps.exact(loop)


REFUSED = {
    "an else branch of a while loop": (
        "TL105",
        "step = 0\nwhile step < 3:  # here\n    for x, y in train_loader:"
        + STEP
        + "    step += 1\nelse:\n    step = 4\n",
    ),
    "an else branch": (
        "TL105",
        HEADER.replace("range(3):", "range(3):  # here") + STEP.strip("\n") + "\nelse:\n    print('all')\n",
    ),
    "steps between epochs": ("TL102", HEADER.replace("range(3):", "range(0, 6, 2):  # here") + STEP.strip("\n")),
}


@pytest.mark.parametrize(("code", "script"), REFUSED.values(), ids=REFUSED)
def test_loop_that_is_refused(traps, code: str, script: str) -> None:
    traps.refused(script, code)


def test_several_statements_on_a_line(traps) -> None:
    loop = """
    for epoch in range(3):
        model.train()
        for i, (x, y) in enumerate(train_loader):
            optimizer.zero_grad(); loss = criterion(model(x), y)
            loss.backward(); optimizer.step()
            if i % 2 == 0: print(loss.item())
            if i == 3: break
        model.eval(); total = 0.0
        with torch.no_grad():
            for x, y in test_loader: total += criterion(model(x), y).item()
        print(epoch, total); print('end')
    """
    traps.exact(loop)


def test_loop_on_a_line(traps) -> None:
    loop = """
    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()


    for epoch in range(3):
        for x, y in train_loader: last = step(x, y)
        print(last)
    """
    traps.exact(loop)


def test_two_trainings_with_one_optimizer(traps) -> None:
    traps.exact(HEADER + STEP.strip("\n") + "\n" + HEADER + STEP.strip("\n") + "\nprint(loss.item())\n")
