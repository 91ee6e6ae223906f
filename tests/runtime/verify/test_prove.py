"""Whole proofs: BEFORE twice, AFTER once. The twins run on real lightning and on torchlift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from torchlift.verify import report
from torchlift.verify.compare import compare
from torchlift.verify.launch import ForkServer
from torchlift.verify.prove import Limits, Proof, plan, prove
from torchlift.verify.records import Trace
from torchlift.verify.run import Run, trace
from torchlift.verify.scratch import ScratchError
from torchlift.verify.verdict import Answer

Proven = Callable[..., Proof]

PLAIN = """
import torch, torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
train_set = TensorDataset(torch.randn(40, 4), torch.randn(40, 1))
test_set = TensorDataset(torch.randn(20, 4), torch.randn(20, 1))
train_loader = DataLoader(train_set, batch_size=8, shuffle=True)
test_loader = DataLoader(test_set, batch_size=8)
model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
best = float("inf")
for epoch in range(3):
    model.train()
    for batch_idx, (x, y) in enumerate(train_loader):
        optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        if batch_idx == 2:
            print(f"epoch {epoch} loss {loss.item():.4f}")
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in test_loader:
            total += ((model(x) - y) ** 2).sum().item()
    total /= len(test_set)
    print(f"test loss: {total:.4f}")
    scheduler.step()
    if total < best:
        best = total
        torch.save(model.state_dict(), "best.pt")
"""

TWIN = """
import lightning as L
import torch, torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
train_set = TensorDataset(torch.randn(40, 4), torch.randn(40, 1))
test_set = TensorDataset(torch.randn(20, 4), torch.randn(20, 1))

class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.best = float("inf")
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)]
    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = ((self.model(x) - y) ** 2).mean()
        if batch_idx == 2:
            print(f"epoch {self.current_epoch} loss {loss.item():.4f}")
        self.log("train_loss", loss)
        return loss
    def on_validation_epoch_start(self):
        self.total = 0.0
    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.total += ((self.model(x) - y) ** 2).sum().item()
    def on_validation_epoch_end(self):
        total = self.total / len(test_set)
        print(f"test loss: {total:.4f}")
        self.log("test_loss", total)
        if total < self.best:
            self.best = total
            torch.save(self.model.state_dict(), "best.pt")

trainer = L.Trainer(max_epochs=3, accelerator="cpu", devices=1, num_sanity_val_steps=0, OPTIONS)
loaders = DataLoader(train_set, batch_size=8, shuffle=True), DataLoader(test_set, batch_size=8)
trainer.fit(Lit(), *loaders)
"""
QUIET = TWIN.replace("OPTIONS", "logger=False, enable_checkpointing=False")


@pytest.mark.parametrize("target", ["lightning", "torchlift"])
def test_a_twin_on_either_runtime_is_exact(proven: Proven, server: ForkServer, folder: Path, target: str) -> None:
    for name, source in (("train.py", PLAIN), ("twin.py", QUIET)):
        (folder / name).write_text(source)
    runs = plan(folder / "train.py", folder / "twin.py", limits=Limits(timeout=60.0), target=target)
    verdict = prove(*runs, server).verdict
    assert verdict.answer is Answer.EXACT, report.text(Proof(verdict))
    assert (verdict.counts.steps, verdict.counts.lines, verdict.counts.logged) == (15, 6, 3)
    assert "import lightning" in (folder / "twin.py").read_text()  # only the copy was retargeted


@pytest.mark.parametrize("target", ["lightning", "torchlift"])
def test_what_the_trainer_prints_and_writes_by_itself_is_no_difference(
    server: ForkServer, folder: Path, target: str
) -> None:
    (folder / "train.py").write_text(PLAIN)
    (folder / "twin.py").write_text(TWIN.replace("OPTIONS", "log_every_n_steps=1").replace("print(f", "self.print(f"))
    runs = plan(folder / "train.py", folder / "twin.py", limits=Limits(timeout=60.0), target=target)
    proof = prove(*runs, server)
    assert proof.verdict.answer is Answer.EXACT, report.text(proof)
    assert proof.after is not None
    assert [file.path for file in proof.after.files] == ["best.pt"]


WRONG = {
    "rate": ("lr=0.1)", "lr=0.1000001)", "learning rate", 0),
    "sanity check": ("num_sanity_val_steps=0", "num_sanity_val_steps=1", "printed line", 0),
    "eval mean": ("/ len(test_set)", "/ 24", "printed line", 5),
    "best": ("total < self.best", "total > -1", "saved object", 15),
    "one more draw": ("self.total = 0.0", "self.total = torch.rand(1).item() * 0", "loss", 5),
    "scheduler": ("gamma=0.5", "gamma=0.6", "learning rate", 5),
    "eval mode": ("def on_validation_epoch_start(self):", "def on_validation_model_eval(self): pass\n"
                  "    def on_validation_epoch_start(self):", "loss", 5),
    "logged": ('self.log("test_loss", total)', 'self.log("test_loss", total + 1)', "logged value", 5),
    "extra file": ("trainer.fit(", "open('x', 'w').write('1')\ntrainer.fit(", "file", None),
    "epochs": ("max_epochs=3", "max_epochs=2", "number of steps", 10),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain_trace(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    script = tmp_path_factory.mktemp("plain") / "train.py"
    script.write_text(PLAIN)
    return trace(Run(script, script.parent, script.parent, timeout=60.0), server)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_twin_differs_where_it_goes_wrong(run: Callable[..., Trace], plain_trace: Trace, name: str) -> None:
    old, new, category, step = WRONG[name]
    assert QUIET.count(old) >= 1
    verdict = compare(plain_trace, run(QUIET.replace(old, new)))
    found = {(difference.category, difference.step) for difference in verdict.differences}
    assert verdict.answer is Answer.DIFFERS, name
    assert any(kind == category and (at == step or name == "best") for kind, at in found), found


def test_a_draw_is_explained_on_both_sides(proven: Proven) -> None:
    draw = PLAIN.replace("    total = 0.0\n", "    total = 0.0 * torch.rand(1).item()\n")
    proof = proven(PLAIN, draw)
    first = proof.verdict.differences[0]
    assert (first.category, first.step) == ("loss", 5)
    assert first.before.site is not None and first.before.site.text == "loss.backward()"
    assert "random draw" in [cause.category for cause in proof.verdict.causes]
    said = report.text(proof)
    assert "BEFORE" in said and "AFTER" in said and "train_lightning.py:18: loss.backward()" in said
    assert said.splitlines()[-1] == "differs: the loss at step 6"


def test_a_missing_mode_switch_is_named(proven: Proven) -> None:
    proof = proven(PLAIN, PLAIN.replace("    model.train()\n", ""))
    modes = [cause for cause in proof.verdict.causes if cause.category == "mode"]
    assert modes and modes[0].before.text == "nothing" and "Dropout x1" in modes[0].after.text


def test_a_bounded_proof_says_over_how_many_steps(proven: Proven) -> None:
    proof = proven(PLAIN, QUIET, steps=7)
    assert proof.verdict.sentence.startswith("exact over 7 steps")
    late = PLAIN.replace("epoch in range(3):", "epoch in range(3):\n    if epoch == 2: torch.rand(1)")
    assert proven(PLAIN, late, steps=7).verdict.answer is Answer.EXACT  # beyond what was compared
    assert proven(PLAIN, late).verdict.answer is Answer.DIFFERS


def test_a_timeout_compares_what_was_reached(proven: Proven) -> None:
    forever = PLAIN + "while True: pass\n"
    proof = proven(forever, forever, timeout=2.5)
    assert proof.verdict.sentence.startswith("exact over the 14 steps that both completed within the timeout")


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("print('hello')", "no optimizer step"),
        (PLAIN.replace("lr=0.1", "lr=0.0"), "never move"),
        (PLAIN.replace("** 2).mean()", "* float('inf')).mean()"), "the loss at step 1"),
        ("import torch\n1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("open('missing.csv')", "FileNotFoundError"),
    ],
)
def test_what_proves_nothing_is_an_error(proven: Proven, source: str, word: str) -> None:
    verdict = proven(source, source).verdict
    assert (verdict.answer, verdict.exit_code) == (Answer.ERROR, 2)
    assert word in verdict.sentence


def test_a_missing_file_comes_with_the_remedy(proven: Proven) -> None:
    assert "--root" in proven("open('../data.csv')", "").verdict.notes[0]


def test_a_script_that_differs_from_itself_is_said_to(proven: Proven) -> None:
    unseeded = PLAIN.replace("torch.manual_seed(0)", "torch.seed()")
    proof = proven(unseeded, unseeded)
    assert (proof.verdict.answer, proof.verdict.exit_code) == (Answer.NOT_REPRODUCIBLE, 2)
    assert proof.verdict.sentence.startswith("not reproducible by itself")
    assert "run 2" in report.text(proof)


def test_after_that_cannot_run_is_no_verdict_and_after_that_fails_later_differs(proven: Proven) -> None:
    verdict = proven(PLAIN, "import torch\nimport no_such_module").verdict
    assert (verdict.answer, verdict.exit_code) == (Answer.ERROR, 2)
    assert "ModuleNotFoundError" in verdict.sentence
    proof = proven(PLAIN, PLAIN + "raise RuntimeError('late')\n")
    assert [difference.category for difference in proof.verdict.differences] == ["outcome"]
    assert "RuntimeError: late" in report.text(proof)


def test_no_run_resumes_from_another(proven: Proven, folder: Path) -> None:
    resuming = PLAIN.replace("best = float", "import os\nprint(os.path.exists('best.pt'))\nbest = float")
    proof = proven(resuming, resuming)
    assert proof.verdict.answer is Answer.EXACT
    assert not (folder / "best.pt").exists()


def test_a_larger_root_and_the_working_folder(
    server: ForkServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "data.txt").write_text("1")
    (folder / "src").mkdir()
    for name in ("a.py", "b.py"):
        (folder / "src" / name).write_text("print(open('data.txt').read())\n" + PLAIN)
    monkeypatch.chdir(folder)
    scripts = folder / "src" / "a.py", folder / "src" / "b.py"
    limits = Limits(steps=2, timeout=60.0)
    assert prove(*plan(*scripts, limits=limits, root=folder), server).verdict.answer is Answer.EXACT
    assert "FileNotFoundError" in prove(*plan(*scripts, limits=limits), server).verdict.sentence


def test_writing_into_a_linked_folder_is_an_error(server: ForkServer, folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "x").write_text("1")
    reading, writing = PLAIN + "print(open('data/x').read())\n", PLAIN + "open('data/y', 'w').close()\n"
    script = folder / "train.py"
    for source, good in ((reading, True), (writing, False)):
        script.write_text(source)
        first, second = plan(script, script, limits=Limits(steps=None, timeout=60.0), links=(Path("data"),))
        if good:
            assert prove(first, replace(second), server).verdict.answer is Answer.EXACT
        else:
            with pytest.raises(ScratchError, match="leave out --link"):
                prove(first, second, server)


def test_a_target_that_the_script_cannot_have_is_refused(server: ForkServer, folder: Path) -> None:
    (folder / "train.py").write_text(PLAIN)
    runs = plan(folder / "train.py", folder / "train.py", limits=Limits(steps=2, timeout=60.0), target="lightning")
    with pytest.raises(ScratchError, match="does not import torchlift"):
        prove(*runs, server)


BY_HAND = """
import torch
torch.manual_seed(0)
X, y = torch.randn(12, 3), torch.randn(12, 1)
w = torch.randn(3, 1, requires_grad=True)
for epoch in range(4):
    loss = ((X @ w - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
    print(f"loss {loss.item():.4f}")
"""

BY_HAND_TWIN = """
import torch
import lightning as L
from torch.utils.data import DataLoader
torch.manual_seed(0)
X, y = torch.randn(12, 3), torch.randn(12, 1)

class Lit(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.w = torch.randn(3, 1, requires_grad=True)
    def configure_optimizers(self):
        return None
    def training_step(self, batch, batch_idx):
        X, y = batch
        loss = ((X @ self.w - y) ** 2).mean()
        self.manual_backward(loss)
        with torch.no_grad():
            self.w -= 0.1 * self.w.grad
        self.w.grad = None
        print(f"loss {loss.item():.4f}")

trainer = L.Trainer(max_epochs=4, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
trainer.fit(Lit(), DataLoader([(X, y)], batch_size=None, generator=torch.Generator()))
"""


def test_a_twin_without_any_optimizer(proven: Proven) -> None:
    proof = proven(BY_HAND, BY_HAND_TWIN)
    assert proof.verdict.answer is Answer.EXACT, report.text(proof)
    assert proof.verdict.counts.steps == 4
    assert proven(BY_HAND, BY_HAND_TWIN.replace("0.1 *", "0.1000001 *")).verdict.answer is Answer.DIFFERS
