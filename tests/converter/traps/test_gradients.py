"""When gradients are zeroed, accumulated, clipped and looked at."""

from __future__ import annotations

import pytest

from torchlift_convert.types import Optimization

# What happens after the batches of an epoch: nothing, or an evaluation, which is when Lightning clears gradients.
EVALUATE = """
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in test_loader:
            total += criterion(model(x), y).item()
    print(epoch, total)
"""
HEADER = """
for epoch in range(3):
    model.train()
    for i, (x, y) in enumerate(train_loader):
"""
FORWARD = "        loss = criterion(model(x), y)\n        loss.backward()\n"
ZERO = "        optimizer.zero_grad()\n"
STEP = "        optimizer.step()\n"
NORM = "print(model[0].weight.grad.norm().item() if model[0].weight.grad is not None else None)\n"
SUBSET = "optimizer = torch.optim.SGD(model[4].parameters(), lr=0.05)"
EVERY_SECOND = "        if (i + 1) % 2 == 0:\n            optimizer.step()\n            optimizer.zero_grad()\n"

PLAIN = {
    "zeroed first": HEADER + ZERO + FORWARD + STEP,
    "zeroed last": HEADER + FORWARD + STEP + ZERO,
    "zeroed behind the forward": HEADER
    + FORWARD.replace("        loss.backward()", ZERO + "        loss.backward()")
    + STEP,
    "zeroed on the model": HEADER + "        model.zero_grad()\n" + FORWARD + STEP,
}
BY_HAND = {
    "never zeroed": HEADER + FORWARD + STEP,
    "zeroed once per epoch": HEADER.replace("model.train()", "model.train()\n    optimizer.zero_grad()")
    + FORWARD
    + STEP,
    "zeroed to zero": HEADER + "        optimizer.zero_grad(set_to_none=False)\n" + FORWARD + STEP,
    "accumulated, the rest carried over": "optimizer.zero_grad()\n" + HEADER.lstrip() + FORWARD + EVERY_SECOND,
    "accumulated, the rest dropped": HEADER.replace("model.train()", "model.train()\n    optimizer.zero_grad()")
    + FORWARD
    + EVERY_SECOND,
    "accumulated, the rest stepped": HEADER
    + FORWARD
    + EVERY_SECOND.replace("% 2 == 0:", "% 2 == 0 or i + 1 == len(train_loader):"),
    "accumulated by a counter of its own": "seen = 0\n"
    + HEADER.lstrip()
    + FORWARD
    + "        seen += 1\n"
    + EVERY_SECOND.replace("(i + 1) % 2", "seen % 3"),
    "backward twice": HEADER
    + ZERO
    + FORWARD.replace("backward()", "backward(retain_graph=True)\n        loss.backward()")
    + STEP,
}
LOOKED_AT = {
    "between backward and step": HEADER + ZERO + FORWARD + "        " + NORM + STEP,
    "behind the step": HEADER + ZERO + FORWARD + STEP + "        " + NORM,
    "before they are zeroed": HEADER + "        " + NORM + ZERO + FORWARD + STEP,
    "behind the evaluation": HEADER + ZERO + FORWARD + STEP + EVALUATE.rstrip() + "\n    " + NORM,
    "by a function": "def norm(net):\n    return sum(p.grad.norm().item() for p in net.parameters())\n\n\n"
    + HEADER.lstrip() + ZERO + FORWARD + STEP + EVALUATE.rstrip() + "\n    print(norm(model))\n",
    "behind the loops": HEADER + ZERO + FORWARD + STEP + EVALUATE + NORM,
}  # fmt: skip
LOOKED_AT_ZEROED = {
    "behind the zeroing": HEADER + ZERO + "        " + NORM + FORWARD + STEP,
    "at the end of the batch": HEADER + FORWARD + STEP + ZERO + "        " + NORM,
    "at the end of the epoch": HEADER + FORWARD + STEP + ZERO + "    " + NORM,
    "after the loops": HEADER + FORWARD + STEP + ZERO + NORM,
}
CLIP = "        nn.utils.clip_grad_norm_(model.parameters(), 0.1)\n"
CLIPPED = {
    "the norm": HEADER + ZERO + FORWARD + CLIP + STEP + EVALUATE,
    "each value": HEADER + ZERO + FORWARD + CLIP.replace("norm_", "value_") + STEP + EVALUATE,
    "another norm": HEADER + ZERO + FORWARD + CLIP.replace("0.1", "0.1, norm_type=1.0") + STEP + EVALUATE,
    "a part": HEADER + ZERO + FORWARD + CLIP.replace("model.", "model[0].") + STEP + EVALUATE,
    "now and then": HEADER + ZERO + FORWARD + "        if i % 2:\n    " + CLIP + STEP + EVALUATE,
    "and the norm printed": HEADER
    + ZERO
    + FORWARD
    + CLIP.replace("nn.utils", "norm = nn.utils")
    + STEP
    + "        print(norm.item())\n"
    + EVALUATE,
}


@pytest.mark.parametrize("evaluation", ["", EVALUATE], ids=["", "evaluated"])
@pytest.mark.parametrize("loop", PLAIN.values(), ids=PLAIN)
def test_one_plain_zeroing_is_the_trainers(traps, loop: str, evaluation: str) -> None:
    assert traps.exact(loop + evaluation).optimization is Optimization.AUTOMATIC


@pytest.mark.parametrize("loop", BY_HAND.values(), ids=BY_HAND)
def test_any_other_zeroing_is_kept_in_order(traps, loop: str) -> None:
    assert traps.exact(loop + EVALUATE).optimization is Optimization.MANUAL


@pytest.mark.parametrize("loop", LOOKED_AT.values(), ids=LOOKED_AT)
def test_gradients_are_there_when_they_are_looked_at(traps, loop: str) -> None:
    assert traps.exact(loop).optimization is Optimization.AUTOMATIC


@pytest.mark.parametrize("loop", LOOKED_AT_ZEROED.values(), ids=LOOKED_AT_ZEROED)
def test_gradients_are_gone_when_they_are_looked_at(traps, loop: str) -> None:
    """The Trainer zeroes right before the backward: too late for these."""
    assert traps.exact(loop).optimization is Optimization.MANUAL


@pytest.mark.parametrize("optimizer", [None, SUBSET], ids=["", "optimizer of a part"])
@pytest.mark.parametrize("loop", CLIPPED.values(), ids=CLIPPED)
def test_clipping(traps, loop: str, optimizer: str | None) -> None:
    """The Trainer clips what its optimizer holds; gradients that no optimizer holds grow from batch to batch."""
    result = traps.exact(loop, **({"optimizer": optimizer} if optimizer else {}))
    by_trainer = "gradient_clip_val" in (result.code or "")
    assert by_trainer == (optimizer is None and loop in (CLIPPED["the norm"], CLIPPED["each value"]))


def test_model_that_the_optimizer_holds_in_part_zeroes_more(traps) -> None:
    """``model.zero_grad()`` is not what the Trainer does when the optimizer holds less than the model."""
    assert traps.exact(PLAIN["zeroed on the model"], optimizer=SUBSET).optimization is Optimization.MANUAL


def test_loss_bound_inside_the_call(traps) -> None:
    traps.exact(
        HEADER + ZERO + "        (loss := criterion(model(x), y)).backward()\n" + STEP + "    print(loss.item())\n"
    )
