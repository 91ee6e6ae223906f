"""A script that shards its model itself is refused at that call."""

from __future__ import annotations

import pytest
from tests.converter.adversary.prelude import DATA, IMPORTS, MODEL

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Status

LOOP = """\
for epoch in range(2):
    for x, y in train_loader:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
"""
WAYS = {
    "fully_shard": ("from torch.distributed.fsdp import fully_shard\n", "fully_shard(model)\n"),
    "the wrapper": (
        "from torch.distributed.fsdp import FullyShardedDataParallel as FSDP\n",
        "model = FSDP(model)\n",
    ),
    "by a module": ("import torch.distributed.fsdp as fsdp\n", "model = fsdp.FullyShardedDataParallel(model)\n"),
    "in a function": (
        "from torch.distributed.tensor.parallel import parallelize_module\n",
        "def spread(net):\n    return parallelize_module(net)\n\n\nmodel = spread(model)\n",
    ),
}


@pytest.mark.parametrize("imported, made", WAYS.values(), ids=WAYS)
def test_refused_at_the_call(imported: str, made: str) -> None:
    code = imported + IMPORTS + DATA + MODEL + made + LOOP
    (told,) = convert(code, Options()).diagnostics
    assert told.code == "TL501"
    assert code.splitlines()[told.span.first - 1].rstrip().endswith("(net)" if "net" in made else "(model)")


def test_leaves_alone_a_function_of_that_name() -> None:
    own = "def fully_shard(net):\n    return net\n\n\nmodel = fully_shard(model)\n"
    assert convert(IMPORTS + DATA + MODEL + own + LOOP, Options()).status is Status.CONVERTED
