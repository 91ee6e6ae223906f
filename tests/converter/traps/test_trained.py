"""What an optimizer updates is found through any way of naming it: nothing that reads it may overtake the step."""

from __future__ import annotations

import pytest

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(6, 1)

    def forward(self, x):
        return self.head(self.body(x))


model = Net()
criterion = nn.MSELoss()
"""

OPTIMIZERS = {
    "the model's": "optimizer = torch.optim.SGD(model.parameters(), lr=0.05)",
    "a part's": "optimizer = torch.optim.SGD(model.head.parameters(), lr=0.05)",
    "a named part's": "head = model.head\noptimizer = torch.optim.SGD(head.parameters(), lr=0.05)",
    "a list": "weights = list(model.parameters())\noptimizer = torch.optim.SGD(weights, lr=0.05)",
    "two parts": """
parts = itertools.chain(model.body.parameters(), model.head.parameters())
optimizer = torch.optim.SGD(parts, lr=0.05)
""",
    "groups": "optimizer = torch.optim.SGD([{'params': model.head.parameters(), 'lr': 0.1}], lr=0.05)",
    "chosen": "optimizer = torch.optim.SGD(filter(lambda p: p.ndim > 1, model.parameters()), lr=0.05)",
    "from a function": """
def weights(net):
    return [p for name, p in net.named_parameters() if "bias" not in name]


optimizer = torch.optim.SGD(weights(model), lr=0.05)
""",
}

LOOP = """
for epoch in range(2):
    model.train()
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.head.parameters(), 0.5)
        optimizer.step()
        print(loss.item(), model.head.weight.sum().item())
"""


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_clip_and_print_stay_around_the_step(traps, optimizer: str) -> None:
    traps.exact(LOOP, model=NET, optimizer=optimizer)


def test_name_for_a_weight(traps) -> None:
    loop = LOOP.replace("model.head.weight.sum()", "weight.sum()")
    traps.exact(loop, model=NET, optimizer="weight = model.head.weight\n" + OPTIMIZERS["the model's"])


def test_function_that_reads_the_weights(traps) -> None:
    size = "def size():\n    return sum(p.abs().sum().item() for p in model.parameters())\n\n\n"
    traps.exact(size + LOOP.strip().replace("model.head.weight.sum().item()", "size()"), model=NET)
