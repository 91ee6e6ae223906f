"""Names that functions, lambdas and closures look up, and batches that are left before their end."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import DATA, IMPORTS, MODEL, inside_main, script

from torchlift_convert.api import convert

LOOP = """
{before}
for epoch in range(1, 3):
    for i, (x, t) in enumerate(train_loader, 1):
        {leave}
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        total += loss.item()
        count += 1
        {batch}
    print(epoch, count, {shown})
"""


def looping(before: str = "", batch: str = "pass", shown: str = "total", leave: str = "pass") -> str:
    return LOOP.format(before="total, count = 0.0, 0\n" + before, batch=batch, shown=shown, leave=leave)


READERS = {
    "lambda": "report = lambda: f'{total:.6f} {count}'",
    "function": "def report():\n    return total, count",
    "function of a lambda": "mean = lambda: total / max(count, 1)\ndef report():\n    return mean()",
    "function in a function": "def report():\n    def inner():\n        return total\n    return inner()",
    "counter of the epochs": "def report():\n    return epoch, total",
    "counter of the batches": "def report():\n    return i, total",
}


@pytest.mark.parametrize("before", READERS.values(), ids=READERS.keys())
def test_what_a_function_reads_is_where_it_looks(before: str, tmp_path: Path) -> None:
    same(script(looping(before + "\n", batch="print(report())", shown="report()")), tmp_path)


def test_a_closure_in_main_over_what_the_loop_changes_is_refused() -> None:
    result = convert(inside_main(looping("def report():\n    return total\n", shown="report()")))
    assert result.code is None
    assert [d.code for d in result.refusals] == ["TL106"]
    assert "main()" in result.refusals[0].message and result.refusals[0].remedy


def test_a_closure_in_main_that_trains_becomes_hooks(tmp_path: Path) -> None:
    body = """
best = 10.0

def train(epoch):
    nonlocal best
    total = 0.0
    for x, t in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        total += loss.item()
    best = min(best, total)
    print(epoch, total, best)

for epoch in range(3):
    train(epoch)
print(best)
"""
    result = same(inside_main(body), tmp_path)
    assert result.code is not None and "def train(" not in result.code


def test_a_global_of_functions_that_main_calls_stays_one(tmp_path: Path) -> None:
    functions = """
best = 10.0


def train(model, loader, optimizer):
    global best
    total = 0.0
    for x, t in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        total += loss.item()
    best = min(best, total)


def main():
"""
    body = DATA + MODEL + "for epoch in range(3):\n    train(model, train_loader, optimizer)\n    print(epoch, best)\n"
    main = "".join(f"    {line}\n" for line in body.splitlines())
    same(IMPORTS + functions + main + "\n\nmain()\nprint(best)\n", tmp_path)


LEAVING = {
    "continue": "if x.mean() > 0.1: continue",
    "break at the top": "if i > 2: break",
    "a name of the batch made anew": "x = x * 2",
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING.keys())
def test_a_batch_that_is_left_leaves_its_number_and_its_names(leave: str, tmp_path: Path) -> None:
    same(script(looping(leave=leave, shown="i, x.sum().item().hex(), t.tolist()")), tmp_path)


def test_a_number_that_is_made_after_the_epoch_may_end_is_logged_where_it_is_known(tmp_path: Path) -> None:
    tail = """\
    if epoch % 2:
        continue
    hits = 0
    for x, t in test_loader:
        hits += (model(x).argmax(1) == t).sum().item()
    print(epoch, hits)
"""
    result = same(script(looping() + tail), tmp_path)
    assert result.code is not None and result.code.index("return\n        hits") < result.code.index('"hits"')


def test_no_condition_is_about_a_constant(tmp_path: Path) -> None:
    functions = """
def train(model, loader, optimizer, clip=None, verbose=True):
    for x, t in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    if verbose:
        print(loss.item().hex())


"""
    loop = "for epoch in range(2):\n    train(model, train_loader, optimizer, clip=1.0)\n"
    result = same(script(loop).replace(DATA, functions + DATA), tmp_path)
    assert result.code is not None and "1.0 is not" not in result.code and "if True" not in result.code


def test_an_argument_keeps_its_value_while_the_function_changes_the_variable(tmp_path: Path) -> None:
    functions = """
best = 10.0


def train(old):
    global best
    for x, t in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
    best = min(best, loss.item())
    print(old, best)


"""
    loop = "for epoch in range(3):\n    train(best)\n"
    same(script(loop).replace(DATA, functions + DATA), tmp_path)


def test_a_counter_that_the_loop_changes_is_refused() -> None:
    result = convert(script(looping().replace("    for i, (x", "    epoch += 1\n    for i, (x")))
    assert result.code is None
    assert [d.code for d in result.refusals] == ["TL106"]
    assert "'epoch'" in result.refusals[0].message


def test_a_local_of_a_function_that_stays_is_in_nobodys_way(tmp_path: Path) -> None:
    """A function that stays keeps its own L; a global L of the script's makes the framework's another name."""
    shown = "def shown(value):\n    L = [value]\n    return L[0]\n\n\n"
    loop = (
        "for epoch in range(2):\n    for xb, yb in train_loader:\n        optimizer.zero_grad()\n"
        "        loss = F.cross_entropy(model(xb), yb)\n        loss.backward()\n        optimizer.step()\n"
    )
    (tmp_path / "other").mkdir()
    result = same(script(shown + loop + "    print(shown(epoch))\n"), tmp_path)
    assert "import torchlift as L\n" in (result.code or "")
    other = shown.replace("return", "return LENGTH +").replace("L = ", "global L\n    L = ")
    result = same(script("LENGTH = 2\n" + other + loop + "    print(shown(epoch))\n"), tmp_path / "other")
    assert "import torchlift as L\n" not in (result.code or "")


def test_a_text_that_shows_its_own_expression(tmp_path: Path) -> None:
    shown = 'f"{epoch=} { total = :.4f} {total=!s} {model.training=} {[count for i in [1]]=}"'
    same(IMPORTS + DATA + MODEL + looping(shown=shown), tmp_path)
