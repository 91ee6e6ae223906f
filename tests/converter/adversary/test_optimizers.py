"""Who makes the optimizer, and who steps it: by the Trainer, by hand in training_step, or not at all."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest
from tests.converter.adversary.harness import converted, run, same
from tests.converter.adversary.prelude import DATA, END, IMPORTS

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Status

NET = "model = Net()\n"
OPTIONS = "import argparse\n\nargs = argparse.Namespace(opt='SGD', lr=0.1, epochs=2)\n"
STEP = """\
optimizer.zero_grad()
loss = F.cross_entropy(model(x), t)
loss.backward()
optimizer.step()
"""


def trains(
    optimizer: str, step: str = STEP, *, head: str = "", tail: str = "", end: str = "", model: str = NET, defs: str = ""
) -> str:
    """A script at module level whose optimizer is made in one way or another."""
    loop = "for epoch in range(2):\n    for x, t in train_loader:\n" + indent(dedent(step), " " * 8)
    loop += "    print(epoch, loss.item())\n" + indent(dedent(tail), " " * 4)
    parts = (OPTIONS, dedent(defs), head, DATA, model, dedent(optimizer), loop, dedent(end), END)
    return IMPORTS + "".join(parts)


CHOSEN = """
if args.opt == "SGD":
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
elif args.opt == "Adam":
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
else:
    raise ValueError(args.opt)
"""
MAKE = "def make(model, args):\n" + indent(CHOSEN + "return optimizer\n", "    ") + "\n\n"
BOTH = """
def configure(model, gamma=0.5):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)

"""
BUILD = """
def build(lr):
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    return net, optimizer

"""
RATES = "scheduler.step()\nprint(optimizer.param_groups[0]['lr'])\n"
AUTOMATIC = {
    "a function of the script": trains("optimizer = make(model, args)\n", defs=MAKE),
    "a function, with its scheduler": trains("optimizer, scheduler = configure(model)\n", tail=RATES, defs=BOTH),
    "a function, with its model": trains("", model="model, optimizer = build(0.1)\n", defs=BUILD),
    "a function through a function": trains(
        "optimizer = outer(model)\n", defs=MAKE + "def outer(net):\n    made = make(net, args)\n    return made\n\n\n"
    ),
    "under a condition": trains(CHOSEN),
    "under a condition that may not hold": trains(CHOSEN[: CHOSEN.index("else")]),
    "a conditional expression": trains(
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if args.lr else torch.optim.Adam(model.parameters())\n"
    ),
    "a class that is chosen": trains(
        "cls = torch.optim.SGD if args.lr else torch.optim.Adam\noptimizer = cls(model.parameters(), lr=args.lr)\n"
    ),
    "a class by its name": trains("optimizer = getattr(torch.optim, args.opt)(model.parameters(), lr=args.lr)\n"),
    "a class from a table": trains(
        "KINDS = {'SGD': torch.optim.SGD, 'Adam': torch.optim.Adam}\n"
        "optimizer = KINDS[args.opt](model.parameters(), lr=args.lr)\n"
    ),
    "None at first": trains("optimizer = None\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"),
    "None where the script itself stops": trains("optimizer = None\n" + CHOSEN[: CHOSEN.index("else")]),
    "used before the loops": trains(
        "optimizer = make(model, args)\noptimizer.load_state_dict(optimizer.state_dict())\n"
        "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)\n",
        tail=RATES,
        defs=MAKE,
    ),
    "an average of the weights": trains(
        CHOSEN + "average = torch.optim.swa_utils.AveragedModel(model)\n",
        tail="average.update_parameters(model)\n",
        end="print([p.sum().item().hex() for p in average.parameters()])\n",
    ),
}


@pytest.mark.parametrize("source", AUTOMATIC.values(), ids=AUTOMATIC)
def test_the_trainer_steps_it(source: str, tmp_path: Path) -> None:
    assert same(source, tmp_path).optimization is Optimization.AUTOMATIC


# Where it matters when the optimizer is made: the statement that makes it must not move behind what follows it.
IN_PLACE = {
    "its rate is bound again": trains("lr = 0.1\noptimizer = torch.optim.SGD(model.parameters(), lr=lr)\nlr = 0.5\n"),
    "its option changes": trains("optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)\nargs.lr = 0.5\n"),
    "its keywords change": trains(
        "given = {'lr': 0.1}\noptimizer = torch.optim.SGD(model.parameters(), **given)\ngiven['lr'] = 0.5\n"
    ),
    "a line is printed with it": trains(
        CHOSEN.replace("    optimizer", "    print(args.opt)\n    optimizer", 1) + "print('starting')\n"
    ),
    "its function prints": trains(
        "optimizer = make(model, args)\nprint('starting')\n",
        defs=MAKE.replace("\nif", "\n    print('making')\n    if", 1),
    ),
    "its function draws": trains(
        "optimizer = make()\nprint(torch.rand(1).item())\n",
        defs="def make():\n    return torch.optim.SGD(model.parameters(), lr=torch.rand(1).item())\n\n\n",
    ),
    "its function reads a global that is bound again": trains(
        "optimizer = make()\nLR = 0.5\n",
        head="LR = 0.1\n",
        defs="def make():\n    return torch.optim.SGD(model.parameters(), lr=LR)\n\n\n",
    ),
    "its function looks at weights that change": trains(
        """
        optimizer = make(model)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(2)
        """,
        defs="def make(net):\n    lr = net.fc1.weight.abs().mean().item()\n"
        "    return torch.optim.SGD(net.parameters(), lr=lr)\n\n\n",
    ),
    "parameters are frozen behind it": trains(
        """
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
        for p in model.fc1.parameters():
            p.requires_grad = False
        """,
        end="print(len(optimizer.param_groups[0]['params']))\n",
    ),
    "a layer is replaced behind it": trains(
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\nmodel.fc2 = nn.Linear(6, 3)\n"
    ),
    "the model is made anew behind it": trains(
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\nmodel = nn.Linear(4, 3)\n"
    ),
}


@pytest.mark.parametrize("source", IN_PLACE.values(), ids=IN_PLACE)
def test_it_is_made_where_it_was(source: str, tmp_path: Path) -> None:
    same(source, tmp_path)


# Weights that only the function which makes the optimizer knows: nothing that reads them may overtake a step.
TENSOR = """
optimizer.zero_grad()
loss = F.cross_entropy(x @ w, t)
loss.backward()
optimizer.step()
seen.append(w.sum().item())
"""
W = "w = torch.zeros(4, 3, requires_grad=True)\n"
GIVEN = "def make(params):\n    return torch.optim.SGD(params, lr=0.1)\n\n\n"
RETURNED = f"def make():\n    {W}    return w, torch.optim.SGD([w], lr=0.1)\n\n\n"
WRAPPED = RETURNED + "def outer():\n    weight, optimizer = make()\n    return weight, optimizer\n\n\n"
TENSORS = {
    "a list given": (GIVEN, W + "optimizer = make([w])\n"),
    "one given": (GIVEN.replace("(params,", "([params],"), W + "optimizer = make(w)\n"),
    "returned": (RETURNED, "w, optimizer = make()\n"),
    "returned by another": (WRAPPED, "w, optimizer = outer()\n"),
}


@pytest.mark.parametrize(("defs", "model"), TENSORS.values(), ids=TENSORS)
def test_what_it_updates_is_seen_through_functions(defs: str, model: str, tmp_path: Path) -> None:
    source = trains("seen = []\n", TENSOR, model=model, defs=defs, end="print(seen)\n").replace(END, "")
    assert same(source, tmp_path).optimization is Optimization.AUTOMATIC


MAYBE = """
optimizer = None
if args.opt == "SGD":
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
"""
MAYBE_STEP = """
model.zero_grad()
loss = F.cross_entropy(model(x), t)
loss.backward()
if optimizer is not None:
    optimizer.step()
else:
    for p in model.parameters():
        p.data.add_(p.grad, alpha=-args.lr)
"""
PLAIN = """
class Mine:
    def __init__(self, params, lr):
        self.params, self.lr = list(params), lr

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    @torch.no_grad()
    def step(self):
        for p in self.params:
            p -= self.lr * p.grad


"""
WRAPPER = """
class Warming:
    def __init__(self, optimizer):
        self.optimizer, self.count = optimizer, 0

    def zero_grad(self):
        self.optimizer.zero_grad()

    def step_and_warm(self):
        self.count += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.01 * self.count
        self.optimizer.step()


"""
TWO_STEPS = """
class Sharp(torch.optim.Optimizer):
    def __init__(self, params, base, **given):
        super().__init__(params, given)
        self.base = base(self.param_groups, **given)

    @torch.no_grad()
    def first_step(self):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["old"] = p.clone()
                p.add_(p.grad, alpha=0.1)
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.copy_(self.state[p]["old"])
        self.base.step()
        self.zero_grad()


"""
SEVERAL = """
for one in optimizers:
    one.zero_grad()
loss = F.cross_entropy(model(x), t)
loss.backward()
for one in optimizers:
    one.step()
"""
BY_HAND = """
loss = F.cross_entropy(model(x), t)
model.zero_grad()
loss.backward()
with torch.no_grad():
    for p in model.parameters():
        p -= 0.1 * p.grad
"""
PARTS = "torch.optim.SGD(model.fc1.parameters(), lr=0.1), torch.optim.Adam(model.fc2.parameters())"
MANUAL = {
    "perhaps None, and it is one": trains(MAYBE, MAYBE_STEP),
    "perhaps None, and it is None": trains(MAYBE, MAYBE_STEP).replace("opt='SGD'", "opt=''"),
    "a function that may return None": trains(
        "optimizer = make(model)\n",
        MAYBE_STEP,
        defs="def make(net):\n    if args.opt == 'Adam':\n        return torch.optim.Adam(net.parameters())\n\n\n",
    ),
    "perhaps not made": trains(CHOSEN[: CHOSEN.index("elif")], MAYBE_STEP.replace("optimizer is not None", "args.opt")),
    "not made": trains(CHOSEN[: CHOSEN.index("elif")], MAYBE_STEP.replace("optimizer is not None", "args.opt")).replace(
        "opt='SGD'", "opt=''"
    ),
    "a class without a closure": trains("optimizer = Mine(model.parameters(), 0.1)\n", defs=PLAIN),
    "a wrapper": trains(
        "inner = torch.optim.SGD(model.parameters(), lr=0.1)\noptimizer = Warming(inner)\n",
        STEP.replace("step()", "step_and_warm()"),
        defs=WRAPPER,
    ),
    "two half steps": trains(
        "optimizer = Sharp(model.parameters(), torch.optim.SGD, lr=0.1)\n",
        STEP.replace("optimizer.zero_grad()\n", "").replace(
            "optimizer.step()",
            "optimizer.first_step()\nF.cross_entropy(model(x), t).backward()\noptimizer.second_step()",
        ),
        defs=TWO_STEPS,
    ),
    "a list": trains(f"optimizers = [{PARTS}]\n", SEVERAL),
    "made anew in the loop": trains(
        CHOSEN, tail="if epoch == 0:\n    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)\n"
    ),
    "by hand": trains("", BY_HAND),
    "by hand, by a function": trains(
        "",
        BY_HAND[: BY_HAND.index("with")] + "update(model)\n",
        defs="def update(net):\n    for p in net.parameters():\n        p.data -= 0.1 * p.grad.data\n\n\n",
    ),
    "by hand, tensors": trains(
        W,
        "loss = F.cross_entropy(x @ w, t)\nloss.backward()\n"
        "with torch.no_grad():\n    w -= 0.1 * w.grad\n    w.grad.zero_()\n",
        end="print(w.sum().item().hex())\n",
    ),
}


@pytest.mark.parametrize("source", MANUAL.values(), ids=MANUAL)
def test_training_step_updates_the_weights(source: str, tmp_path: Path) -> None:
    result = same(source, tmp_path)
    assert result.optimization is Optimization.MANUAL
    assert "return None" in (result.code or "")


def test_weights_updated_by_hand_on_lightning_too(tmp_path: Path) -> None:
    """A run without optimizers of the Trainer's own goes through all batches there as well."""
    source = MANUAL["by hand"]
    code = converted(source).code or ""
    code = code.replace("import torchlift as L", "import lightning as L")
    code = code.replace("L.Trainer(", "L.Trainer(enable_model_summary=False, enable_progress_bar=False, ")
    assert run(code, tmp_path / "theirs") == run(source, tmp_path / "before")


ATTACK = """
x.requires_grad = True
loss = F.cross_entropy(model(x), t)
loss.backward()
print(model(x + 0.1 * x.grad.sign()).sum().item())
"""


def test_a_backward_alone_trains_nothing() -> None:
    result = convert(trains("", ATTACK), Options())
    assert result.status is Status.REFUSED
    assert {d.code for d in result.diagnostics} == {"TL301"}


def test_a_local_optimizer_that_may_not_be_made_is_refused() -> None:
    source = MANUAL["perhaps not made"].replace(NET, "net = Net()\n", 1).replace("model", "net")
    head, loop = source.split("\nif args.opt", 1)
    result = convert(head + "\n\ndef main():\n" + indent("if args.opt" + loop, "    ") + "\n\nmain()\n", Options())
    assert result.status is Status.REFUSED
    assert [d.code for d in result.diagnostics] == ["TL106"]


FLAG = """
def run(model, loader, optimizer=None):
    training = optimizer is not None
    total = 0.0
    if training:
        model.train()
    else:
        model.eval()
    with torch.set_grad_enabled(training):
        for x, t in loader:
            loss = F.cross_entropy(model(x), t)
            if optimizer:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item()
    return total


"""
FLAGGED = IMPORTS + OPTIONS + FLAG + DATA + NET + CHOSEN[: CHOSEN.index("else")]
LOOP = """
for epoch in range(2):
    trained = run(model, train_loader, optimizer)
    held_out = run(model, test_loader)
    print(epoch, trained, held_out)
"""


def test_an_optimizer_is_what_says_that_it_trains(tmp_path: Path) -> None:
    result = same(FLAGGED + LOOP + END, tmp_path)
    assert result.optimization is Optimization.AUTOMATIC
    assert "def validation_step" in (result.code or "")


@pytest.mark.parametrize("line", ["    optimizer = None\n", "    optimizer = optimizer if epoch else None\n"])
def test_an_optimizer_that_is_given_up_says_nothing(line: str) -> None:
    """Where the variable may hold None, nothing is known of it."""
    result = convert(FLAGGED + LOOP + line + END, Options())
    assert result.optimization is not Optimization.AUTOMATIC


SAID = {
    "zero_grad(set_to_none=False)": "zero_grad leaves zeros, where the Trainer leaves None",
    "zero_grad(True)": "zero_grad takes arguments",
    "backward(retain_graph=True)": "backward keeps its graph",
    "backward(torch.tensor(1.0))": "backward is given a gradient",
}


@pytest.mark.parametrize(("call", "why"), SAID.items())
def test_it_is_said_what_is_odd(call: str, why: str, tmp_path: Path) -> None:
    plain = call.partition("(")[0] + "()"
    result = same(trains(CHOSEN, STEP.replace(plain, call)), tmp_path)
    assert result.optimization is Optimization.MANUAL
    assert any(why in d.message for d in result.diagnostics)


def test_it_is_said_what_is_missing(tmp_path: Path) -> None:
    result = same(trains(CHOSEN, STEP.replace("optimizer.zero_grad()\n", "")), tmp_path)
    assert any("no plain zero_grad()" in d.message for d in result.diagnostics)
