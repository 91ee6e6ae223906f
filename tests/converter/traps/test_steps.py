"""One batch: what runs around the optimizer's step, in which order, and what it sees."""

from __future__ import annotations

import pytest

from torchlift_convert.types import Optimization

BEFORE = """
for epoch in range(3):
    for i, (x, y) in enumerate(train_loader):
"""
STEP = """
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
"""
AFTER = {
    "weights averaged": "with torch.no_grad():\n            for p, q in zip(shadow.parameters(), model.parameters()):\n"
    "                p.mul_(0.9).add_(q, alpha=0.1)",
    "weights clamped": "for p in model.parameters():\n            p.data.clamp_(-0.3, 0.3)",
    "a weight printed": "print(model[0].weight.sum().item())",
    "the gradient printed": "print(model[0].weight.grad.norm().item())",
    "a second forward": "print(criterion(model(x), y).item())",
    "a draw": "print(torch.rand(1).item())",
    "a batch statistic": "print(x.mean().item(), len(x))",
    "its optimizer's state": "print(len(optimizer.state_dict()['state']))",
    "the loss kept with its graph": "kept.append(loss)",
    "a state dict": "print(model.state_dict()['0.weight'].sum().item())",
    "names deleted": "del x, y",
    "matched": "match i % 3:\n            case 0:\n                print(i)\n            case _:\n                pass",
    "a clock": "started = time.time()",
}
SETUP = "import time\n\nshadow, kept = copy.deepcopy(model), []\n"
TAIL = "\n    print(epoch, sum(p.sum().item() for p in shadow.parameters()), sum(one.item() for one in kept))\n"


@pytest.mark.parametrize("behind", AFTER.values(), ids=AFTER)
def test_behind_the_step(traps, behind: str) -> None:
    traps.exact(SETUP + BEFORE.lstrip() + STEP.strip("\n") + "\n        " + behind + TAIL)


INSIDE = {
    "noise on the inputs": STEP.replace("model(x)", "model(x + 0.1 * torch.randn_like(x))"),
    "a loss of two parts": STEP.replace(
        "criterion(model(x), y)", "criterion(model(x), y) + 0.01 * model(x).pow(2).mean()"
    ),
    "a dictionary of losses": STEP.replace(
        "loss = criterion(model(x), y)",
        "out = model(x)\n        parts = {'fit': criterion(out, y), 'size': 0.01 * out.pow(2).mean()}\n"
        "        loss = sum(parts.values())",
    )
    + "        print({name: part.item() for name, part in parts.items()})\n",
    "the graph of an output": STEP.replace(
        "loss = criterion(model(x), y)", "out = model(x)\n        out.retain_grad()\n        loss = criterion(out, y)"
    ).replace("optimizer.step()", "slope = out.grad.norm().item()\n        optimizer.step()\n        print(slope)"),
    "the gradient of the inputs": "        x.requires_grad_(True)" + STEP + "        print(x.grad.norm().item())\n",
    "bfloat16 for the forward only": STEP.replace(
        "loss = criterion(model(x), y)",
        "with torch.autocast('cpu', dtype=torch.bfloat16):\n            out = model(x)\n"
        "        loss = criterion(out.float(), y)",
    ),
    "an exception handled": STEP.replace(
        "loss = criterion(model(x), y)",
        "try:\n            loss = criterion(model(x), y)\n        except RuntimeError:\n            raise",
    ),
    "a step that depends on the loss": STEP.replace(
        "optimizer.step()", "if loss.item() < 5:\n            optimizer.step()"
    ),
    "a line printed before the step": STEP.replace("optimizer.step()", "print(loss.item())\n        optimizer.step()"),
}


@pytest.mark.parametrize("step", INSIDE.values(), ids=INSIDE)
def test_inside_the_step(traps, step: str) -> None:
    traps.exact(BEFORE + step.strip("\n") + "\n    print(epoch, loss.item())\n")


def test_running_mean_kept_as_a_python_number(traps) -> None:
    """The sum of batch means over the number of batches, and the mean over samples: both to the last bit."""
    loop = """
    for epoch in range(3):
        running, seen, plain = 0.0, 0, 0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item() * x.size(0)
            seen += x.size(0)
            plain += loss
        print(running / seen, plain.item() / len(train_loader))
    """
    traps.exact(loop)


def test_two_optimizers_in_turn(traps) -> None:
    model = """
    maker = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 4))
    judge = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    criterion = nn.BCEWithLogitsLoss()
    """
    optimizer = """
    for_maker = torch.optim.Adam(maker.parameters(), lr=0.01)
    for_judge = torch.optim.Adam(judge.parameters(), lr=0.01)
    """
    loop = """
    fixed = torch.randn(3, 2)
    for epoch in range(3):
        for real, _ in train_loader:
            fake = maker(torch.randn(len(real), 2))
            for_judge.zero_grad()
            true, false = torch.ones(len(real), 1), torch.zeros(len(real), 1)
            told = criterion(judge(real), true) + criterion(judge(fake.detach()), false)
            told.backward()
            for_judge.step()
            for_maker.zero_grad()
            fooled = criterion(judge(fake), true)
            fooled.backward()
            for_maker.step()
        with torch.no_grad():
            print(epoch, maker(fixed).sum().item(), told.item(), fooled.item())
    """
    assert traps.exact(loop, model=model, optimizer=optimizer).optimization is Optimization.MANUAL


def test_hidden_state_carried_from_batch_to_batch(traps) -> None:
    data = """
    series = torch.randn(8, 51, 2)
    starts = DataLoader(torch.arange(0, 50, 5), batch_size=1)
    """
    model = """
    rnn = nn.GRU(2, 5, batch_first=True)
    head = nn.Linear(5, 2)
    """
    optimizer = "optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=0.01)"
    loop = """
    for epoch in range(3):
        hidden = None
        for start in starts:
            at = int(start)
            if hidden is not None:
                hidden = hidden.detach()
            optimizer.zero_grad()
            out, hidden = rnn(series[:, at : at + 5], hidden)
            loss = F.mse_loss(head(out), series[:, at + 1 : at + 6])
            loss.backward()
            optimizer.step()
        print(epoch, loss.item())
    """
    traps.exact(loop, data=data, model=model, optimizer=optimizer)


def test_lbfgs(traps) -> None:
    loop = """
    for epoch in range(2):
        for x, y in train_loader:
            def closure():
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                return loss

            optimizer.step(closure)
        print(epoch, criterion(model(inputs), targets).item())
    """
    traps.exact(loop, optimizer="optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)")


def test_teacher_is_not_trained_nor_put_into_training_mode(traps) -> None:
    model = """
    teacher = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    teacher.eval()
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 1))
    criterion = nn.MSELoss()
    """
    loop = """
    for epoch in range(3):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            with torch.no_grad():
                soft = teacher(x)
            loss = criterion(model(x), y) + 0.1 * criterion(model(x), soft)
            loss.backward()
            optimizer.step()
        print(teacher.training, sorted(model.state_dict()))
    """
    traps.exact(loop, model=model)


def test_loss_with_parameters_of_its_own(traps) -> None:
    model = """
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, one, other):
            return (self.scale * (one - other)).pow(2).mean() + self.scale.abs().sum()


    model = nn.Linear(4, 1)
    criterion = Scaled()
    """
    optimizer = "optimizer = torch.optim.SGD([*model.parameters(), *criterion.parameters()], lr=0.05)"
    traps.exact(BEFORE + STEP.strip("\n") + "\n    print(criterion.scale.item())\n", model=model, optimizer=optimizer)


def test_tensors_trained_without_a_model(traps) -> None:
    model = """
    w = torch.randn(4, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    """
    optimizer = "optimizer = torch.optim.SGD([w, b], lr=0.05)"
    step = STEP.replace("criterion(model(x), y)", "(x @ w + b - y).pow(2).mean()")
    traps.exact(BEFORE + step.strip("\n") + "\n        print(w.sum().item())\n", model=model, optimizer=optimizer)
