"""A model that comes to the loops in evaluation mode: its callers evaluate it first, or train it twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import DATA, END, IMPORTS, MODEL

from torchlift_convert.types import Optimization

EVALUATE = """\
def evaluate(net):
    net.eval()
    with torch.no_grad():
        return F.cross_entropy(net(X), y).item()


"""
FIT = """\
def fit(net, optimizer, epochs=2):
    for epoch in range(epochs):
        net.train()
        for x, t in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), t)
            loss.backward()
            optimizer.step()
        net.eval()
        seen = 0.0
        with torch.no_grad():
            for x, t in test_loader:
                seen += F.cross_entropy(net(x), t).item()
        print(epoch, loss.item().hex(), seen.hex(), net.training)


"""
HEAD = IMPORTS + EVALUATE + FIT + DATA + MODEL
CALL = "fit(model, optimizer)\n"
INNER = """\
def run(net):
    fit(net, torch.optim.SGD(net.parameters(), lr=0.1))


"""
EARLIER = {
    "twice": HEAD + CALL + CALL + END,
    "evaluated first": HEAD + "print(evaluate(model))\n" + CALL + END,
    "evaluated first, by name": HEAD + "model.eval()\nprint(model(X).sum().item())\n" + CALL + END,
    "evaluated first under the guard": HEAD
    + 'if __name__ == "__main__":\n    print(evaluate(model))\n    fit(model, optimizer)\n'
    + END,
    "the caller's caller evaluates": IMPORTS
    + EVALUATE
    + FIT
    + INNER
    + DATA
    + MODEL
    + "print(evaluate(model))\nrun(model)\n"
    + END,
    "at module level": IMPORTS
    + EVALUATE
    + DATA
    + MODEL
    + "print(evaluate(model))\n"
    + "".join(f"{line[4:]}\n" for line in FIT.replace("epochs)", "2)").replace("net", "model").splitlines()[1:])
    + END,
}
NEVER = {
    "evaluated afterwards only": HEAD + CALL + "print(evaluate(model))\n" + END,
    "another is evaluated by a function that nobody calls": HEAD.replace("def evaluate", "def never") + CALL + END,
}


@pytest.mark.parametrize("source", EARLIER.values(), ids=EARLIER)
def test_training_mode_is_switched_on_by_the_script(source: str, tmp_path: Path) -> None:
    code = same(source, tmp_path).code or ""
    assert ".train()" in code.partition("def training_step")[0].partition("on_train_epoch_start")[2]
    assert "def validation_step" in code


@pytest.mark.parametrize("source", NEVER.values(), ids=NEVER)
def test_the_trainers_own_mode_is_enough(source: str, tmp_path: Path) -> None:
    code = same(source, tmp_path).code or ""
    assert ".train()" not in code and "def validation_step" in code


def test_evaluation_mode_that_nothing_ends_stays(tmp_path: Path) -> None:
    """The bug of the script is kept: its first epoch runs without dropout."""
    stale = FIT.replace("        net.train()\n", "").replace(
        "        print(epoch", "        net.train()\n        print(epoch"
    )
    same(IMPORTS + EVALUATE + stale + DATA + MODEL + "print(evaluate(model))\n" + CALL + END, tmp_path)


def test_a_call_in_a_lambda_counts(tmp_path: Path) -> None:
    """The roles of the parameters are known from all calls; this one is not in sight."""
    result = same(HEAD + "again = lambda: fit(model, None)\n" + CALL + END, tmp_path)
    assert result.optimization is Optimization.MANUAL
    assert "def validation_step" not in (result.code or "")
