"""What runs after the optimizer's step sees the new weights, through whatever it holds them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import converted, same
from tests.converter.adversary.prelude import DATA, END, IMPORTS, MODEL

from torchlift_convert.types import Optimization

LOOP = """\
for epoch in range(2):
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        {late}
    print(epoch, seen)
"""
WAYS = {
    "an object that was given the model": (
        "class Watch:\n    def __init__(self, net):\n        self.net = net\n\n    def look(self):\n"
        "        return self.net.fc1.weight.sum().item()\n\n\nwatch = Watch(model)\n",
        "seen += watch.look()",
    ),
    "an object whose method reads the model as a global": (
        "class Watch:\n    def look(self):\n        return model.fc1.weight.sum().item()\n\n\nwatch = Watch()\n",
        "seen += watch.look()",
    ),
    "a property": (
        "class Watch:\n    @property\n    def now(self):\n        return model.fc1.weight.sum().item()\n\n\n"
        "watch = Watch()\n",
        "seen += watch.now",
    ),
    "an object that is called": (
        "class Watch:\n    def __init__(self, net):\n        self.net = net\n\n    def __call__(self):\n"
        "        return self.net.fc1.weight.sum().item()\n\n\nwatch = Watch(model)\n",
        "seen += watch()",
    ),
    "parts by a tuple": ("weight, bias = model.fc1.weight, model.fc1.bias\n", "seen += bias.sum().item()"),
    "a list": ("parts = []\nparts.append(model.fc1.bias)\n", "seen += parts[0].sum().item()"),
    "a dictionary": ('parts = {}\nparts["bias"] = model.fc1.bias\n', 'seen += parts["bias"].sum().item()'),
    "a loop over parts": (
        "parts = [model.fc1, model.fc2]\n",
        "for part in parts:\n            seen += part.bias.sum().item()",
    ),
    "a lambda": ("look = lambda: model.fc1.bias.sum().item()\n", "seen += look()"),
    "a function in a list": (
        "def look():\n    return model.fc1.bias.sum().item()\n\n\nwatches = [look]\n",
        "seen += watches[0]()",
    ),
    "what a function gives back": (
        "def part_of(net):\n    found = net.fc1\n    return found.bias\n\n\nbias = part_of(model)\n",
        "seen += bias.sum().item()",
    ),
    "a list that a function fills": (
        "parts = []\n\n\ndef keep(net):\n    parts.append(net.fc1.bias)\n\n\nkeep(model)\n",
        "seen += parts[0].sum().item()",
    ),
}


@pytest.mark.parametrize("made, late", WAYS.values(), ids=WAYS)
def test_sees_the_weights_after_the_step(made: str, late: str, tmp_path: Path) -> None:
    same(IMPORTS + DATA + MODEL + made + "seen = 0.0\n" + LOOP.format(late=late) + END, tmp_path)


def test_leaves_alone_what_holds_results_only(tmp_path: Path) -> None:
    """A meter of losses holds no weight: it may be told before the step."""
    meter = (
        "class Meter:\n    def __init__(self):\n        self.total = 0.0\n\n    def update(self, value):\n"
        "        self.total += value\n\n\nmeter = Meter()\nseen = 0.0\n"
    )
    result = same(IMPORTS + DATA + MODEL + meter + LOOP.format(late="meter.update(loss.item())") + END, tmp_path)
    assert "on_train_batch_end" not in (result.code or "")


HIDDEN = """\
class Penalty:
    def __init__(self, net):
        self.net = net

    def add(self):
        (self.net.fc1.weight.norm() * 0.5).backward()


def forget():
    optimizer.zero_grad()


penalty = Penalty(model)
for epoch in range(2):
    for x, y in train_loader:
        optimizer.zero_grad()
        {early}
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
"""


@pytest.mark.parametrize("early", ["penalty.add()", "forget()"])
def test_gradients_made_or_cleared_in_a_function(early: str, tmp_path: Path) -> None:
    result = same(IMPORTS + DATA + MODEL + HIDDEN.format(early=early) + END, tmp_path)
    assert result.optimization is Optimization.MANUAL


def test_an_unknown_function_that_is_given_the_model() -> None:
    imported = "from elsewhere import attack, summary\n"
    code = imported + IMPORTS + DATA + MODEL + HIDDEN
    assert converted(code.format(early="x = attack(model, x)")).optimization is Optimization.MANUAL
    assert converted(code.format(early="summary(x)")).optimization is Optimization.AUTOMATIC
