"""Progress bars as public scripts use them: their parts set, inside conditions, around loops that stay."""

from __future__ import annotations

from pathlib import Path

from tests.converter.adversary.harness import same

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Status

SCRIPT = """
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

whole = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
loader = DataLoader(whole, batch_size=8, shuffle=True)
val_loader = DataLoader(whole, batch_size=8)
net = nn.Sequential(nn.Linear(4, 1), nn.Dropout(0.1))
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for epoch in range(2):
    bar = tqdm(loader)
    for i, batch in enumerate(bar):
        x, y = batch
        loss = criterion(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.desc = f"epoch {epoch}"
        if i % 2 == 0:
            value = loss.item()
            bar.set_description(f"{value}")
        else:
            bar.set_postfix(loss=1)
    total = 0.0
    val_bar = tqdm(val_loader)
    for x, y in val_bar:
        total += criterion(net(x), y).item()
        val_bar.desc = "val"
    print(epoch, total.hex(), value.hex())
"""


def test_what_only_shows_on_a_bar_goes_with_it(tmp_path: Path) -> None:
    result = same(SCRIPT, tmp_path)
    assert result.code is not None and "else:" not in result.code and "        bar" not in result.code


def test_a_bar_around_a_loop_that_stays_stays(tmp_path: Path) -> None:
    result = same(SCRIPT, tmp_path)
    assert result.code is not None and "val_bar = tqdm(" in result.code and 'val_bar.desc = "val"' in result.code


def test_an_enumerate_inside_a_bar_is_seen_through(tmp_path: Path) -> None:
    inside = SCRIPT.replace("tqdm(loader)", "tqdm(enumerate(loader), total=4)").replace("in enumerate(bar)", "in bar")
    result = same(inside, tmp_path)
    assert result.code is not None and "batch_idx % 2 == 0" in result.code


def test_a_bar_that_is_read_is_no_decoration() -> None:
    result = convert(SCRIPT.replace("bar.set_postfix(loss=1)", "print(bar.n)"), Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL702"]


ONE_NAME = """
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

whole = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
loader = DataLoader(whole, batch_size=8, shuffle=True)
val_loader = DataLoader(whole, batch_size=8)
net = nn.Sequential(nn.Linear(4, 1), nn.Dropout(0.1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for epoch in range(2):
    net.train()
    bar = tqdm(enumerate(loader), total=len(loader))
    for i, (x, y) in bar:
        loss = ((net(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.set_postfix(loss=loss.item())
    net.eval()
    total = 0.0
    bar = tqdm(enumerate(val_loader), total=len(val_loader))
    for i, (x, y) in bar:
        with torch.no_grad():
            total += ((net(x) - y) ** 2).mean().item()
    print(epoch, total.hex())
"""
WITH = """
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

whole = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
loader = DataLoader(whole, batch_size=8, shuffle=True)
val_loader = DataLoader(whole, batch_size=8)
net = nn.Sequential(nn.Linear(4, 1), nn.Dropout(0.1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for epoch in range(2):
    net.train()
    with tqdm(loader, unit="batch") as t:
        for x, y in t:
            t.set_description(f"Epoch {epoch}")
            # forwards
            loss = ((net(x) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            t.set_postfix(loss=loss.item())
    net.eval()
    total = 0.0
    with tqdm(total=len(val_loader)) as t:
        for x, y in val_loader:
            with torch.no_grad():
                total += ((net(x) - y) ** 2).mean().item()
            t.update()
    print(epoch, total.hex())
"""


def test_one_name_for_the_bars_of_two_loops(tmp_path: Path) -> None:
    result = same(ONE_NAME, tmp_path)
    assert result.code is not None and "def validation_step" in result.code and "tqdm(" not in result.code


def test_a_bar_that_the_loop_stands_in(tmp_path: Path) -> None:
    result = same(WITH, tmp_path)
    assert result.code is not None and "def validation_step" in result.code and "tqdm(" not in result.code
    assert "# forwards" in result.code


def test_a_bar_bound_under_a_condition_is_not_known() -> None:
    either = ONE_NAME.replace(
        "    bar = tqdm(enumerate(loader), total=len(loader))\n",
        "    if epoch:\n        bar = tqdm(loader)\n    else:\n        bar = tqdm(val_loader)\n",
    )
    result = convert(either.replace("for i, (x, y) in bar:\n        loss", "for x, y in bar:\n        loss"), Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL702"]


def test_a_bar_around_the_loop_that_is_read_stays_around_it() -> None:
    result = convert(
        WITH.replace("            t.set_postfix(loss=loss.item())\n", "            print(t.n)\n"), Options()
    )
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL103"]
