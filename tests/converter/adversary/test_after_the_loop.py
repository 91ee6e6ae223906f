"""Code after the loop finds what the loop left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import inside_main, script

LOOP = """
{before}for epoch in range({epochs}):
    model.train()
    for i, (xb, yb) in enumerate(train_loader):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(xb), yb)
        loss.backward()
        optimizer.step()
{after_batches}
{after}
"""
READ = {
    "counter": ("2", "print(epoch)"),
    "counter from one": ("1, 4", "print(epoch)"),
    "counter from seven": ("7, 9", "print(epoch)"),
    "counter from a variable": ("start, start + 2", "print(epoch)"),
    "optimizer": ("2", "print(optimizer.param_groups[0]['lr'], len(optimizer.state_dict()['state']))"),
    "batch": ("2", "print(i, xb.sum().item().hex(), yb.tolist(), loss.item().hex())"),
    "draws in training mode": ("2", "print(model(xb).sum().item().hex(), model.training)"),
}


def looping(epochs: str, after: str, before: str = "", after_batches: str = "") -> str:
    return LOOP.format(epochs=epochs, after=after, before=before, after_batches=after_batches)


@pytest.mark.parametrize("build", [script, inside_main], ids=["module level", "in main"])
@pytest.mark.parametrize(("epochs", "after"), READ.values(), ids=READ.keys())
def test_what_the_loop_left_is_read(epochs: str, after: str, build: type, tmp_path: Path) -> None:
    same(build(looping(epochs, after, before="start = 3\n")), tmp_path)


def test_the_counter_of_a_loop_that_stopped_early(tmp_path: Path) -> None:
    stop = "    if epoch == 2:\n        break\n"
    result = same(script(looping("6", "print(epoch)", after_batches=stop)), tmp_path)
    assert result.code is not None and "should_stop" in result.code


@pytest.mark.parametrize(
    "read", ["scheduler.get_last_lr()", "scheduler.state_dict()['last_epoch']", "optimizer.param_groups[0]['lr']"]
)
def test_a_scheduler_that_the_trainer_stepped(read: str, tmp_path: Path) -> None:
    before = "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)\n"
    same(script(looping("3", f"print({read})", before, "    scheduler.step()\n")), tmp_path)


def test_the_names_of_the_remaining_code_are_not_taken(tmp_path: Path) -> None:
    after = """
hits = 0
with torch.no_grad():
    for data in test_loader:
        images, labels = data
        hits += (model(images).argmax(1) == labels).sum().item()
print(hits, len(data), len(test_loader), X.shape)
"""
    result = same(script(looping("2", after)), tmp_path)
    assert result.code is not None and "in data." not in result.code


def test_a_function_that_became_hooks_leaves_what_stands_in_front_of_it(tmp_path: Path) -> None:
    source = script(looping("2", "", after_batches="    evaluate(test_loader, 'test')\n"))
    function = """
def evaluate(loader, split):
    model.eval()
    hits = 0
    with torch.no_grad():
        for x, t in loader:
            hits += (model(x).argmax(1) == t).sum().item()
    print(f'{split}: {hits / len(loader):.3f}')


model = Net()
"""
    result = same(source.replace("model = Net()\n", function, 1), tmp_path)
    assert result.code is not None and "def evaluate" not in result.code


def test_the_comment_on_the_loops_line_stays(tmp_path: Path) -> None:
    source = script(looping("2", "print(epoch)")).replace("range(2):", "range(2):  # twice over the data")
    result = same(source, tmp_path)
    assert result.code is not None and "# twice over the data\n" in result.code


@pytest.mark.parametrize("again", ["DataLoader(TensorDataset(X, y), batch_size=24)", "[(X, y)]"])
def test_a_loader_made_anew(again: str, tmp_path: Path) -> None:
    code = f"train_loader = {again}\nfor xb, yb in train_loader:\n    print(model(xb).sum().item())\n"
    same(script(LOOP.format(before="", epochs=2, after_batches="", after=code)), tmp_path)
