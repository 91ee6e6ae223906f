"""Traps that stand in no other file: precision, workers, folds, own optimizers, interrupts, devices."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from tests.converter.traps.account import first_difference, run, silent

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Target

STEP = """
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
"""
EPOCHS = "for epoch in range(3):\n    model.train()\n    for x, y in train_loader:"
TEST = """
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in test_loader:
            total += criterion(model(x), y).item()
    print(epoch, total)
"""
NARROW = """
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model(x)
        loss = criterion(out.float(), y)
        loss.backward()
        optimizer.step()
"""
WIDE = """
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
"""


@pytest.mark.parametrize("step", [NARROW, WIDE], ids=["the forward alone", "forward and loss"])
def test_autocast_covers_what_it_covered(traps, step: str) -> None:
    traps.exact(EPOCHS + step + TEST)


WORKERS = """
class Rows(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        row = torch.randn(4)
        return row, row.sum().unsqueeze(0)


train_loader = DataLoader(Rows(), batch_size=8, shuffle=True, num_workers=2)
test_loader = DataLoader(Rows(), batch_size=8)
"""


def test_workers_draw_from_the_seeds_they_had(traps) -> None:
    """``seed_everything(workers=True)`` would give them others."""
    traps.exact(EPOCHS.replace("range(3)", "range(2)") + STEP + TEST, data=WORKERS)


def test_steps_that_start_the_loader_again(traps) -> None:
    loop = """
    step, batches = 0, iter(train_loader)
    while step < 13:
        try:
            x, y = next(batches)
        except StopIteration:
            batches = iter(train_loader)
            x, y = next(batches)
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        step += 1
    print(step, loss.item(), torch.rand(1).item())
    """
    traps.exact(loop)


def test_loaders_side_by_side_end_with_the_shorter(traps) -> None:
    traps.exact(EPOCHS.replace("x, y in train_loader", "(x, y), (u, v) in zip(train_loader, test_loader)") + STEP)


def test_what_an_evaluation_gives_is_trained_on(traps) -> None:
    """Tensors of ``no_grad`` may meet autograd later; those of ``inference_mode`` may not."""
    loop = """
    centre = torch.zeros(1)
    for epoch in range(3):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y) + 0.01 * (model(x) * centre).mean()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for x, y in test_loader:
                centre = model(x).mean(dim=0)
    print(centre.item())
    """
    traps.exact(loop)


def test_graph_that_is_walked_twice(traps) -> None:
    step = """
        optimizer.zero_grad()
        out = model(x)
        first, second = criterion(out, y), F.l1_loss(out, y)
        first.backward(retain_graph=True)
        second.backward()
        optimizer.step()
        print(first.item(), second.item())
"""
    traps.exact(EPOCHS + step)


def test_folds_train_a_model_each(traps) -> None:
    loop = """
    scores = []
    for fold in range(3):
        held_out = list(range(fold * 8, fold * 8 + 8))
        rest = [n for n in range(40) if n not in held_out]
        fold_loader = DataLoader(torch.utils.data.Subset(rows, rest), batch_size=8, shuffle=True)
        test_loader = DataLoader(torch.utils.data.Subset(rows, held_out), batch_size=8)
        model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for epoch in range(2):
            model.train()
            for x, y in fold_loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(x), y)
                loss.backward()
                optimizer.step()
        model.eval()
        with torch.no_grad():
            scores.append(sum(F.mse_loss(model(x), y).item() for x, y in test_loader))
    print(scores)
    """
    data = "inputs = torch.randn(40, 4)\nrows = TensorDataset(inputs, inputs.sum(dim=1, keepdim=True))\n"
    traps.exact(loop, data=data, model="", optimizer="")


OWN = """
class Plain(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])


optimizer = Plain(model.parameters(), lr=0.05)
"""


def test_optimizer_whose_step_takes_no_closure(traps) -> None:
    """A Trainer hands a closure to what it steps."""
    traps.exact(EPOCHS + STEP + TEST, optimizer=OWN)


INTERRUPTED = """
seen = 0
try:
    for epoch in range(3):
        for x, y in train_loader:
            if seen == 7:
                raise KeyboardInterrupt
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            seen += 1
except KeyboardInterrupt:
    print("stopped")
torch.save(model.state_dict(), "stopped.pt")
print(seen)
"""


def test_handler_of_an_interrupt_runs(traps) -> None:
    traps.exact(INTERRUPTED)


def test_handler_that_reads_what_the_loop_counts(traps) -> None:
    """The count is the module's, which has not come back when the handler runs."""
    traps.refused(INTERRUPTED.replace('print("stopped")', 'print("stopped", seen)  # here'), "TL106")


def test_lightning_itself_does_nothing_that_was_not_there(traps, tmp_path: Path) -> None:
    """No sanity check, no checkpoint, no logs: the same lines once, and the same files."""
    importlib.import_module("lightning")  # draws from Python's generator, once
    source = traps.script(EPOCHS + STEP + TEST + "    torch.save(model.state_dict(), f'{epoch}.pt')\n")
    result = convert(source, Options(target=Target.LIGHTNING))
    assert result.code is not None and "def validation_step" in result.code
    before = run(source, tmp_path / "before")
    assert sorted(before.files) == ["0.pt", "1.pt", "2.pt"]
    assert not first_difference(before, run(silent(result.code), tmp_path / "after"))


ON_DEVICE = """
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)).to(device)
criterion = nn.MSELoss()
"""


def test_tensors_made_in_a_step_follow_the_model(traps) -> None:
    """Only its text tells without a GPU: nothing that a step makes may stay behind on the CPU."""
    step = """
        x, y = x.to(device), y.to(device)
        noise = torch.randn(x.shape, device=device)
        optimizer.zero_grad()
        loss = criterion(model(x + 0.01 * noise), y)
        loss.backward()
        optimizer.step()
"""
    result = traps.exact(EPOCHS + step, model=ON_DEVICE)
    assert "device=self.device" in result.code


def test_model_is_where_it_was_behind_the_training(traps) -> None:
    """Lightning leaves it on the CPU. Only the text tells without a GPU."""
    step = STEP.replace("model(x), y", "model(x.to(device)), y.to(device)")
    loop = EPOCHS + step + "print(model(inputs[:8].to(device)).sum().item())\n"
    result = traps.exact(loop, model=ON_DEVICE)
    behind = result.code[result.code.index(".fit(") :]
    assert ".to(" in behind[: behind.index("print(")]
