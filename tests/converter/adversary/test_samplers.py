"""Samplers that count epochs: a Trainer tells them which one begins, whether the script does or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import script

from torchlift_convert.types import Result

OWN = """
class Own(torch.utils.data.Sampler):
    def __init__(self, size):
        self.size, self.epoch = size, 7

    def __len__(self):
        return self.size

    def __iter__(self):
        draws = torch.Generator().manual_seed(self.epoch)
        return iter(torch.randperm(self.size, generator=draws).tolist())
"""
COUNTING = OWN + "\n    def set_epoch(self, epoch):\n        self.epoch = epoch\n"
DISTRIBUTED = "torch.utils.data.distributed.DistributedSampler(train_loader.dataset, num_replicas=1, rank=0)"
LOOP = """
{cls}

sampler = {sampler}
train_loader = DataLoader(TensorDataset(X[:32], y[:32]), {given})
for epoch in range({first}, {first} + 2):
    {start}
    model.train()
    for x, t in train_loader:
        loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
"""


def loop(
    sampler: str = DISTRIBUTED,
    given: str = "batch_size=8, sampler=sampler",
    first: int = 0,
    start: str = "pass",
    cls: str = "",
) -> str:
    return script(LOOP.format(sampler=sampler, given=given, first=first, start=start, cls=cls))


def wrapped(result: Result) -> bool:
    return result.code is not None and "class Batches" in result.code


HIDDEN = {
    "never told": loop(),
    "told, from one on": loop(first=1, start="sampler.set_epoch(epoch)"),
    "told through the loader": loop(start="train_loader.sampler.set_epoch(epoch + 5)"),
    "a class of the script": loop("Own(32)", cls=COUNTING),
    "in a batch sampler": loop(
        "Own(32)", "batch_sampler=torch.utils.data.BatchSampler(sampler, 8, False)", cls=COUNTING
    ),
    "by place": loop("Own(32)", "8, False, sampler", cls=COUNTING),
    "one of two": loop("Own(32) if len(X) > 3 else None", cls=COUNTING),
    "in a dictionary": loop("dict(sampler=Own(32), batch_size=8)", "**sampler", cls=COUNTING),
}


@pytest.mark.parametrize("source", HIDDEN.values(), ids=HIDDEN)
def test_is_hidden_from_the_trainer(source: str, tmp_path: Path) -> None:
    assert wrapped(same(source, tmp_path))


PLAIN = {
    "of torch": loop("torch.utils.data.WeightedRandomSampler(torch.ones(32), 32)"),
    "none": loop("None", "batch_size=8, shuffle=True, sampler=sampler"),
    "a class that does not count": loop("Own(32)", cls=OWN),
    "not shuffling": loop(DISTRIBUTED.replace("rank=0", "rank=0, shuffle=False")),
    "options without one": loop("dict(batch_size=8, shuffle=True)", "**sampler"),
}


@pytest.mark.parametrize("source", PLAIN.values(), ids=PLAIN)
def test_one_that_does_not_count_is_left_alone(source: str, tmp_path: Path) -> None:
    assert not wrapped(same(source, tmp_path))


def test_with_workers_the_first_epoch_is_told_in_time(tmp_path: Path) -> None:
    workers = "batch_size=8, sampler=sampler, num_workers=1"
    assert wrapped(same(loop(given=workers, first=1, start="sampler.set_epoch(epoch)"), tmp_path))


EVALUATED = """
held_out = TensorDataset(X[32:], y[32:])
test_sampler = torch.utils.data.distributed.DistributedSampler(held_out, num_replicas=2, rank=0{shuffle})
test_loader = DataLoader(held_out, batch_size=4, sampler=test_sampler)
for epoch in range(3):
    model.train()
    for x, t in train_loader:
        loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, t in test_loader:
            total += F.cross_entropy(model(x), t).item()
    print(epoch, total)
"""


def test_an_evaluation_over_one_stays_as_it_stands(tmp_path: Path) -> None:
    shuffled = same(script(EVALUATED.format(shuffle="")), _made(tmp_path / "shuffled"))
    assert shuffled.code is not None and "validation_step" not in shuffled.code
    plain = same(script(EVALUATED.format(shuffle=", shuffle=False")), _made(tmp_path / "plain"))
    assert plain.code is not None and "validation_step" in plain.code


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


RESUMED = """
start = {start}
for epoch in range(start, 4):
    for x, t in train_loader:
        loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch)
print(torch.rand(1).item(), next(iter(train_loader))[0].sum().item())
"""


@pytest.mark.parametrize("start", [2, 9])
def test_a_run_that_is_over_already_draws_nothing(start: int, tmp_path: Path) -> None:
    assert wrapped(same(script(RESUMED.format(start=f"len('{'x' * start}')")), tmp_path))
