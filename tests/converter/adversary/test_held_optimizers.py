"""Optimizers in lists, dictionaries and attributes: the step stays where it is, in manual optimization."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Status

SCRIPT = """
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(48, 6)
Y = torch.randint(0, 3, (48,))
loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)
net = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.Linear(8, 3))
OPTIMIZERS
for epoch in range(2):
    for x, y in loader:
        HELD.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        HELD.step()
        AFTER
    print(loss.item())
print([p.double().sum().item() for p in net.parameters()], [p.grad.norm().item() for p in net.parameters()])
"""

HELD = {
    "a list": ("held = [torch.optim.Adam(net.parameters(), lr=0.01)]", "held[0]", "pass"),
    "a dictionary": ("held = {'a': torch.optim.Adam(net.parameters(), lr=0.01)}", "held['a']", "pass"),
    "a comprehension": (
        "held = {k: torch.optim.Adam(m.parameters(), lr=0.01) for k, m in [('a', net)]}",
        "held['a']",
        "print(net[0].weight.grad.norm().item())",
    ),
    "filled": ("held = []\nheld.append(torch.optim.Adam(net.parameters(), lr=0.01))", "held[0]", "pass"),
    "set": ("held = {}\nheld['a'] = torch.optim.Adam(net.parameters(), lr=0.01)", "held['a']", "pass"),
    "an attribute": (
        "class Box:\n    pass\nbox = Box()\nbox.optimizer = torch.optim.Adam(net.parameters(), lr=0.01)",
        "box.optimizer",
        "pass",
    ),
    "two": (
        "held = [torch.optim.Adam(net[0].parameters()), torch.optim.SGD(net[2].parameters(), lr=0.1)]",
        "held[0]",
        "held[1].step()",
    ),
    "beside a plain one": (
        "held = [torch.optim.Adam(net.parameters())]\nplain = torch.optim.SGD(net.parameters(), lr=0.1)",
        "held[0]",
        "plain.step()",
    ),
    "with a scheduler": (
        "held = [torch.optim.Adam(net.parameters(), lr=0.01)]\n"
        "scheduler = torch.optim.lr_scheduler.StepLR(held[0], 1, 0.5)",
        "held[0]",
        "scheduler.step()",
    ),
    "made anew": (
        "held = [torch.optim.Adam(net.parameters(), lr=0.01)]",
        "held[0]",
        "held = [torch.optim.SGD(net.parameters(), lr=0.1)] if loss.item() < 1.1 else held",
    ),
}


@pytest.mark.parametrize("name", HELD)
def test_the_step_stays_where_it_is(name: str, tmp_path: Path) -> None:
    made, held, after = HELD[name]
    result = same(SCRIPT.replace("OPTIMIZERS", made).replace("HELD", held).replace("AFTER", after), tmp_path)
    assert result.optimization is Optimization.MANUAL


def test_a_step_of_something_else_updates_no_weights() -> None:
    made = "class Game:\n    def zero_grad(self): ...\n    def step(self): ...\ngames = [Game()]"
    source = SCRIPT.replace("OPTIMIZERS", made).replace("HELD", "games[0]").replace("AFTER", "pass")
    result = convert(source, Options())
    assert result.status is Status.REFUSED
    assert result.diagnostics[0].code == "TL301"
