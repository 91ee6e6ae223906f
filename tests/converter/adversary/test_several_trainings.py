"""Several trainings in one script: each is converted by itself, the last first; what cannot be converted stays."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.converter.adversary.harness import run, same
from tests.converter.adversary.test_rounds_of_trainings import script

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Severity, Status

PHASES = {
    "twice with one optimizer": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    print("a", epoch, loss.item())
print(evaluate(model, loader))
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    print("b", epoch, loss.item())
print(evaluate(model, loader), loss.item(), epoch)
""",
    "pre-train and fine-tune": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
# warm up
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    print("a", epoch, loss.item())
print(evaluate(model, loader))

# fine-tune
for p in model[0].parameters():
    p.requires_grad = False
optimizer = torch.optim.Adam(model[3].parameters(), lr=0.01)
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    print("b", epoch, loss.item())
print(evaluate(model, loader), optimizer.param_groups[0]['lr'])
""",
    "three of one name": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    print("a", epoch, loss.item())

loader = DataLoader(dataset, batch_size=4, shuffle=True)
model = nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    print("b", epoch, loss.item())

loader = DataLoader(dataset, batch_size=5)
model = nn.Linear(4, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=0.2)
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    print("c", epoch, loss.item())
""",
    "two phases in a fold": """
for fold in range(2):
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        print("a", epoch, loss.item())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        print("b", epoch, loss.item())
print(evaluate(model, loader))
""",
    "two functions": """
def pretrain(model, loader):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        print("a", epoch, loss.item())


def finetune(model, loader, lr=0.01):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        print("b", epoch, loss.item())
    return loss.item()


def main():
    loader = DataLoader(dataset, batch_size=8, shuffle=True)
    model = make()
    pretrain(model, loader)
    print(evaluate(model, loader))
    print(finetune(model, loader))
    print(evaluate(model, loader))


if __name__ == "__main__":
    main()
""",
    "a branch each": """
mode = 'b'
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
if mode == 'a':
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        print("a", epoch, loss.item())
elif mode == 'b':
    model = nn.Linear(4, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        print("b", epoch, loss.item())
else:
    print('none')
print(evaluate(model, loader))
""",
    "one optimizer and scheduler for both": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    scheduler.step()
    print("a", epoch, loss.item())
for g in optimizer.param_groups:
    g['lr'] = 0.5
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
    scheduler.step()
    print("b", epoch, loss.item())
print(evaluate(model, loader), optimizer.param_groups[0]['lr'])
""",
    "one function twice": """
def train(model, loader, optimizer, epochs):
    for epoch in range(epochs):
        model.train()
        for x, y in loader:
            STEP
        print(epoch, loss.item())


loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
train(model, loader, torch.optim.SGD(model.parameters(), lr=0.1), 2)
train(model, loader, torch.optim.Adam(model.parameters(), lr=0.01), 1)
print(evaluate(model, loader))
""",
    "an epoch by itself first": """
def train_epoch(model, loader, optimizer):
    model.train()
    total = 0
    for x, y in loader:
        STEP
        total += loss.item()
    return total


loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
print("warm", train_epoch(model, loader, optimizer))
for epoch in range(2):
    print(epoch, train_epoch(model, loader, optimizer), evaluate(model, loader))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(3):
    print(epoch, train_epoch(model, loader, optimizer))
""",
    "two that are left early": """
loader = DataLoader(dataset, batch_size=8, shuffle=True)
model = make()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
        if loss.item() < 0.6: break
    print("a", epoch, loss.item())
for epoch in range(2):
    model.train()
    for x, y in loader:
        STEP
        if loss.item() < 0.5: break
    print("b", epoch, loss.item())
""",
}


@pytest.mark.parametrize("body", PHASES.values(), ids=PHASES)
def test_each_training_is_a_fit_of_its_own(body: str, tmp_path: Path) -> None:
    source = script(body)
    result = same(source, tmp_path)
    code = result.code or ""
    assert ".backward()" not in code
    assert convert(code, Options()).status is Status.ALREADY
    statements = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.stmt)]
    assert len(result.fates) == len(statements)
    assert all(t.last <= len(code.splitlines()) for fate in result.fates for t in fate.targets)


def test_the_first_training_has_the_plain_names() -> None:
    code = convert(script(PHASES["pre-train and fine-tune"]), Options()).code or ""
    assert code.index("class LitModel(") < code.index("class LitModel2(")
    assert "trainer.fit(lit_model, datamodule=data)" in code and "trainer_2.fit(lit_model_2, " in code
    assert code.count("import torchlift as L") == 1


DEMO = """
w = torch.ones(2, requires_grad=True)
for i in range(2):
    (w * w).sum().backward()
    print(w.grad)
"""


def test_what_is_no_training_stays_and_is_told_of(tmp_path: Path) -> None:
    source = script(DEMO + PHASES["three of one name"])
    result = same(source, tmp_path)
    stays = [d for d in result.diagnostics if d.code == "TL101"]
    assert [d.severity for d in stays] == [Severity.NOTE]
    assert source.splitlines()[stays[0].span.first - 1] == "for i in range(2):"
    assert DEMO.strip() in (result.code or "")


def test_refused_where_no_training_can_be_converted() -> None:
    result = convert(script(DEMO + DEMO), Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL301"]


LATER = """
model = nn.Linear(4, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=0.2)
later = DataLoader(data.dataset, batch_size=4)
for epoch in range(2):
    for x, y in later:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
"""


def test_a_loop_that_is_left_changes_nothing_in_what_was_converted(tmp_path: Path) -> None:
    head, first, _ = PHASES["twice with one optimizer"].split("for epoch")
    once = convert(script(head + "for epoch" + first), Options()).code or ""
    result = convert(once + LATER, Options())
    assert result.status is Status.CONVERTED and result.code is not None
    assert result.code.startswith(once.rstrip())
    assert run(once + LATER, tmp_path / "before") == run(result.code, tmp_path / "after")


BRANCH = """
best = 0
mode = "test"
model = make()
loader = DataLoader(dataset, batch_size=8, shuffle=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
if mode == "train":
    for epoch in range(2):
        model.train()
        for x, y in loader:
            STEP
        best = max(best, loss.item())
print(best, evaluate(model, loader), optimizer.param_groups[0]["lr"])
"""


@pytest.mark.parametrize("mode", ["test", "train"])
def test_a_branch_that_may_not_be_taken_leaves_names_behind(mode: str, tmp_path: Path) -> None:
    same(script(BRANCH.replace('"test"', f'"{mode}"')), tmp_path)


TENSORS_THEN_A_MODEL = """
import torch
import torch.nn as nn

torch.manual_seed(0)
x = torch.tensor([[1.0], [2.0], [3.0]])
y = torch.tensor([[1.0], [2.0], [3.0]])
w = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.01)
torch.mean((x * w - y) ** 2).backward()
optimizer.step()
w = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.01)
for epoch in range(4):
    cost = torch.mean((x * w - y) ** 2)
    optimizer.zero_grad()
    cost.backward()
    optimizer.step()
    print(epoch, w.item(), cost.item())

model = nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
torch.mean((model(x) - y) ** 2).backward()
optimizer.step()
"""


@pytest.mark.parametrize("second", [True, False], ids=["trained too", "made only"])
def test_a_model_that_is_made_behind_the_loops_is_not_theirs(second: bool, tmp_path: Path) -> None:
    loop = TENSORS_THEN_A_MODEL[TENSORS_THEN_A_MODEL.index("for epoch") : TENSORS_THEN_A_MODEL.index("\nmodel =")]
    again = loop.replace("x * w", "model(x)").replace("w.item(), ", "") if second else ""
    same(TENSORS_THEN_A_MODEL + again + "print(model(x).sum().item())\n", tmp_path)
