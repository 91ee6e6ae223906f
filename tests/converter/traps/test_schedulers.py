"""Schedulers step when the script steps them, and everybody sees the same rate at the same moment."""

from __future__ import annotations

import pytest

OPTIMIZER = "optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)\n"
HALVE = OPTIMIZER + "scheduler = StepLR(optimizer, 1, gamma=0.5)\n"
RATE = "print(optimizer.param_groups[0]['lr'], scheduler.last_epoch)\n"


def loop(first: str = "", batch: str = "", last: str = "", between: str = "") -> str:
    """Lines at the start of an epoch, at the end of a batch, before the evaluation, behind it."""
    return f"""
def evaluate():
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in test_loader:
            total += criterion(model(x), y).item()
    return total


for epoch in range(3):
    {first or "pass"}
    model.train()
    for i, (x, y) in enumerate(train_loader):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        {batch or "pass"}
    {between or "pass"}
    total = evaluate()
    {last or "pass"}
"""


STEPS = "scheduler.step()"
PER_EPOCH = {
    "behind the evaluation": loop(last=STEPS),
    "before the evaluation": loop(between=STEPS),
    "at the start of the epoch": loop(first=STEPS),
    "under a condition": loop(last="if epoch > 0:\n        scheduler.step()"),
    "with the rate printed before it": loop(last=RATE + "    " + STEPS),
    "with the rate printed behind it": loop(between=STEPS, last=RATE),
    "with the rate printed in each batch": loop(batch=RATE, last=STEPS),
    "with its state saved before it": loop(last="torch.save(scheduler.state_dict(), f'{epoch}.pt')\n    " + STEPS),
    "with a draw between it and the evaluation": loop(between=STEPS + "\n    print(torch.rand(1).item())"),
    "and its state read behind the loops": loop(last=STEPS) + RATE,
    "with the number of the epoch": loop(last="scheduler.step(epoch)"),
}
PER_BATCH = {
    "each batch": loop(batch=STEPS),
    "each second batch": loop(batch="if i % 2 == 1:\n            scheduler.step()"),
    "with the rate printed behind it": loop(batch=STEPS + "\n        " + RATE),
    "with the rate printed at the end of the epoch": loop(batch=STEPS, last=RATE),
    "and a second time at the end of the epoch": loop(batch=STEPS, last=STEPS),
}
SCHEDULERS = {
    "cosine": "CosineAnnealingLR(optimizer, T_max=15)",
    "one cycle": "OneCycleLR(optimizer, 0.1, total_steps=3 * len(train_loader))",
    "function": "LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 5))",
}


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler", "ignore:The epoch parameter in `scheduler.step")
@pytest.mark.parametrize("script", PER_EPOCH.values(), ids=PER_EPOCH)
def test_once_per_epoch(traps, script: str) -> None:
    traps.exact(script, optimizer=HALVE)


@pytest.mark.parametrize("script", PER_BATCH.values(), ids=PER_BATCH)
def test_per_batch(traps, script: str) -> None:
    traps.exact(script, optimizer=HALVE)


@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)
def test_kind_of_scheduler(traps, scheduler: str) -> None:
    result = traps.exact(loop(batch=STEPS), optimizer=f"{OPTIMIZER}scheduler = {scheduler}\n")
    assert '"interval": "step"' in (result.code or ""), "the Trainer steps it"


def test_two_schedulers_of_one_optimizer(traps) -> None:
    optimizer = HALVE + "warmup = ExponentialLR(optimizer, 0.99)\n"
    traps.exact(loop(batch="warmup.step()", last=STEPS), optimizer=optimizer)


@pytest.mark.parametrize("watched", ["total", "running / len(train_loader)"], ids=["test loss", "training loss"])
def test_plateau(traps, watched: str) -> None:
    """The number that decides is the script's own, to the last bit: no averaging by the logger in between."""
    scheduler = "scheduler = ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.3)\n"
    script = loop(
        first="running = 0.0",
        batch="running += loss.item()",
        last=f"scheduler.step({watched})\n    print(optimizer.param_groups[0]['lr'])",
    )
    traps.exact(script, optimizer=OPTIMIZER + scheduler)


def test_rate_set_by_hand(traps) -> None:
    traps.exact(loop(first="for group in optimizer.param_groups:\n        group['lr'] = 0.05 * 0.5**epoch"))


def test_batch_that_is_skipped_skips_its_scheduler(traps) -> None:
    """A training_step that returns nothing would step the scheduler all the same."""
    script = loop(batch=STEPS).replace(
        "        optimizer.zero_grad()", "        if i == 1:\n            continue\n        optimizer.zero_grad()"
    )
    traps.exact(script, optimizer=HALVE)
