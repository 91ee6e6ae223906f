"""Evaluations: how many, when, in which mode, and what stands around them."""

from __future__ import annotations

import pytest

TRAIN = """
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
"""
TEST = """
    total = 0.0
    with torch.no_grad():
        for x, y in test_loader:
            total += criterion(model(x), y).item()
    print(epoch, total / len(test_loader))
"""
EPOCHS = "for epoch in range(3):\n"
TRAIN_MODE = "    model.train()"
EVAL_MODE = "    model.eval()"
FUNCTION = """
def evaluate(loader):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in loader:
            total += criterion(model(x), y).item()
    return total / len(loader)


"""
BEST = "    if total < best:\n        best = total\n        torch.save(model.state_dict(), 'best.pt')\n"


def epoch(*parts: str) -> str:
    return EPOCHS + "\n".join(part.strip("\n") for part in parts) + "\n"


USUAL = epoch(TRAIN_MODE, TRAIN, EVAL_MODE, TEST)
MODES = {
    "switched before each": USUAL,
    "switched back right behind": "model.train()\n" + epoch(TRAIN, EVAL_MODE, TEST, TRAIN_MODE),
    "never back to training": "model.train()\n" + epoch(TRAIN, EVAL_MODE, TEST),
    "never switched": epoch(TRAIN, TEST),
    "training mode only": epoch(TRAIN_MODE, TRAIN, TEST),
    "evaluation mode before the first epoch": "model.eval()\n" + epoch(TRAIN, TEST),
    "a frozen part": epoch(TRAIN_MODE, "    model[1].eval()", TRAIN, EVAL_MODE, TEST),
    "a frozen part, once": "model[1].eval()\n" + epoch(TRAIN, TEST),
    "by a flag": epoch("    model.train(True)", TRAIN, "    model.train(False)", TEST),
    "by a value": epoch("    model.train(epoch < 1)", TRAIN, TEST),
    "by a value, and back": epoch(TRAIN_MODE, TRAIN, "    model.train(mode=epoch > 5)", TEST),
    "by keyword": epoch(TRAIN_MODE, TRAIN, "    model.train(mode=False)", TEST),
    "by a function": "def switch(net, on):\n    net.train(on)\n\n\n"
    + epoch("    switch(model, True)", TRAIN, "    switch(model, False)", TEST),
    "under a condition": epoch(TRAIN_MODE, TRAIN, "    if epoch:\n        model.eval()", TEST),
}
TIMES = {
    "none": epoch(TRAIN_MODE, TRAIN),
    "every second epoch": epoch(TRAIN_MODE, TRAIN, "    if epoch % 2 == 0:", EVAL_MODE.replace("    ", "        ", 1))
    + TEST.strip("\n").replace("\n", "\n    ").replace("    total = 0.0", "        total = 0.0", 1)
    + "\n",
    "on both sets": epoch(TRAIN_MODE, TRAIN, EVAL_MODE, TEST, TEST.replace("test_loader", "train_loader")),
    "on both sets, by a function": FUNCTION
    + epoch(TRAIN_MODE, TRAIN, "    print(evaluate(train_loader), evaluate(test_loader))"),
    "before the first epoch": FUNCTION
    + "print(evaluate(test_loader))\n"
    + epoch(TRAIN_MODE, TRAIN, "    print(evaluate(test_loader))"),
    "behind the last epoch": FUNCTION + epoch(TRAIN_MODE, TRAIN) + "print(evaluate(test_loader))\n",
    "on one batch": epoch(
        TRAIN_MODE, TRAIN, EVAL_MODE, "    x, y = next(iter(test_loader))\n    print(criterion(model(x), y).item())"
    ),
    "broken off": epoch(
        TRAIN_MODE, TRAIN, EVAL_MODE, TEST.replace("model(x), y).item()", "model(x), y).item()\n            break")
    ),
    "without a loader": epoch(
        TRAIN_MODE, TRAIN, EVAL_MODE, "    print(criterion(model(inputs[40:]), targets[40:]).item())"
    ),
    "in a comprehension": epoch(TRAIN, "    print(sum([criterion(model(x), y).item() for x, y in test_loader]))"),
}
AROUND = {
    "a draw before": epoch(TRAIN_MODE, TRAIN, "    print(torch.rand(1).item())", EVAL_MODE, TEST),
    "a draw behind": epoch(TRAIN_MODE, TRAIN, EVAL_MODE, TEST, "    print(torch.rand(1).item())"),
    "a draw inside": epoch(TRAIN_MODE, TRAIN, EVAL_MODE, TEST.replace("model(x)", "model(x + torch.randn_like(x))")),
    "a line printed before": epoch(TRAIN_MODE, TRAIN, "    print('trained', loss.item())", EVAL_MODE, TEST),
    "samples drawn behind": epoch(
        TRAIN_MODE, TRAIN, EVAL_MODE, TEST, "    print(model(torch.randn(4, 4)).sum().item())"
    ),
    "weights saved before": epoch(
        TRAIN_MODE, TRAIN, "    torch.save(model.state_dict(), f'{epoch}.pt')", EVAL_MODE, TEST
    ),
    "everything saved behind": epoch(
        TRAIN_MODE,
        TRAIN,
        EVAL_MODE,
        TEST,
        "    state = {'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'epoch': epoch}",
        "    torch.save(state, f'{epoch}.pt')",
    ),
    "the best model, strictly better": "best = float('inf')\n"
    + epoch(TRAIN_MODE, TRAIN, EVAL_MODE, TEST, BEST)
    + "print(best)\nmodel.load_state_dict(torch.load('best.pt'))\nprint(model[0].weight.sum().item())\n",
    "the best model in memory": "best, kept = float('inf'), None\n"
    + epoch(
        TRAIN_MODE,
        TRAIN,
        EVAL_MODE,
        TEST,
        BEST.replace("torch.save(model.state_dict(), 'best.pt')", "kept = copy.deepcopy(model.state_dict())"),
    )
    + "model.load_state_dict(kept)\nprint(best, model[0].weight.sum().item())\n",
    "patience": "best, bad = float('inf'), 0\n"
    + epoch(
        TRAIN_MODE, TRAIN, EVAL_MODE, TEST, BEST, "    else:\n        bad += 1\n        if bad == 1:\n            break"
    )
    + "print(bad)\n",
    "inference mode": epoch(TRAIN_MODE, TRAIN, EVAL_MODE, TEST.replace("no_grad", "inference_mode")),
    "gradients off for good": epoch(
        TRAIN_MODE, TRAIN, EVAL_MODE, TEST.replace("torch.no_grad()", "torch.set_grad_enabled(False)")
    ),
    "gradients of the inputs": epoch(
        TRAIN_MODE,
        TRAIN,
        EVAL_MODE,
        "    for x, y in test_loader:\n        x.requires_grad_(True)",
        "        (slope,) = torch.autograd.grad(criterion(model(x), y), x)\n        print(slope.norm().item())",
    ),
    "a tensor kept for training": "center = torch.zeros(1)\n"
    + epoch(
        TRAIN_MODE,
        TRAIN.replace("model(x)", "model(x) * (1 + center)"),
        EVAL_MODE,
        TEST.replace("total += criterion(model(x), y).item()", "center = model(x).mean(0)"),
    )
    .replace("total / len(test_loader)", "center.sum().item()")
    .replace("    total = 0.0\n", ""),
}


@pytest.mark.parametrize("script", MODES.values(), ids=MODES)
def test_mode(traps, script: str) -> None:
    traps.exact(script)


@pytest.mark.parametrize("script", TIMES.values(), ids=TIMES)
def test_how_often(traps, script: str) -> None:
    traps.exact(script)


@pytest.mark.parametrize("script", AROUND.values(), ids=AROUND)
def test_what_stands_around(traps, script: str) -> None:
    traps.exact(script)


def test_usual_evaluation_becomes_validation_hooks(traps) -> None:
    assert "def validation_step" in (traps.exact(USUAL).code or "")


def test_model_that_never_trains_again_is_reported(traps) -> None:
    """It is kept bug for bug: from the second epoch on, dropout is off."""
    result = traps.exact(MODES["never back to training"])
    assert [d.code for d in result.diagnostics] == ["TL310"]
    assert not traps.exact(USUAL).diagnostics


def test_evaluation_between_batches(traps) -> None:
    loop = """
    for epoch in range(2):
        model.train()
        for i, (x, y) in enumerate(train_loader):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            if i % 2 == 1:
                model.eval()
                with torch.no_grad():
                    print(i, sum(criterion(model(a), b).item() for a, b in test_loader))
                model.train()
    """
    traps.exact(loop)


def test_evaluation_before_the_step_of_each_fifth_batch(traps) -> None:
    loop = """
    for step in range(20):
        if step % 5 == 0:
            model.eval()
            with torch.no_grad():
                print(step, criterion(model(inputs), targets).item())
            model.train()
        pick = torch.randint(0, 40, (8,))
        optimizer.zero_grad()
        loss = criterion(model(inputs[pick]), targets[pick])
        loss.backward()
        optimizer.step()
    """
    traps.exact(loop)
