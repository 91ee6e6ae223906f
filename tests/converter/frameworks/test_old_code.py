"""Python 2 and torch before 0.4: what no longer runs is named with the way it is written today, the rest is kept."""

from __future__ import annotations

import pytest

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Status

SOURCE = """\
import torch
from torch.autograd import Variable
from torch.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.randn(64, 4), torch.randn(64, 1)), batch_size=8)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    for x, y in loader:
        x, y = Variable(x), Variable(y)
        loss = torch.nn.functional.mse_loss(model(x), y, size_average=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
"""


def test_old_code_that_still_runs_is_kept() -> None:
    result = convert(SOURCE, Options())
    assert result.status is Status.CONVERTED, result.diagnostics
    assert "Variable(x)" in (result.code or "")
    assert "size_average=True" in (result.code or "")


@pytest.mark.parametrize(
    ("now", "old", "line", "today"),
    [
        ("loss.item()", "loss.data[0]", 15, "loss.item()"),
        ("Variable(x)", "Variable(x, volatile=True)", 10, "no_grad"),
    ],
)
def test_what_torch_no_longer_runs(now: str, old: str, line: int, today: str) -> None:
    result = convert(SOURCE.replace(now, old), Options())
    (said,) = result.refusals
    assert (result.status, said.code, said.span.first) == (Status.REFUSED, "TL903", line)
    assert today in said.remedy


def test_the_first_row_of_something_else_is_no_old_loss() -> None:
    result = convert(SOURCE.replace("loss.item()", "loss.item(), model.weight.data[0]"), Options())
    assert result.status is Status.CONVERTED, result.diagnostics


@pytest.mark.parametrize(
    ("now", "old", "line", "words"),
    [
        ("Variable(x)", "Variable(x.cuda(async=True))", 10, "non_blocking="),
        ("print(epoch, loss.item())", 'print "epoch", epoch', 15, "2to3"),
        ("print(epoch, loss.item())", "print epoch", 15, "2to3"),
    ],
)
def test_python_2_and_the_keyword_async(now: str, old: str, line: int, words: str) -> None:
    result = convert(SOURCE.replace(now, old), Options())
    (said,) = result.refusals
    assert (result.status, said.code, said.span.first) == (Status.UNREADABLE, "TL902", line)
    assert words in said.remedy


def test_text_that_is_merely_broken_is_not_called_old() -> None:
    (said,) = convert(SOURCE.replace("(epoch, loss.item())", "(epoch"), Options()).refusals
    assert said.code == "TL902"
    assert not said.remedy
