"""Optimizers, schedulers and loaders that the caller makes and hands to the function with the loops."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import DATA, END, IMPORTS, MODEL

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Status

FIT = """\
def fit(net, criterion, optimizer, loader, epochs=2):
    net.train()
    for epoch in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(epoch, total.hex(), optimizer.param_groups[0]["lr"])
    return net


"""
SCHEDULED = """\
def fit(net, loss_fn, optimizer, scheduler, train, held_out, epochs):
    best = float("inf")
    for epoch in range(epochs):
        net.train()
        for x, y in train:
            optimizer.zero_grad()
            loss = loss_fn(net(x), y)
            loss.backward()
            optimizer.step()
        scheduler.step()
        net.eval()
        seen = 0.0
        with torch.no_grad():
            for x, y in held_out:
                seen += loss_fn(net(x), y).item()
        best = min(best, seen)
        print(epoch, seen.hex(), best.hex(), scheduler.get_last_lr())
    return best


"""
OWN_SCHEDULER = """\
def fit(net, optimizer, loader, epochs):
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        scheduler.step()
        print(epoch, optimizer.param_groups[0]["lr"])


"""
ACCUMULATES = """\
def fit(net, criterion, optimizer, loader, epochs=2):
    for epoch in range(epochs):
        for i, (x, y) in enumerate(loader):
            loss = criterion(net(x), y) / 2
            loss.backward()
            if (i + 1) % 3 == 0:
                optimizer.step()
                optimizer.zero_grad()
        print(epoch, loss.item().hex())


"""
TWO = """\
def fit(one, other, opt_one, opt_other, loader):
    for epoch in range(2):
        for x, y in loader:
            opt_one.zero_grad()
            F.cross_entropy(one(x), y).backward()
            opt_one.step()
            opt_other.zero_grad()
            F.cross_entropy(other(x), one(x).argmax(1)).backward()
            opt_other.step()
        print(epoch)


"""
CALL = "model = fit(model, nn.CrossEntropyLoss(), optimizer, train_loader)\n"
SCHEDULER = "scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)\n"


def in_main(*parts: str) -> str:
    body = "".join("    " + line + "\n" if line else "\n" for line in "".join(parts).splitlines())
    return "def main():\n" + body + "\n\nmain()\n"


AUTOMATIC = {
    "at module level": IMPORTS + FIT + DATA + MODEL + CALL + END,
    "by keyword": IMPORTS
    + FIT
    + DATA
    + MODEL
    + "fit(model, optimizer=optimizer, loader=train_loader, criterion=F.cross_entropy, epochs=3)\n"
    + END,
    "from main()": IMPORTS + FIT + in_main(DATA, MODEL, CALL, END),
    "made in the call": IMPORTS
    + FIT
    + DATA
    + "model = Net()\n"
    + "fit(model, nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters()), train_loader)\n"
    + END,
    "twice, with two models": IMPORTS
    + FIT
    + DATA
    + MODEL
    + CALL
    + "second = Net()\n"
    + "other = torch.optim.Adam(second.parameters(), lr=0.01)\n"
    + "fit(second, nn.CrossEntropyLoss(), other, train_loader, epochs=1)\n"
    + "print([p.sum().item().hex() for p in second.parameters()])\n"
    + END,
    "twice, with one optimizer": IMPORTS + FIT + DATA + MODEL + CALL + CALL + END,
    "loaders that a function makes": IMPORTS
    + FIT
    + "def make():\n    whole = TensorDataset(torch.randn(32, 4), torch.randint(0, 3, (32,)))\n"
    + "    first = DataLoader(whole, batch_size=8, shuffle=True)\n"
    + "    return first, DataLoader(whole, batch_size=4)\n\n\n"
    + MODEL
    + "ours, theirs = make()\nfit(model, nn.CrossEntropyLoss(), optimizer, ours)\n"
    + END,
    "a scheduler too": IMPORTS
    + SCHEDULED
    + DATA
    + MODEL
    + SCHEDULER
    + "print(fit(model, F.cross_entropy, optimizer, scheduler, train_loader, test_loader, 3).hex())\n"
    + END,
    "a scheduler of its own": IMPORTS + OWN_SCHEDULER + DATA + MODEL + "fit(model, optimizer, train_loader, 3)\n" + END,
}
MANUAL = {
    "accumulating": IMPORTS
    + ACCUMULATES
    + DATA
    + MODEL
    + "fit(model, nn.CrossEntropyLoss(), optimizer, train_loader)\n"
    + END,
    "two models": IMPORTS
    + TWO
    + DATA
    + MODEL
    + "second = Net()\n"
    + "other = torch.optim.Adam(second.parameters(), lr=0.01)\n"
    + "fit(model, second, optimizer, other, train_loader)\n"
    + END,
}
HELD = {
    "one call hands over something else": IMPORTS
    + FIT
    + DATA
    + MODEL
    + CALL
    + dedent(
        """\
        class Mine:
            def __init__(self, inner):
                self.inner, self.param_groups = inner, inner.param_groups

            def zero_grad(self):
                self.inner.zero_grad()

            def step(self):
                self.inner.step()


        fit(model, nn.CrossEntropyLoss(), Mine(optimizer), train_loader)
        """
    ),
    "the parameter is bound again": IMPORTS
    + FIT.replace("    net.train()\n", "    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=0.1)\n")
    + DATA
    + MODEL
    + CALL,
}


@pytest.mark.parametrize("source", AUTOMATIC.values(), ids=AUTOMATIC)
def test_automatic(source: str, tmp_path: Path) -> None:
    result = same(source, tmp_path)
    assert result.optimization is Optimization.AUTOMATIC
    assert "self.optimizer = optimizer" in (result.code or "")


@pytest.mark.parametrize("source", MANUAL.values(), ids=MANUAL)
def test_manual(source: str, tmp_path: Path) -> None:
    assert same(source, tmp_path).optimization is Optimization.MANUAL


@pytest.mark.parametrize("source", HELD.values(), ids=HELD)
def test_held(source: str, tmp_path: Path) -> None:
    """The Trainer steps only what is known at every call to be an optimizer of torch."""
    assert same(source, tmp_path).optimization is Optimization.MANUAL


NESTED = """\
def main():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def show(name, value):
        print(name, value)

    for epoch in range(2):
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        show("loss", loss.item().hex())


main()
"""


def test_a_function_made_inside_is_handed_over_as_an_object(tmp_path: Path) -> None:
    result = same(IMPORTS + DATA + NESTED, tmp_path)
    assert 'self.show("loss"' in (result.code or "")


def test_a_function_made_inside_that_reads_what_the_loops_change() -> None:
    reads = NESTED.replace("print(name, value)", "print(name, value, epoch)")
    result = convert(IMPORTS + DATA + reads, Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL106"]


NOT_KNOWN = {
    "handed around too": "runs = [fit]\nfit(model, nn.CrossEntropyLoss(), optimizer, train_loader)\n",
    "keywords unpacked": "options = {'optimizer': optimizer, 'loader': train_loader}\n"
    "fit(model, nn.CrossEntropyLoss(), **options)\n",
    "arguments unpacked": "given = (model, nn.CrossEntropyLoss(), optimizer, train_loader)\nfit(*given)\n",
}


@pytest.mark.parametrize("call", NOT_KNOWN.values(), ids=NOT_KNOWN)
def test_a_call_that_does_not_say_what_it_gives(call: str, tmp_path: Path) -> None:
    """The loop steps what it is given, over what it is given."""
    result = same(IMPORTS + FIT + DATA + MODEL + call + END, tmp_path)
    assert result.optimization is Optimization.MANUAL


def test_a_backward_beside_the_loops_stays_where_it_is(tmp_path: Path) -> None:
    same(IMPORTS + FIT + DATA + MODEL + "F.cross_entropy(model(X), y).backward()\n" + CALL, tmp_path)
