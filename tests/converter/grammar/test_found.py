"""Scripts of the grammar that a converter once got wrong, cut down to what it takes; one thought each."""

from __future__ import annotations

import pytest
from tests.converter.grammar.judge import judge
from tests.converter.grammar.parts import IMPORTS, ROWS

from torchlift_convert.types import Status

HEAD = IMPORTS + "\ntorch.manual_seed(1)\n" + ROWS
MODEL = """
model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
criterion = nn.MSELoss()
"""
LOADER = "loader = DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True)\n"
STEP = """
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
"""
CONVERTED = {
    "two tuples as the target of a stream": LOADER
    + """
other_loader = DataLoader(TensorDataset(X[:20], Y[:20]), batch_size=4, shuffle=True)
for epoch in range(2):
    for (x, y), (u, v) in zip(loader, other_loader):
        x, y = torch.cat([x, u]), torch.cat([y, v])
        if x.sum() < 0:
            continue
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
""",
    "no epoch: a Trainer makes an iterator, which draws": LOADER
    + "for epoch in range(0):"
    + STEP
    + "print(model(X).sum().item())\n",
    "no epoch, counted by hand": LOADER
    + "epoch = 0\nwhile epoch < 0:\n    epoch += 1"
    + STEP
    + "print(model(X).sum().item())\n",
    "no epoch behind the first": LOADER + "for epoch in range(1, 1):" + STEP + "print(torch.rand(1).item())\n",
    "training mode behind the forward": "test_loader = "
    + LOADER.split(" = ")[1]
    + LOADER
    + """
for epoch in range(2):
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        model.train()
        loss.backward()
        optimizer.step()
    model.eval()
    held_out = 0.0
    with torch.no_grad():
        for a, b in test_loader:
            held_out += criterion(model(a), b).item()
    print('held out', held_out)
""",
    "a step without batches that is left, in a round": """
for fold in range(2):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    epoch = 0
    while epoch < 2:
        epoch += 1
        if epoch == 2: break
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), Y)
        loss.backward()
        optimizer.step()
    print(torch.rand(1).item())
""",
}


@pytest.mark.parametrize("loop", CONVERTED.values(), ids=CONVERTED)
def test_converts(loop: str) -> None:
    assert judge(HEAD + MODEL + loop).status is Status.CONVERTED
