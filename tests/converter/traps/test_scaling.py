"""Gradient scalers: the Trainer steps through the script's own, where it does what the script does."""

from __future__ import annotations

import pytest

from torchlift_convert.types import Optimization

SCALER = 'scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)\n'
OVERFLOWING = 'scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=2)\n'
LOOP = """
for epoch in range(3):
    for i, (x, y) in enumerate(train_loader):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = criterion(model(x), y)
        scaler.scale(loss).backward()
{between}
        scaler.step(optimizer)
{behind}
        scaler.update()
{after}
    print(epoch, loss.item(), scaler.get_scale())
"""
CLIP = "scaler.unscale_(optimizer)\nnn.utils.clip_grad_norm_(model.parameters(), 0.5)"


def loop(scaler: str = SCALER, **parts: str) -> str:
    def inside(text: str) -> str:
        return "\n".join(f"        {line}" for line in text.splitlines())

    return scaler + LOOP.format(**{k: inside(parts.get(k, "")) for k in ("between", "behind", "after")})


AUTOMATIC = {
    "plain": loop(),
    "clipped": loop(between=CLIP),
    "clipped by value": loop(between="scaler.unscale_(optimizer)\nnn.utils.clip_grad_value_(model.parameters(), 0.01)"),
    "overflowing": loop(OVERFLOWING),
    "overflowing and clipped": loop(OVERFLOWING, between=CLIP),
    "gradients read when unscaled": loop(between="scaler.unscale_(optimizer)\nprint(model[0].weight.grad.norm())"),
    "gradients read behind the step": loop(after="print(model[0].weight.grad.norm())"),
    "the scale read behind the update": loop(OVERFLOWING, after="print(scaler.get_scale(), loss.item())"),
    "switched off": loop('scaler = torch.amp.GradScaler("cpu", enabled=False)\n', between=CLIP),
    "the old spelling": loop("scaler = torch.cuda.amp.GradScaler()\n").replace(
        'torch.autocast("cpu", dtype=torch.bfloat16)', "torch.cuda.amp.autocast()"
    ),
    "saved": loop(after='torch.save({"scaler": scaler.state_dict()}, f"{epoch}.pt")'),
}


@pytest.mark.parametrize("script", AUTOMATIC.values(), ids=AUTOMATIC)
def test_the_trainer_steps_through_it(traps, script: str) -> None:
    result = traps.exact(script)
    assert result.optimization is Optimization.AUTOMATIC and "plugins=[GradScaling(scaler)]" in result.code


MANUAL = {
    "clipped while scaled": loop(between="nn.utils.clip_grad_norm_(model.parameters(), 0.5)"),
    "gradients read while scaled": loop(between="print(model[0].weight.grad.norm())\nscaler.unscale_(optimizer)"),
    "the scale read in front of the update": loop(OVERFLOWING, behind="print(scaler.get_scale())"),
    "a scheduler that waits for a step": "scheduler = StepLR(optimizer, 2, 0.5)\n"
    + loop(
        OVERFLOWING,
        behind="scale = scaler.get_scale()",
        after="if scale <= scaler.get_scale():\n    scheduler.step()",
    ),
    "a step without it": loop().replace(
        "scaler.step(optimizer)", "scaler.unscale_(optimizer)\n        optimizer.step()"
    ),
    "updated under a condition": loop().replace("scaler.update()", "if epoch >= 0:\n            scaler.update()"),
    "two of them": 'other = torch.amp.GradScaler("cpu")\n'
    + loop().replace("scaler.scale(loss)", "(scaler if i >= 0 else other).scale(loss)"),
}


@pytest.mark.parametrize("script", MANUAL.values(), ids=MANUAL)
def test_in_the_order_of_the_script(traps, script: str) -> None:
    assert traps.exact(script).optimization is Optimization.MANUAL


FUSED = "optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)\n"


def test_a_fused_optimizer_unscales_by_itself(traps) -> None:
    assert traps.exact(loop(), optimizer=FUSED).optimization is Optimization.AUTOMATIC
    result = traps.exact(loop(between=CLIP), optimizer=FUSED)
    assert result.optimization is Optimization.MANUAL
    assert "self.optimizers(use_pl_optimizer=False)" in result.code


def test_clipping_while_scaled_is_told(traps) -> None:
    assert [d.code for d in traps.exact(MANUAL["clipped while scaled"]).diagnostics] == ["TL401", "TL302"]
    assert not [d for d in traps.exact(AUTOMATIC["clipped"]).diagnostics if d.code == "TL401"]


def test_another_class_of_that_name(traps) -> None:
    result = traps.exact("class GradScaling:\n    pass\n\n\n" + loop())
    assert result.code.count("class GradScaling:") == 1 and "plugins=[GradScaling(" not in result.code
