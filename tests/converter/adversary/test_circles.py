"""Names bound to each other and functions that call each other: every question about them comes to an end."""

from __future__ import annotations

from pathlib import Path

from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import DATA, END, IMPORTS, MODEL

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options

LOOP = """\
for epoch in range(2):
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    print(epoch, loss.item().hex())
"""


def test_loaders_bound_to_each_other(tmp_path: Path) -> None:
    swapped = "spare = train_loader\ntrain_loader = spare\nheld = [train_loader]\nother = held\nheld = other\n"
    same(IMPORTS + DATA + swapped + MODEL + LOOP + END, tmp_path)


def test_functions_that_train_and_call_each_other(tmp_path: Path) -> None:
    ping = """\
def ping(n, flag=True):
    if n > 0:
        pong(n - 1, True)
    F.cross_entropy(model(X), y).backward()


def pong(n, flag=False):
    if n > 0:
        ping(n - 1, False)


for epoch in range(2):
    optimizer.zero_grad()
    ping(3, True)
    optimizer.step()
"""
    same(IMPORTS + DATA + MODEL + ping + END, tmp_path)


def test_callers_that_call_each_other() -> None:
    fit = "def fit(net, optimizer, train_loader):\n" + "".join(
        f"    {line}\n" for line in LOOP.replace("model(", "net(").splitlines()
    )
    fit += "    again(net, optimizer, train_loader)\n\n\n"
    again = "def again(net, optimizer, train_loader):\n    fit(net, optimizer, train_loader)\n\n\n"
    result = convert(IMPORTS + fit + again + DATA + MODEL + "again(model, optimizer, train_loader)\n", Options())
    assert result.optimization is not Optimization.AUTOMATIC  # how often it is entered is not known


def test_options_set_from_themselves(tmp_path: Path) -> None:
    options = (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--lr', type=float, default=0.1)\n"
        "parser.add_argument('--name', default=None)\nargs = parser.parse_args([])\n"
        "args.name = args.name or 'run'\nargs.lr = args.lr if args.lr else 0.5\n"
    )
    model = MODEL.replace("lr=0.1", "lr=args.lr")
    same(IMPORTS + options + DATA + model + LOOP + "print(args.name)\n" + END, tmp_path)
