"""Loop nests as public scripts write them."""

from __future__ import annotations

from pathlib import Path

from tests.converter.adversary.harness import same

from torchlift_convert.types import Optimization

RANGE_INSIDE_A_STEP = """
import torch
import torch.nn as nn

real = torch.randn(64, 4) + 2
G = nn.Linear(3, 4)
D = nn.Linear(4, 1)


def reset_grad():
    G.zero_grad()
    D.zero_grad()


g_opt = torch.optim.SGD(G.parameters(), lr=0.01)
d_opt = torch.optim.SGD(D.parameters(), lr=0.01)
for it in range(6):
    for _ in range(3):
        x = real[torch.randint(0, 64, (8,))]
        d_loss = D(G(torch.randn(8, 3))).mean() - D(x).mean()
        d_loss.backward()
        d_opt.step()
        reset_grad()
    g_loss = -D(G(torch.randn(8, 3))).mean()
    g_loss.backward()
    g_opt.step()
    reset_grad()
    if it % 2 == 0:
        print(it, d_loss.item().hex(), g_loss.item().hex())
print(G.weight.sum().item().hex())
"""

OPTIMIZER_OF_A_LIST = """
import torch
import torch.nn as nn


def main():
    x, y = torch.randn(32, 4), torch.randn(32, 1)
    net = nn.Linear(4, 1)
    net.bias.requires_grad = False
    params = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, lr=0.01)
    for epoch in range(3):
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        print(epoch, loss.item().hex())


main()
"""

NO_NAME_TORCH = """
from torch import nn, optim, tensor

x = tensor([[1.0], [2.0], [3.0]])
y = tensor([[2.0], [4.0], [6.0]])
model = nn.Linear(1, 1)
criterion = nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.01)
for epoch in range(5):
    loss = criterion(model(x), y)
    print(epoch, loss.item().hex())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def test_a_range_loop_beside_another_backward_stays_inside_the_step(tmp_path: Path) -> None:
    result = same(RANGE_INSIDE_A_STEP, tmp_path)
    assert result.optimization is Optimization.MANUAL
    assert result.code is not None and "for _ in range(3):" in result.code


def test_a_range_loop_alone_is_the_batch_loop(tmp_path: Path) -> None:
    alone = RANGE_INSIDE_A_STEP.replace("    g_loss.backward()\n    g_opt.step()\n", "")
    result = same(alone, tmp_path)
    assert result.code is not None and "for _ in range(3):" not in result.code


def test_what_only_configure_optimizers_needs_is_no_parameter(tmp_path: Path) -> None:
    result = same(OPTIMIZER_OF_A_LIST, tmp_path)
    assert result.code is not None and "model.params" not in result.code


def test_torch_is_imported_where_the_output_names_it_first(tmp_path: Path) -> None:
    result = same(NO_NAME_TORCH, tmp_path)
    assert result.code is not None and "\nimport torch\n" in result.code


TWO_RANGES = """
import torch
import torch.nn as nn

G = nn.Linear(3, 4)
D = nn.Linear(4, 1)
g_opt = torch.optim.SGD(G.parameters(), lr=0.01)
d_opt = torch.optim.SGD(D.parameters(), lr=0.01)
d_steps, g_steps = 2, 3
for it in range(6):
    for d_index in range(d_steps):
        D.zero_grad()
        d_loss = D(G(torch.randn(8, 3)).detach()).mean() - D(torch.randn(8, 4) + 2).mean()
        d_loss.backward()
        d_opt.step()
    for g_index in range(g_steps):
        G.zero_grad()
        g_loss = -D(G(torch.randn(8, 3))).mean()
        g_loss.backward()
        g_opt.step()
    print(it, d_loss.item().hex(), g_loss.item().hex())
"""


def test_two_range_loops_side_by_side_are_one_step(tmp_path: Path) -> None:
    result = same(TWO_RANGES, tmp_path)
    assert result.optimization is Optimization.MANUAL
    assert result.code is not None and "for g_index in range(g_steps):" in result.code
