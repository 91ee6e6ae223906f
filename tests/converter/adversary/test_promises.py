"""Scripts that convert on their author's word: equal where it holds, an error where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import converted, run, same

SCRIPT = """
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

class Stream(IterableDataset):
    def __iter__(self):
        return iter(data)

torch.manual_seed(0)
data = TensorDataset(torch.randn(40, 4), torch.randn(40, 1))
loader = MAKE
BEFORE
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

for epoch in range(3):
    START
    for x, y in loader:  # torchlift: ignore[TL702]
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        LAST
    print(loss.item())
    END
"""
HOLES = {"MAKE": 'getattr(torch.utils.data, "DataLoader")(data, 8, shuffle=True)'} | dict.fromkeys(
    ("BEFORE", "START", "LAST", "END"), "pass"
)


def script(**parts: str) -> str:
    text = SCRIPT
    for hole, usual in HOLES.items():
        text = text.replace(hole, parts.get(hole, usual))
    return text


PLACES = {
    "plain": {},
    "a batch before": {"BEFORE": "print(next(iter(loader))[0].sum().item())"},
    "a batch first": {"START": "print(next(iter(loader))[0].sum().item())"},
    "a draw first": {"START": "print(torch.rand(1).item())"},
    "a pass behind": {"END": "print(sum(b.sum().item() for _, b in loader))"},
    "a draw behind": {"END": "print(torch.rand(1).item())"},
    "an early end": {"LAST": "if loss < 0.5:\n            break"},
    "uneven": {"MAKE": 'getattr(torch.utils.data, "DataLoader")(data, 7, shuffle=True, drop_last=True)'},
    "workers": {"MAKE": 'getattr(torch.utils.data, "DataLoader")(data, 20, shuffle=True, num_workers=1)'},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_word_that_holds(place: str, tmp_path: Path) -> None:
    result = same(script(**PLACES[place]), tmp_path)
    assert result.vouched


FALSE = {
    "a list": "getattr(torch, 'unbind')(torch.randn(5, 2, 8, 1))",
    "a subclass": 'type("Mine", (getattr(torch.utils.data, "DataLoader"),), {})(data, 8)',
    "its own generator": 'getattr(torch.utils.data, "DataLoader")(data, 8, True, generator=torch.Generator())',
    "no length": 'getattr(torch.utils.data, "DataLoader")(Stream())',
}


@pytest.mark.parametrize("what", FALSE)
def test_a_word_that_does_not_hold_ends_the_run(what: str, tmp_path: Path) -> None:
    result = converted(script(MAKE=FALSE[what]))
    assert result.code is not None and result.vouched
    with pytest.raises(TypeError):
        run(result.code, tmp_path / "after")
