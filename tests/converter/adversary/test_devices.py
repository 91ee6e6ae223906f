"""Device code: what the Trainer is told about it, and casts that only look like it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import converted, same
from tests.converter.adversary.prelude import DATA, IMPORTS, inside_main

LOOP = """
for epoch in range(2):
    for x, t in train_loader:
        x, t = {x}, {t}
        loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item(), loss.dtype)
"""


def script(before: str, model: str, batch: str = ".to(device)") -> str:
    made = f"{before}\nmodel = {model}\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    return "import argparse\n" + IMPORTS + DATA + made + LOOP.format(x="x" + batch, t="t" + batch)


OPTION = (
    "parser = argparse.ArgumentParser()\nparser.add_argument('--device', default='cpu')\nargs = parser.parse_args([])"
)
PLACES = {
    "a number in a text": (
        script("rank = 1\ndevice = torch.device(f'cuda:{rank}')", "Net().to(device)"),
        "accelerator=device.type,devices=1 if device.index is None else [device.index]",
    ),
    "a number of its own": (
        script("rank = 1\ndevice = torch.device('cuda', rank)", "Net().to(device)"),
        "accelerator=device.type,devices=1 if device.index is None else [device.index]",
    ),
    "an option": (
        script(OPTION, "Net().to(args.device)", ".to(args.device)"),
        "accelerator=torch.device(args.device).type,"
        "devices=1 if torch.device(args.device).index is None else [torch.device(args.device).index]",
    ),
    "a GPU by number": (
        script("torch.cuda.set_device(gpu := 1)\nrank = 1", "Net().cuda(rank)", ".cuda(rank)"),
        'accelerator="gpu",devices=[rank]',
    ),
    "the number of a process": (
        script("rank = 1", "nn.parallel.DistributedDataParallel(Net().to(rank), device_ids=[rank])", ".to(rank)"),
        'accelerator="gpu",devices=[rank]',
    ),
    "the current GPU": (
        script("torch.cuda.set_device(1)\ndevice = torch.device('cuda')", "Net().to(device)"),
        'accelerator="gpu",devices=[torch.cuda.current_device()]',
    ),
    "the current GPU, if there is one": (
        script(
            "if torch.cuda.is_available():\n    torch.cuda.set_device(1)\n"
            "device = torch.accelerator.current_accelerator() or torch.device('cpu')",
            "Net().to(device)",
        ).replace("current_accelerator() or torch.device('cpu')", "current_accelerator()"),
        'accelerator=device.type,devices=[torch.cuda.current_device()]ifdevice.type=="cuda"else1',
    ),
    "a cast besides": (
        script("device = torch.device('cuda')", "Net().to(device)", ".to(device, torch.float32)"),
        'accelerator="gpu",devices=1',
    ),
}


@pytest.mark.parametrize(("source", "told"), PLACES.values(), ids=PLACES)
def test_what_the_trainer_is_told(source: str, told: str) -> None:
    code = converted(source).code
    assert code is not None and told.replace(" ", "") in "".join(code.split())


def test_a_device_that_is_handed_over(tmp_path: Path) -> None:
    body = "def train(model, loader, optimizer, where):\n" + "".join(
        f"    {line}\n" for line in LOOP.format(x="x.to(device=where, non_blocking=True)", t="t.to(where)").splitlines()
    )
    made = "device = torch.device('cpu')\nmodel = Net().to(device)\n"
    made += "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    call = "\n\ntrain(model, train_loader, optimizer, device)\n"
    code = same(IMPORTS + DATA + body + "\n\n" + made + call, tmp_path).code
    assert code is not None and "accelerator=where.type" in code


CASTS = {
    "by name": ("dtype = torch.float64\nmodel.to(dtype)", ".to(dtype)"),
    "of torch": ("model.to(torch.float64)", ".to(torch.float64)"),
    "like a tensor": ("like = torch.zeros(1, dtype=torch.float64)\nmodel.to(like)", ".to(like)"),
}


@pytest.mark.parametrize(("cast", "batch"), CASTS.values(), ids=CASTS)
def test_a_cast_is_no_move(cast: str, batch: str, tmp_path: Path) -> None:
    loop = LOOP.format(x="x" + batch, t="t")
    result = same(inside_main(f"{cast}\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n{loop}"), tmp_path)
    assert result.code is not None


def test_a_device_named_by_a_text_is_no_number_of_a_gpu() -> None:
    """A script that may run in several processes names its device otherwise in each."""
    source = """
import os

import torch
import torch.nn.functional as F

device = "cuda"
exec(open("options.py").read())
ranked = int(os.environ.get("RANK", -1)) != -1
if ranked:
    device = f"cuda:{os.environ['LOCAL_RANK']}"
    torch.cuda.set_device(device)
model = torch.nn.Linear(4, 1)
model.to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = torch.randn(8, 4), torch.randn(8, 1)
for step in range(3):
    optimizer.zero_grad()
    loss = F.mse_loss(model(x.to(device)), y.to(device))
    loss.backward()
    optimizer.step()
"""
    code = converted(source).code
    assert code is not None and "devices=[device]" not in code


BRANCHES = """
if torch.cuda.is_available():
    device = torch.device('cuda:{}'.format(0))
else:
    device = torch.device('cpu')
"""
ON_DEVICE = """
torch.manual_seed(0)
inputs = torch.randn(16, 4, device=device)
train_loader = DataLoader(TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size=4, shuffle=True)
model = nn.Linear(4, 2)
model.to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""


def test_a_device_that_the_data_is_made_on(tmp_path: Path) -> None:
    loop = LOOP.format(x="x", t="t")
    code = same(IMPORTS + BRANCHES + ON_DEVICE + loop + "print(model(inputs).sum().item())\n", tmp_path).code
    assert code is not None and "accelerator=data.device.type" in code
    assert "lit_model.to(data.device)" in code or "model.to(data.device)" in code


READ_BY_A_CLASS = """
class Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, x):
        return self.net(x) + torch.zeros(1).to(device)

"""


@pytest.mark.parametrize("place", ["before the class", "behind the class"])
def test_a_device_that_only_a_class_reads_when_it_runs(place: str, tmp_path: Path) -> None:
    device = 'device = torch.device("cuda" if torch.cuda.is_available() else "cpu")\n'
    top = device + READ_BY_A_CLASS if place.startswith("before") else READ_BY_A_CLASS + device
    made = "model = Shifted()\nmodel.to(device)\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    code = same(IMPORTS + DATA + top + made + LOOP.format(x="x", t="t"), tmp_path).code
    assert code is not None and device in code
