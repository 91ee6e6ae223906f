"""Loops that sit in methods of a class: what the object holds before, during and after training is what it held."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import converted, same
from tests.converter.adversary.prelude import DATA, END, IMPORTS, MODEL

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Status

TRAINER = """
class Trainer:
    def __init__(self, model, optimizer, train_loader, test_loader, device="cpu"):
        self.model = model.to(device)
        self.optimizer = optimizer
        self.train_loader = train_loader
        self.test_loader = test_loader
        self.device = device
        self.best_acc = 0.0
        self.history = []
        self.step = 0
        INIT

    def evaluate(self):
        self.model.eval()
        correct, total = 0, 0
        with torch.no_grad():
            for x, t in self.test_loader:
                x, t = x.to(self.device), t.to(self.device)
                correct += (self.model(x).argmax(1) == t).sum().item()
                total += len(t)
        return correct / total

    def train_epoch(self, epoch):
        self.model.train()
        running = 0.0
        for i, (x, t) in enumerate(self.train_loader):
            x, t = x.to(self.device), t.to(self.device)
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), t)
            loss.backward()
            self.optimizer.step()
            self.step += 1
            running += loss.item()
            BATCH
        return running / len(self.train_loader)

    METHODS

    def fit(self, epochs):
        BEFORE
        for epoch in range(1, epochs + 1):
            train_loss = self.train_epoch(epoch)
            acc = self.evaluate()
            self.history.append((train_loss, acc))
            if acc > self.best_acc:
                self.best_acc = acc
            print(f"epoch {epoch}: {train_loss:.6f} {acc:.4f} best {self.best_acc:.4f} step {self.step}")
            EPOCH
        AFTER


"""
MAKE = "trainer = Trainer(model, optimizer, train_loader, test_loader)\n"
MAIN = MAKE + "trainer.fit(3)\nprint(trainer.best_acc, trainer.history, trainer.step, trainer.device)\n"


def script(main: str = MAIN, **slots: str) -> str:
    """A script around the class; each slot (INIT, BATCH, ...) is filled with the lines that a test gives for it."""
    lines: list[str] = []
    for line in TRAINER.splitlines():
        name = line.strip()
        if name.isupper():
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + one for one in slots.get(name.lower(), "").splitlines()]
        else:
            lines.append(line)
    return IMPORTS + DATA + "\n".join(lines) + "\n" + MODEL + main + END


NOTE = """\
def note(self, epoch, acc):
    self.best_epoch = epoch
    self.notes.append(acc)
    if acc > 0.3:
        self.good += 1
"""
SAME = {
    "plain": script(),
    "called twice": script(MAKE + "trainer.fit(2)\nprint(trainer.best_acc)\ntrainer.fit(2)\n"),
    "set from outside before": script(MAKE + "trainer.step = 100\ntrainer.best_acc = 0.5\n" + MAIN.partition("\n")[2]),
    "state in a method of its own": script(
        methods=NOTE,
        init="self.notes = []\nself.good = 0\nself.best_epoch = -1",
        epoch="self.note(epoch, acc)",
        after="print(self.best_epoch, self.notes, self.good)",
    ),
    "the best weights loaded after the loop": script(
        init="self.best_state = None",
        epoch="self.best_state = copy.deepcopy(self.model.state_dict())",
        after="self.model.load_state_dict(self.best_state)",
    ),
    "a break in the batch loop": script(batch="if i == 2:\n    break"),
    "stopping early": script(
        init="self.bad = 0", epoch="if acc <= self.best_acc:\n    self.bad += 1\nif self.bad > 1:\n    break"
    ),
    "draws around": script(before="print(torch.rand(1).item())", epoch="print(torch.rand(1).item())"),
    "a helper that reads the optimizer": script(
        methods='def lr(self):\n    return self.optimizer.param_groups[0]["lr"]\n', epoch="print(self.lr())"
    ),
    "an epoch scheduler": script(
        init="self.scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)",
        epoch="self.scheduler.step()\nprint(self.scheduler.get_last_lr())",
    ),
    "a plateau scheduler": script(
        init="self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)",
        epoch='self.scheduler.step(acc)\nprint(self.optimizer.param_groups[0]["lr"])',
    ),
    "evaluated after": script(MAKE + "trainer.fit(3)\nprint(trainer.evaluate(), trainer.model.training)\n"),
    "evaluated before": script(before="print(self.evaluate())"),
    "names that a module has": script(
        MAKE + "trainer.fit(2)\nprint(trainer.log, trainer.global_step)\n",
        init="self.log = []\nself.global_step = 0",
        batch="self.global_step += 1\nself.log.append(loss.item())",
    ),
    "a method named log": script(methods="def log(self, text):\n    print(text, self.step)\n", epoch='self.log("x")'),
    "a loss that is kept": script(batch="self.loss = loss", epoch="print(self.loss.item())"),
    "the device is shown": script(epoch='print(f"on {self.device}")'),
}


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_the_same_lines_are_printed(source: str, tmp_path: Path) -> None:
    assert same(source, tmp_path).optimization is Optimization.AUTOMATIC


OPEN = {
    "self is handed on": (script(before="print(id(self) > 0)"), "hands 'self' itself on"),
    "the object is handed on": (
        script("def go(t):\n    t.fit(2)\n" + MAKE + "go(trainer)\n"),
        "hands 'trainer' itself on",
    ),
    "two objects": (script(MAKE + "other = Trainer(model, None, None, None)\ntrainer.fit(2)\n"), "several places"),
    "a property": (script(methods="@property\ndef lr(self):\n    return 1\n", epoch="print(self.lr)"), "is decorated"),
    "a method replaced": (script(MAKE + "trainer.evaluate = lambda: 0.5\ntrainer.fit(2)\n"), "given another value"),
    "code at each attribute": (
        script(methods="def __setattr__(self, name, value):\n    object.__setattr__(self, name, value)\n"),
        "__setattr__",
    ),
    "a lambda reads what changes": (
        script(init="self.get = lambda: self.step", epoch="print(self.get())"),
        "self.step",
    ),
    "a method is handed on": (
        script(
            init="self.hook = self.report", methods="def report(self):\n    print(self.step)\n", epoch="self.hook()"
        ),
        "self.step",
    ),
    "a function reads what changes": (
        script("def report():\n    print(trainer.step)\n" + MAIN, epoch="report()"),
        "self.step",
    ),
    "a try outside": (
        script(
            MAKE + "try:\n    trainer.fit(3)\nexcept ValueError:\n    pass\nprint(trainer.step)\n",
            epoch="if epoch == 2:\n    raise ValueError",
        ),
        "'try'",
    ),
    "first set in the loop": (
        script(MAKE + "trainer.fit(2)\nprint(trainer.last)\n", epoch="self.last = acc"),
        "first set in the loop",
    ),
    "the model is replaced": (script(epoch="self.model = self.model"), "self.model"),
}


@pytest.mark.parametrize(("source", "reason"), OPEN.values(), ids=OPEN)
def test_refused_with_the_reason(source: str, reason: str) -> None:
    result = convert(source, Options())
    assert result.status is Status.REFUSED
    assert reason in result.refusals[0].message


def test_the_class_stays_without_what_became_hooks() -> None:
    code = converted(script()).code or ""
    kept = code.partition("class Trainer:")[2]
    assert "def fit(self, epochs):" in kept and "def evaluate(self):" not in kept and "def train_epoch" not in kept
    assert "self.best_acc = model.best_acc" in kept and "self.history = model" not in kept


def test_a_method_that_the_script_still_calls_stays() -> None:
    code = converted(script(MAKE + "trainer.fit(1)\nprint(trainer.evaluate())\n")).code or ""
    assert "def evaluate(self):" in code.partition("class Trainer:")[2]


AGENT = """
class Agent:
    def __init__(self, lr):
        self.model = Net()
        self.opt = torch.optim.Adam(self.model.parameters(), lr=lr)
        self.updates = 0
        self.losses = []

    def update(self, x, t):
        self.opt.zero_grad()
        loss = F.cross_entropy(self.model(x), t)
        loss.backward()
        self.opt.step()
        self.updates += 1
        return loss.item()

    def save(self, epoch):
        print("saving", epoch, self.updates)


agent = Agent(0.01)
model = agent.model
for epoch in range(2):
    total = 0.0
    for x, t in train_loader:
        total += agent.update(x, t)
    agent.losses.append(total)
    agent.save(epoch)
    print(epoch, total, agent.updates)
print(agent.losses, agent.updates)
"""


def test_a_loop_that_calls_the_step_of_an_object(tmp_path: Path) -> None:
    result = same(IMPORTS + DATA + AGENT + END, tmp_path)
    assert result.optimization is Optimization.AUTOMATIC and result.datamodule is not None


WATCHER = """
class Watcher:
    def __init__(self, net):
        self.net = net
        self.seen = []

    def probe(self):
        (self.net.fc1.weight.norm() * 0.5).backward()

    def look(self):
        self.seen.append(self.net.fc1.weight.sum().item())


watcher = Watcher(model)
for epoch in range(2):
    for x, t in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        watcher.look()
print(watcher.seen)
"""


def test_a_model_that_an_object_looks_at_as_well(tmp_path: Path) -> None:
    same(IMPORTS + DATA + MODEL + WATCHER + END, tmp_path)


BETTER = """
class Better(Trainer):
    def evaluate(self):
        print("better")
        return EVALUATE


model = Net()"""


def test_a_method_that_a_subclass_overrides(tmp_path: Path) -> None:
    source = script().replace("= Trainer(", "= Better(")
    same(source.replace("\nmodel = Net()", BETTER.replace("EVALUATE", "0.5 + self.step")), tmp_path)


def test_a_method_of_the_base_class_is_refused() -> None:
    source = script().replace("= Trainer(", "= Better(")
    result = convert(source.replace("\nmodel = Net()", BETTER.replace("EVALUATE", "super().evaluate()")), Options())
    assert "base class" in result.refusals[0].message


KEPT = {
    "the epoch": script(
        MAKE + "trainer.fit(2)\nprint(trainer.epoch)\n",
        init="self.epoch = 0",
        methods='def tell(self):\n    print("at", self.epoch)\n',
        epoch="self.epoch = epoch\nself.tell()",
    ),
    "a list from outside": script(
        "kept = []\n" + MAKE + "trainer.history = kept\ntrainer.fit(2)\nprint(kept, kept is trainer.history)\n",
        epoch="self.history += [acc]",
    ),
    "a network that follows": script(
        MAKE + "trainer.fit(2)\nprint(trainer.teacher.training, trainer.teacher(X).sum().item())\n",
        init="self.teacher = copy.deepcopy(model).eval()",
        batch="with torch.no_grad():\n    for p, q in zip(self.teacher.parameters(), self.model.parameters()):\n"
        "        p.mul_(0.9).add_(q, alpha=0.1)",
        epoch="print(self.teacher.training, self.teacher(X).sum().item())",
    ),
    "calls in a loop": script(MAKE + "for k in range(2):\n    trainer.fit(1)\n    print(trainer.step)\n"),
}


@pytest.mark.parametrize("source", KEPT.values(), ids=KEPT)
def test_what_the_object_holds_goes_on(source: str, tmp_path: Path) -> None:
    same(source, tmp_path)


def test_several_processes_are_left_alone() -> None:
    source = IMPORTS.replace("import copy", "import copy\nfrom torch.nn.parallel import DistributedDataParallel as DDP")
    source += script()[len(IMPORTS) :].replace("self.model = model.to(device)", "self.model = DDP(model)")
    refusal = convert(source, Options()).refusals[0]
    assert refusal.code == "TL501" and "DDP()" in refusal.message
