"""What becomes an attribute: liveness over the regions, once around the loops and behind them."""

from __future__ import annotations

from textwrap import dedent

import pytest

from torchlift_convert.cutting import Cutter
from torchlift_convert.effects import Judge
from torchlift_convert.nest import Finder
from torchlift_convert.program import build
from torchlift_convert.regions import Region
from torchlift_convert.roles import assign_roles
from torchlift_convert.storage import SUCCESSORS, Storage, store
from torchlift_convert.syntax import parse

HEAD = """
import torch
import torch.nn as nn
from torch.utils.data import DataLoader
loader = DataLoader(rows)
held = DataLoader(others)
model = nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""
STEP = """
        optimizer.zero_grad()
        loss = model(x).mean()
        loss.backward()
        optimizer.step()
"""


def stored(first: str = "", batch: str = "", last: str = "", before: str = "", after: str = "") -> Storage:
    """Lines before the batches, behind the step, behind the batches; in front of the loops and behind them."""
    batches = f"    for i, (x, y) in enumerate(loader):{STEP}        {batch or 'pass'}\n"
    loop = f"for epoch in range(3):\n    {first or 'pass'}\n{batches}    {last or 'pass'}\n"
    program = build(parse(f"{HEAD}{dedent(before)}\n{loop}{dedent(after)}\n"))
    nest = Finder(program).find()
    assert nest is not None
    roles, judge = assign_roles(program, nest), Judge(program)
    regions = Cutter(program, nest, roles, judge).cut()
    return store(program, nest, roles, regions, judge)


def attributes(**parts: str) -> set[str]:
    return {v.name for v in stored(**parts).attributes}


CASES = [
    ("read in its own batch only", {"batch": "n = len(x); print(n)"}, set()),
    ("summed over the batches", {"first": "total = 0", "batch": "total += 1", "last": "print(total)"}, {"total"}),
    ("made anew in each batch, read at the end", {"last": "print(loss.item())"}, {"loss"}),
    ("carried to the next batch", {"before": "old = 0", "batch": "print(old); old = loss.item()"}, {"old"}),
    ("carried to the next epoch", {"before": "best = 9", "last": "best = min(best, 1)"}, {"best"}),
    ("read behind the loops", {"last": "seen = epoch", "after": "print(seen)"}, {"seen"}),
    ("overwritten before it is read", {"batch": "n = 1", "last": "n = 2; print(n)"}, set()),
    ("a loop variable read at the end of the epoch", {"last": "print(i)"}, {"i"}),
    ("a part of the batch read at the end", {"last": "print(x.shape)"}, {"x"}),
    ("on one path", {"first": "n = 0", "batch": "\n        if i:\n            n = 1", "last": "print(n)"}, {"n"}),
    ("read by a lambda", {"first": "k = 1", "batch": "print((lambda: k)())"}, {"k"}),
    ("bound in a comprehension", {"batch": "print([k for k in x])", "last": "print(1)"}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "names"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_attributes(parts: dict[str, str], names: set[str]) -> None:
    assert attributes(**parts) == names


def test_what_has_a_role_has_its_place() -> None:
    storage = stored(batch="print(optimizer)", last="print(model, loader, epoch)", after="print(model)")
    assert not storage.attributes


def test_a_value_from_before_the_loops_is_handed_over() -> None:
    storage = stored(before="best = 9", last="best = min(best, 1)")
    assert {v.name for v in storage.entering} == {"best"}
    assert not stored(first="total = 0", batch="total += 1").entering


def test_what_is_read_after_the_loops_is_known() -> None:
    storage = stored(last="seen = epoch", after="print(seen, loss)")
    assert {v.name for v in storage.read_after} == {"seen", "loss"}


def test_a_local_is_saved_at_the_end_of_its_hook_and_an_accumulator_is_replaced() -> None:
    storage = stored(first="total = 0", batch="total += loss.item()", last="print(total, loss)")
    assert {v.name for v in storage.saved[Region.STEP]} == {"loss"}
    assert {v.name for v in storage.replaced[Region.STEP]} == {"total"}
    assert {v.name for v in storage.replaced[Region.EPOCH_START]} == {"total"}


def test_names_that_functions_look_up_stay_where_they_are() -> None:
    before = "best = 0\ndef show():\n    print(best)\n"
    storage = stored(before=before, last="best = 1; show()")
    assert {v.name for v in storage.pinned} == {"best"} and not storage.attributes


def test_every_region_leads_on_and_the_last_one_out() -> None:
    """Liveness goes round both loops: from each region every other is reached, and what follows the loops."""
    for region in Region:
        reached, stack = set[Region | None](), [region]
        while stack:
            for following in SUCCESSORS[stack.pop()]:
                if following not in reached:
                    reached.add(following)
                    stack += [following] if following is not None else []
        assert reached >= {*Region, None}
