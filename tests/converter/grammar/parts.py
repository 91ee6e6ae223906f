"""What a training script is made from before its loops: rows, batches, a network, an optimizer, a scheduler."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

IMPORTS = """\
import copy
import itertools
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split
"""
ROWS = """\
X = torch.randn(36, 3)
Y = X.sum(dim=1, keepdim=True) + 0.1 * torch.randn(36, 1)
"""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 5)
        self.norm = nn.BatchNorm1d(5)
        self.head = nn.Linear(5, 1)

    def forward(self, x):
        return self.head(F.dropout(F.relu(self.norm(self.body(x))), 0.2, self.training))

"""
MODELS = {
    "Sequential": (
        "",
        "model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 1))",
        "model[0]",
    ),
    "linear": ("", "model = nn.Linear(3, 1)", "model"),
    "class": (NET, "model = Net()", "model.body"),
}
OPTIMIZERS = (
    "torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)",
    "torch.optim.SGD(model.parameters(), lr=0.02)",
    "torch.optim.Adam(model.parameters(), lr=0.01)",
    "torch.optim.AdamW([{'params': model.parameters(), 'lr': 0.01}], weight_decay=0.1)",
    "torch.optim.SGD(FIRST.parameters(), lr=0.02)",
    "torch.optim.SGD([p for p in model.parameters() if p.dim() > 1], lr=0.02, momentum=0.5)",
)
SCHEDULERS = {
    "": (None, "never"),
    "StepLR": ("torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)", "any"),
    "LambdaLR": ("torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 / (1 + n))", "any"),
    "Cosine": ("torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)", "any"),
    "Plateau": ("torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)", "watches"),
}


@dataclass(frozen=True)
class Feed:
    """Where batches come from: definitions, lines that make it, the loop's header, what stands first in its body."""

    definitions: str
    setup: tuple[str, ...]
    header: str
    head: tuple[str, ...] = ()
    count: str = ""  # what counts the batches of an epoch
    reads: tuple[str, ...] = ()  # names of the setup that the loop uses


NOISY = """
class Rows(Dataset):
    def __len__(self):
        return 36

    def __getitem__(self, index):
        return X[index] + 0.01 * torch.randn(3), Y[index]

"""
GET_BATCH = """
def get_batch(size=6):
    rows = torch.randint(0, len(X), (size,))
    return X[rows], Y[rows]

"""
STREAM = """
def stream(n):
    for _ in range(n):
        rows = torch.randint(0, len(X), (6,))
        yield X[rows], Y[rows]

"""


@st.composite
def loaders(draw: st.DrawFn) -> tuple[str, str]:
    """Definitions and the call that makes a loader."""
    rows = draw(st.sampled_from(("TensorDataset(X, Y)", "Rows()", "list(zip(X, Y))")))
    options = ["batch_size=8"]
    if draw(st.booleans()):
        options.append("shuffle=True")
    if draw(st.booleans()):
        options.append("drop_last=True")
    if draw(st.integers(0, 5)) == 5:
        options.append("generator=torch.Generator().manual_seed(3)")
    return (NOISY if rows == "Rows()" else ""), f"DataLoader({rows}, {', '.join(options)})"


@st.composite
def feeds(draw: st.DrawFn) -> Feed:
    """One way to come by the batches of an epoch."""
    kind = draw(
        st.sampled_from(("loader", "enumerate", "batch", "list", "index", "steps", "stream", "next", "zip", "full"))
    )
    definitions, call = draw(loaders())
    made = (f"loader = {call}",)
    if kind == "loader":
        return Feed(definitions, made, "for x, y in loader:", reads=("loader",))
    if kind == "enumerate":
        return Feed(definitions, made, "for i, (x, y) in enumerate(loader):", count="i", reads=("loader",))
    if kind == "batch":
        return Feed(definitions, made, "for batch in loader:", ("x, y = batch",), reads=("loader",))
    if kind == "list":
        setup = ("batches = [(X[k : k + 6], Y[k : k + 6]) for k in range(0, 36, 6)]",)
        return Feed("", setup, "for i, (x, y) in enumerate(batches):", count="i", reads=("batches",))
    if kind == "index":
        if draw(st.booleans()):
            head = ("rows = order[k : k + 6]", "x, y = X[rows], Y[rows]")
            return Feed("", (), "for k in range(0, 36, 6):", head, reads=("order",))
        return Feed("", (), "for k in range(0, 30, 6):", ("x, y = X[k : k + 6], Y[k : k + 6]",))
    if kind == "steps":
        return Feed(GET_BATCH, (), "for i in range(5):", ("x, y = get_batch()",), count="i")
    if kind == "stream":
        return Feed(STREAM, (), "for i, (x, y) in enumerate(stream(4)):", count="i")
    if kind == "next":
        head = ("try:", "    x, y = next(batches)", "except StopIteration:", "    batches = iter(loader)")
        setup = (*made, "batches = iter(loader)")
        return Feed(
            definitions, setup, "for i in range(6):", (*head, "    x, y = next(batches)"), "i", ("loader", "batches")
        )
    if kind == "zip":
        setup = (*made, "other_loader = DataLoader(TensorDataset(X[:20], Y[:20]), batch_size=4, shuffle=True)")
        header = "for (x, y), (u, v) in zip(loader, other_loader):"
        head = ("x, y = torch.cat([x, u]), torch.cat([y, v])",)
        return Feed(definitions, setup, header, head, reads=("loader", "other_loader"))
    return Feed("", (), "", ("x, y = X, Y",))
