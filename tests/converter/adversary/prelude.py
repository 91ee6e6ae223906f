"""What the small scripts of these tests begin with: a network with dropout, two shuffled sets, an optimizer."""

from __future__ import annotations

from textwrap import dedent

IMPORTS = """\
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 6)
        self.drop = nn.Dropout(0.2)
        self.fc2 = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(x))))


"""
DATA = """\
X, y = torch.randn(48, 4), torch.randint(0, 3, (48,))
train_loader = DataLoader(TensorDataset(X[:32], y[:32]), batch_size=8, shuffle=True)
test_loader = DataLoader(TensorDataset(X[32:], y[32:]), batch_size=8)
"""
MODEL = """\
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
"""
END = """
print([p.sum().item().hex() for p in model.parameters()], model.training)
"""


def script(loop: str) -> str:
    """A script at module level around a loop; what it leaves behind is printed at the end."""
    return IMPORTS + DATA + MODEL + dedent(loop) + END


def inside_main(body: str) -> str:
    """A script whose data, model and loop are made in main()."""
    lines = (DATA + MODEL + dedent(body)).splitlines()
    return IMPORTS + "def main():\n" + "".join(f"    {line}\n" for line in lines) + "\n\nmain()\n"
