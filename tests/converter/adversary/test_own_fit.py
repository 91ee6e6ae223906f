"""Models that train themselves: the method that holds the loop makes the module from ``self``."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest
from tests.converter.adversary.harness import same

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Result, Status

SCRIPT = """
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(48, 6)
Y = torch.randint(0, 3, (48,))
loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)
test_loader = DataLoader(TensorDataset(X[:20], Y[:20]), batch_size=10)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 16)
        self.drop = nn.Dropout(0.2)
        self.fc2 = nn.Linear(16, 3)
        self.history = []

    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(x))))

METHODS

net = Net()
net.fit(loader, test_loader)
print(net.history, [p.double().sum().item() for p in net.parameters()], net.training, torch.rand(1).item())
"""

EVALUATE = """
@torch.no_grad()
def evaluate(self, loader):
    self.eval()
    correct = 0
    for x, y in loader:
        correct += (self(x).argmax(1) == y).sum().item()
    return correct / len(loader.dataset)
"""

FIT = """
def fit(self, loader, test_loader, epochs=2, lr=0.01):
    optimizer = torch.optim.SGD(self.parameters(), lr=lr)
    best = 0.0
    for epoch in range(epochs):
        self.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(self(x), y)
            loss.backward()
            optimizer.step()
        acc = self.evaluate(test_loader)
        self.history.append(acc)
        best = max(best, acc)
        print(f"epoch {epoch} acc {acc:.4f} best {best}")
    return best
"""

STEPS = """
def loss(self, out, y):
    return F.cross_entropy(out, y)

def train_step(self, x, y, optimizer):
    optimizer.zero_grad()
    loss = self.loss(self(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()

def train_epoch(self, loader, optimizer):
    total = 0
    for x, y in loader:
        total += self.train_step(x, y, optimizer)
    return total

def fit(self, loader, test_loader, epochs=2):
    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
    for epoch in range(epochs):
        self.history.append(self.train_epoch(loader, optimizer))
        print(self.history[-1])
"""


def script(methods: str) -> str:
    return SCRIPT.replace("METHODS", indent(dedent(methods), "    "))


def refused(source: str) -> Result:
    result = convert(source, Options())
    assert result.status is Status.REFUSED, result.code
    return result


def test_the_module_is_made_from_self(tmp_path: Path) -> None:
    result = same(script(EVALUATE + FIT), tmp_path)
    assert result.optimization is Optimization.AUTOMATIC
    assert result.code is not None
    assert "class LitNet(L.LightningModule):\n    def __init__(self, model, lr):" in result.code
    assert "LitNet(self, lr)" in result.code
    assert "self.model.history.append(acc)" in result.code
    assert "def validation_step" in result.code


def test_methods_on_the_way_become_hooks(tmp_path: Path) -> None:
    result = same(script(STEPS), tmp_path)
    assert result.optimization is Optimization.AUTOMATIC
    assert result.code is not None
    assert "self.model.loss(self.model(x), y)" in result.code


CALLS = {
    "twice": "net.fit(loader, test_loader)\nprint(net.fit(loader, test_loader, epochs=1, lr=0.1))",
    "two models": "net.fit(loader, test_loader)\nother = Net()\nprint(other.fit(loader, test_loader), other.history)",
    "rounds": "for lr in (0.1, 0.01):\n    net = Net()\n    print(net.fit(loader, test_loader, lr=lr))",
    "moved": "net = net.to('cpu')\nnet.double().float()\nnet.fit(loader, test_loader)",
    "another name for the method": "again = net.fit\nnet.fit(loader, test_loader)\nagain(loader, test_loader, 1)",
    "in a function": "def main(n):\n    model = Net()\n    print(model.fit(loader, test_loader, n))\nmain(2)",
    "left in evaluation mode": "net.eval()\nnet.fit(loader, test_loader)",
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, tmp_path: Path) -> None:
    same(script(EVALUATE + FIT).replace("net.fit(loader, test_loader)", CALLS[name], 1), tmp_path)


MODES = {
    "never back to training": EVALUATE + FIT.replace("        self.train()\n", ""),
    "back in the method": EVALUATE.replace("    return", "    self.train()\n    return")
    + FIT.replace("        self.train()\n", ""),
    "gradients on": EVALUATE.replace("@torch.no_grad()\n", "") + FIT,
    "trained first": EVALUATE
    + FIT.replace("        self.train()\n", "").replace("    best = 0.0", "    self.train()\n    best = 0.0"),
}


@pytest.mark.parametrize("name", MODES)
def test_modes(name: str, tmp_path: Path) -> None:
    same(script(MODES[name]), tmp_path)


STATE = {
    "numbers and lists": FIT.replace("self.history.append(acc)", "self.history.append(acc)\n        self.best = acc"),
    "in each batch": FIT.replace("optimizer.step()", "optimizer.step()\n            self.last = loss.item()"),
    "read in forward": FIT.replace("self(x), y)", "self(x) * self.scale, y)")
    .replace("best = 0.0", "best, self.scale = 0.0, 1.0")
    .replace("self.history.append(acc)", "self.history.append(acc)\n        self.scale += 0.5"),
    "weights kept": FIT.replace(
        "self.history.append(acc)", "state = {k: v.clone() for k, v in self.state_dict().items()}"
    ).replace("    return best", "    self.load_state_dict(state)\n    return best"),
}


@pytest.mark.parametrize("name", STATE)
def test_state_stays_on_the_model(name: str, tmp_path: Path) -> None:
    same(script(EVALUATE + STATE[name]), tmp_path)


ODD = {
    "a base class's method": FIT.replace("self.history.append(acc)", "super().train(True)"),
    "a name that only the class knows": FIT.replace("self.history.append(acc)", "self.__acc = acc"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_only_the_class_knows_is_refused(name: str) -> None:
    result = refused(script(EVALUATE + ODD[name]))
    assert result.diagnostics[0].code == "TL104"


UNKNOWN = {
    "a model of a list": "nets = [net]\nnets[0].fit(loader, test_loader)",
    "one of two": "net = net if X.sum() > 0 else None\nnet.fit(loader, test_loader)",
    "another method of that name": "net.fit = lambda *data: None\nnet.fit(loader, test_loader)",
    "for the class": "Net.fit = lambda *data: None\nnet.fit(loader, test_loader)",
    "in a loop": "for net in [net]:\n    net.fit(loader, test_loader)",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_call_on_what_is_not_known_is_refused(name: str) -> None:
    result = refused(script(EVALUATE + FIT).replace("net.fit(loader, test_loader)", UNKNOWN[name], 1))
    assert result.diagnostics[0].code == "TL107"


def test_a_model_with_a_train_of_its_own_is_refused() -> None:
    """The Trainer calls ``train()`` for the mode."""
    source = script((EVALUATE + FIT).replace("        self.train()\n", "").replace("def fit", "def train"))
    result = refused(source.replace("net.fit", "net.train"))
    assert result.diagnostics[0].code == "TL107"


OWN = script(
    """
    def fit(self, loader, test_loader, epochs=2):
        for epoch in range(epochs):
            for x, y in loader:
                self.optimizer.zero_grad()
                self.cost = self.criterion(self(x), y)
                self.cost.backward()
                self.optimizer.step()
            self.scheduler.step()
            self.history.append(self.cost.item())
    """
).replace(
    "        self.history = []\n",
    "        self.history = []\n"
    "        self.criterion = nn.CrossEntropyLoss()\n"
    "        self.optimizer = torch.optim.Adam(self.parameters(), lr=0.01)\n"
    "        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.5)\n",
)
AGAIN = {
    "once": "net.fit(loader, test_loader)",
    "goes on": "net.fit(loader, test_loader)\nnet.fit(loader, test_loader, 1)\nprint(net.scheduler.get_last_lr())",
    "another optimizer": "net.optimizer = torch.optim.SGD(net.parameters(), lr=0.3)\nnet.fit(loader, test_loader)",
    "gradients": "net.fit(loader, test_loader)\nprint([p.grad.norm().item() for p in net.parameters()])",
}


@pytest.mark.parametrize("name", AGAIN)
def test_an_optimizer_that_the_model_holds_is_stepped_there(name: str, tmp_path: Path) -> None:
    result = same(OWN.replace("net.fit(loader, test_loader)", AGAIN[name], 1), tmp_path)
    assert result.optimization is Optimization.MANUAL
    assert result.code is not None
    assert "self.model.optimizer.step()" in result.code


def test_one_batch_in_a_method(tmp_path: Path) -> None:
    source = script(
        """
        def train_model(self, x, y):
            self.train()
            self.optimizer.zero_grad()
            self.cost = F.cross_entropy(self.forward(x), y)
            self.cost.backward()
            self.optimizer.step()
            return self.cost

        def predict(self, x):
            self.eval()
            return self.forward(x)
        """
    ).replace(
        "        self.history = []\n",
        "        self.history = []\n        self.optimizer = torch.optim.Adam(self.parameters(), lr=0.01)\n",
    )
    loops = """
for epoch in range(2):
    mean = 0
    for x, y in loader:
        cost = net.train_model(x, y)
        mean += cost / len(loader)
    print(epoch, mean, net.predict(X).sum().item(), net.cost.item())
"""
    same(source.replace("net.fit(loader, test_loader)\n", loops), tmp_path)
