"""One function for training and evaluation, told apart by a flag: ``run(net, loader, training=True)``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import DATA, END, IMPORTS, MODEL

from torchlift_convert.api import convert
from torchlift_convert.types import Options, Status

RUN = """\
def run(net, loader, loss_fn, optimizer, training):
    if training:
        net.train()
    else:
        net.eval()
    total, n = 0.0, 0
    with torch.set_grad_enabled(training):
        for x, y in loader:
            loss = loss_fn(net(x), y)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(x)
            n += len(x)
    return total / n


"""
LOOP = """\
best = float("inf")
for epoch in range(3):
    seen = run(model, train_loader, F.cross_entropy, optimizer, True)
    held_out = run(model, test_loader, F.cross_entropy, optimizer, training=False)
    best = min(best, held_out)
    print(epoch, seen, held_out, best)
"""
SCRIPT = IMPORTS + RUN + DATA + MODEL + LOOP + END
NAMED = RUN.replace("if training", 'if mode == "train"').replace("(training)", '(mode == "train")')
SOURCES = {
    "a flag": SCRIPT,
    "a default": SCRIPT.replace("optimizer, training)", "optimizer, training=False)").replace(
        ", training=False)\n    best", ")\n    best"
    ),
    "a name": IMPORTS
    + NAMED.replace(", training)", ", mode)")
    + DATA
    + MODEL
    + LOOP.replace("True", '"train"').replace("training=False", '"test"')
    + END,
    "a name for the question": SCRIPT.replace("optimizer, training)", "optimizer, mode)")
    .replace(
        "    if training:\n        net.train()", '    training = mode == "train"\n    if training:\n        net.train()'
    )
    .replace("optimizer, True)", 'optimizer, "train")')
    .replace("training=False", 'mode="test"'),
    "no optimizer for evaluation": SCRIPT.replace("optimizer, training=False)", "None, training=False)"),
    "turned round": SCRIPT.replace(
        "if training:\n        net.train()\n    else:\n        net.eval()",
        "if not training:\n        net.eval()\n    else:\n        net.train()",
    ),
    "a choice between two values": SCRIPT.replace(
        "total, n = 0.0, 0\n", 'total, n = 0.0, 0\n    print("train" if training else "test")\n'
    ),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_one_hook_for_each_call(source: str, tmp_path: Path) -> None:
    result = same(source, tmp_path)
    code = result.code or ""
    assert "def training_step" in code and "def validation_step" in code
    assert "set_grad_enabled" not in code and "def run(" not in code


def test_a_flag_that_changes_from_epoch_to_epoch_is_not_known() -> None:
    result = convert(SCRIPT.replace("optimizer, True)", "optimizer, epoch % 2 == 0)"), Options())
    assert result.status is Status.REFUSED


def test_two_calls_that_train_are_two_trainings() -> None:
    result = convert(SCRIPT.replace("training=False", "training=True"), Options())
    assert result.status is Status.REFUSED
    assert {d.code for d in result.diagnostics} <= {"TL101", "TL102"}
