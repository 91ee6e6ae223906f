"""Progress bars as public scripts use them: their parts set, inside conditions, around loops that stay."""

from __future__ import annotations

from pathlib import Path

import pytest
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


MORE_THAN_SHOWN = {
    "draws": "t.set_postfix(r=torch.rand(1).item())",
    "goes through the model": "t.set_postfix(out=net(x).sum().item())",
    "clips": "t.set_postfix(norm=nn.utils.clip_grad_norm_(net.parameters(), 0.1).item())",
    "takes from a list": "t.set_postfix(r=seen.pop())",
    "grows a list": "t.set_postfix(r=len(seen) + (seen.append(1) or 0))",
    "takes the next": "t.set_postfix(r=next(numbers))",
    "binds": "t.set_postfix(loss=(last := loss.item()))",
    "in place": "t.set_postfix(loss=loss.detach().mul_(2).item())",
    "sets a part": "t.desc = str(torch.rand(1))",
}
HEAD = "seen, numbers, last = [1.0] * 99, iter(range(99)), 0\n"
SEEN = "print(len(seen), last, torch.rand(2))\n"


@pytest.mark.parametrize("shown", MORE_THAN_SHOWN.values(), ids=MORE_THAN_SHOWN)
def test_what_does_more_than_show_is_not_dropped(shown: str) -> None:
    around = HEAD + WITH.replace("t.set_postfix(loss=loss.item())", shown) + SEEN
    result = convert(around, Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL103"] and "does more than show" in result.diagnostics[0].message
    beside = HEAD + ONE_NAME.replace("bar.set_postfix(loss=loss.item())", shown.replace("t.", "bar.", 1)) + SEEN
    result = convert(beside, Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL702"]


@pytest.mark.parametrize(
    "shown",
    [
        't.set_postfix({"loss": f"{loss.item():.3f}", "lr": optimizer.param_groups[0]["lr"]})',
        't.set_description("{:.2f}".format(round(float(loss), 2)))',
        "t.set_postfix_str(str(len(seen)))",
        "t.desc = str(loss.item())",
    ],
)
def test_what_only_shows_is_dropped(shown: str, tmp_path: Path) -> None:
    around = HEAD + WITH.replace("t.set_postfix(loss=loss.item())", shown) + SEEN
    assert "tqdm(" not in (same(around, tmp_path).code or "")


def test_a_manual_bar_whose_text_draws_stays_a_bar(tmp_path: Path) -> None:
    manual = ONE_NAME.replace("tqdm(enumerate(loader), total=len(loader))", "tqdm(total=4)")
    manual = manual.replace("for i, (x, y) in bar:\n        loss", "for i, (x, y) in enumerate(loader):\n        loss")
    manual = manual.replace("    bar = tqdm(enumerate(val", "    val_bar = tqdm(enumerate(val")
    manual = manual.replace("in bar:\n        with", "in val_bar:\n        with")
    draws = manual.replace("bar.set_postfix(loss=loss.item())", "bar.set_postfix(r=torch.rand(1).item())")
    assert "tqdm(total=4)" in (same(draws, tmp_path).code or "")


def test_a_bar_around_the_evaluation_in_another_with(tmp_path: Path) -> None:
    nested = WITH.replace(
        """\
    with tqdm(total=len(val_loader)) as t:
        for x, y in val_loader:
            with torch.no_grad():
                total += ((net(x) - y) ** 2).mean().item()
            t.update()
""",
        """\
    with torch.no_grad():
        with tqdm(val_loader) as t:
            for x, y in t:
                total += ((net(x) - y) ** 2).mean().item()
""",
    )
    assert nested != WITH
    code = same(nested, tmp_path).code or ""
    assert "def validation_step" in code and "tqdm(" not in code


def test_a_file_beside_the_bar_is_no_matter_of_the_bar() -> None:
    both = WITH.replace('with tqdm(loader, unit="batch") as t:', 'with open("log") as log, tqdm(loader) as t:')
    (said,) = convert(both, Options()).diagnostics
    assert said.code == "TL103" and "stands inside a 'with'" in said.message
