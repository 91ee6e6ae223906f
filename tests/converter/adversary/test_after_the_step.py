"""Statements after the optimizer's step: what may run before the backward, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import script

BATCH = """\
for epoch in range(2):
    total = 0.0
    for x, t in train_loader:
        out = model(x)
        loss = F.cross_entropy(out, t)
        optimizer.zero_grad()
        loss.backward()
{between}        optimizer.step()
{late}    print(epoch, total)
"""
LATE = {
    "the loss becomes a number": "loss = loss.item()\ntotal += loss",
    "the loss is halved": "loss /= 2\nprint(loss.item().hex())",
    "a tensor of the graph is cleared": "out.data.zero_()\ntotal += out.sum().item()",
    "names are deleted": "total += loss.item()\ndel x, t, out, loss",
    "another name for the loss": "value = loss.detach()\ntotal += value.item()",
    "weights are clamped": "for p in model.parameters():\n    p.data.clamp_(-0.3, 0.3)",
}
CLIPPED = "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)"


def batch(late: str, between: str = "") -> str:
    def inside(text: str) -> str:
        return "".join(f"        {line}\n" for line in text.splitlines())

    return script(BATCH.format(between=inside(between), late=inside(late)))


@pytest.mark.parametrize("late", LATE.values(), ids=LATE.keys())
def test_the_backward_is_not_overtaken_by_what_changes_its_graph(late: str, tmp_path: Path) -> None:
    same(batch(late), tmp_path)


def test_what_is_made_between_backward_and_step_is_read_after_it(tmp_path: Path) -> None:
    result = same(batch("print(norm.item().hex())", CLIPPED), tmp_path)
    assert result.code is not None
    assert result.code.index("clip_grad_norm_") < result.code.index("print(self.norm.item()")


def test_a_sum_of_losses_moves_into_training_step(tmp_path: Path) -> None:
    result = same(batch("total += loss.item()"), tmp_path)
    assert result.code is not None and "on_train_batch_end" not in result.code


class TestMeter:
    """A method of the script's own class changes only what its body changes."""

    METER = """
    class Meter:
        def __init__(self):
            self.sum = 0.0

        def update(self, value):
            self.sum += {value}


    meter = Meter()
    """

    def test_reading_moves(self, tmp_path: Path) -> None:
        code = same(self._script("value.item()"), tmp_path).code
        assert code is not None and "on_train_batch_end" not in code

    def test_changing_what_it_is_given_stays_behind_the_step(self, tmp_path: Path) -> None:
        code = same(self._script("value.mul_(0).item() + 1"), tmp_path).code
        assert code is not None and "on_train_batch_end" in code

    def _script(self, value: str) -> str:
        from textwrap import dedent

        loop = batch("meter.update(loss)\ntotal += 1")
        return (
            loop.replace("model = Net()", dedent(self.METER).format(value=value) + "model = Net()", 1)
            + "print(meter.sum.hex())\n"
        )


def test_quotes_do_not_end_the_f_string_around_them(tmp_path: Path) -> None:
    late = """\
lr = optimizer.param_groups[0]["lr"]
print(f"{loss:.4f} {lr}", f'{loss:.4f}', f\"\"\"{loss:.4f}\"\"\")"""
    same(batch(late), tmp_path)


@pytest.mark.parametrize("shown", ["print(loss)", "print([loss])", 'print(f"{loss}")', "print(loss.item())"])
def test_a_printed_tensor_shows_its_graph_as_before(shown: str, tmp_path: Path) -> None:
    result = same(batch("total += 1").replace("    print(epoch, total)\n", f"    {shown}\n"), tmp_path)
    assert result.code is not None
    assert (".detach()" in result.code) == ("{loss}" in shown or ".item()" in shown)
