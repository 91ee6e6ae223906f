"""Two processes that train together over gloo, before and after: the script's own group, sampler and wrapper stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torchlift
from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options

SCRIPT = """
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


def setup(rank, world_size):
    dist.init_process_group("gloo", init_method="file:///STORE", rank=rank, world_size=world_size)


def main(rank, world_size, epochs):
    setup(rank, world_size)
    torch.manual_seed(0)
    inputs, targets = torch.randn(40, 4), torch.randint(0, 3, (40,))
    train_set, held_out = TensorDataset(inputs[:32], targets[:32]), TensorDataset(inputs[32:], targets[32:])
    sampler = DistributedSampler(train_set, num_replicas=world_size, rank=rank)
    train_loader = DataLoader(train_set, batch_size=4, sampler=sampler)
    test_loader = DataLoader(held_out, sampler=DistributedSampler(held_out, world_size, rank, shuffle=False))
    model = DDP(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3)))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(epochs):
        TELL
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            mean = loss.detach().clone()
            dist.all_reduce(mean)
            if rank == 0:
                print(epoch, mean.item(), flush=True)
        model.eval()
        correct = torch.zeros(1)
        with torch.no_grad():
            for x, y in test_loader:
                correct += (model(x).argmax(1) == y).sum()
        dist.all_reduce(correct)
        if rank == 0:
            print(epoch, correct.item(), flush=True)
            torch.save(model.module.state_dict(), "model.pt")
        dist.barrier()
    print("rank", rank, [p.sum().item().hex() for p in model.parameters()], flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(main, args=(2, 2), nprocs=2)
"""


def _lines(code: str, folder: Path) -> list[str]:
    folder.mkdir()
    (folder / "train.py").write_text(code.replace("/STORE", str(folder / "store")), encoding="utf-8")
    paths = [str(Path(torchlift.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "model.pt").exists()
    return sorted(done.stdout.splitlines())  # two processes print


def test_two_processes_train_as_before(tmp_path: Path) -> None:
    """The sampler is never told the epoch, which a Trainer would do of its own accord."""
    source = SCRIPT.replace("TELL", "pass")
    result = convert(source, Options())
    assert result.code is not None, result.diagnostics
    assert result.optimization is Optimization.AUTOMATIC and "def validation_step" in result.code
    before = _lines(source, tmp_path / "before")
    assert len(before) == 2 * (4 + 1) + 2
    assert _lines(result.code, tmp_path / "after") == before


def test_a_sampler_that_is_told_stays_told() -> None:
    result = convert(SCRIPT.replace("TELL", "sampler.set_epoch(epoch)"), Options())
    assert result.code is not None and "self.sampler.set_epoch(self.current_epoch)" in result.code
