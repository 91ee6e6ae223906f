"""One loop for training and evaluation, told apart by a phase: ``for phase in ["train", "val"]:``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import converted, same
from tests.converter.adversary.prelude import IMPORTS

from torchlift_convert.api import convert
from torchlift_convert.types import Optimization, Options, Status

SETS = """\
sets = {p: TensorDataset(torch.randn(n, 4), torch.randint(0, 3, (n,))) for p, n in (("train", 32), ("val", 16))}
loaders = {p: DataLoader(sets[p], batch_size=8, shuffle=True) for p in ["train", "val"]}
sizes = {p: len(sets[p]) for p in ["train", "val"]}
"""
MAKE = """\
model = Net()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
"""
LOOP = """\
best_acc, best = 0.0, None
for epoch in range(3):
    for phase in ["train", "val"]:
        if phase == "train":
            model.train()
        else:
            model.eval()
        running, correct = 0.0, 0
        for inputs, labels in loaders[phase]:
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                outputs = model(inputs)
                preds = outputs.argmax(1)
                loss = criterion(outputs, labels)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
            # statistics
            running += loss.item() * inputs.size(0)
            correct += (preds == labels).sum().item()
        if phase == "train":
            scheduler.step()
        print(f"{phase} {(running / sizes[phase]).hex()}", correct / sizes[phase], scheduler.get_last_lr())
        if phase == "val" and correct > best_acc:
            best_acc = correct
            best = copy.deepcopy(model.state_dict())
    print()
model.load_state_dict(best)
print(best_acc, [p.sum().item().hex() for p in model.parameters()])
"""
WHOLE = IMPORTS + SETS + MAKE + LOOP
FUNCTION = (
    IMPORTS
    + "def train_model(model, loaders, criterion, optimizer, scheduler, epochs):\n"
    + "".join("    " + line + "\n" for line in LOOP.replace("range(3)", "range(epochs)").splitlines())
    + "    return model\n\n\n"
    + SETS
    + MAKE.replace("model = Net()", "net = Net()").replace("model.parameters", "net.parameters")
    + "net = train_model(net, loaders, criterion, optimizer, scheduler, 2)\n"
)
STEP = "                    optimizer.step()\n"
NOW_AND_THEN = """\
                    if running > 20:
                        optimizer.step()
                        optimizer.zero_grad()
"""
EXACT = {
    "at module level": WHOLE,
    "in a function that is handed everything": FUNCTION,
    "a tuple, and the other order of comparing": WHOLE.replace(
        '["train", "val"]:\n        if', '("train", "val"):\n        if'
    ).replace(
        'if phase == "train":\n            model.train()\n        else:\n            model.eval()',
        'if "val" == phase:\n            model.eval()\n        else:\n            model.train()',
    ),
    "loaders in a dictionary that is written out": WHOLE.replace(
        'loaders = {p: DataLoader(sets[p], batch_size=8, shuffle=True) for p in ["train", "val"]}',
        'loaders = {\n    "train": DataLoader(sets["train"], batch_size=8, shuffle=True),\n'
        '    "val": DataLoader(sets["val"], batch_size=4),\n}',
    ),
    "asked for with is-it-training": WHOLE.replace(
        "        running, correct = 0.0, 0\n",
        '        training = phase == "train"\n        running, correct = 0.0, 0\n        print(training)\n',
    ),
    "accumulating": WHOLE.replace("            optimizer.zero_grad()\n", "").replace(STEP, NOW_AND_THEN),
}
KEPT_WHOLE = {
    "evaluation first": WHOLE.replace('for phase in ["train", "val"]:\n', 'for phase in ["val", "train"]:\n'),
    "gradients looked at in between": WHOLE.replace(
        "    print()\n", "    print([p.grad is None for p in model.parameters()])\n"
    ),
}
LEFT_ALONE = {
    "a phase is left out now and then": WHOLE.replace(
        "        running, correct = 0.0, 0\n",
        '        if phase == "val" and epoch == 1:\n            continue\n        running, correct = 0.0, 0\n',
    ),
    "phases that are made": WHOLE.replace('in ["train", "val"]:\n        if', "in list(sets):\n        if"),
    "the phase is read after the loop": WHOLE.replace("    print()\n", "    print(phase)\n"),
    "the phase gets another value": WHOLE.replace(
        "    print()\n", "    print()\n        phase = None\n".replace("        phase", "    phase")
    ),
}


THREE = (
    WHOLE.replace('(("train", 32), ("val", 16))', '(("train", 32), ("val", 16), ("test", 16))')
    .replace('p in ["train", "val"]', 'p in ["train", "val", "test"]')
    .replace('phase in ["train", "val"]', 'phase in ["train", "val", "test"]')
)
BARE = WHOLE.replace(
    """\
            with torch.set_grad_enabled(phase == "train"):
                outputs = model(inputs)
                preds = outputs.argmax(1)
                loss = criterion(outputs, labels)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
""",
    """\
            torch.set_grad_enabled(phase == "train")
            outputs = model(inputs)
            preds = outputs.argmax(1)
            loss = criterion(outputs, labels)
            if phase == "train":
                loss.backward()
                optimizer.step()
""",
)
REMARKED = FUNCTION.replace(
    'if phase == "train":\n                        loss',
    '# only in training\n                    if phase == "train":  # not else\n                        loss',
)


def in_hooks(source: str, folder: Path) -> str:
    result = same(source, folder)
    assert result.code is not None
    return result.code


@pytest.mark.parametrize("source", EXACT.values(), ids=EXACT)
def test_exact(source: str, tmp_path: Path) -> None:
    in_hooks(source, tmp_path)


def test_one_hook_for_each_phase(tmp_path: Path) -> None:
    plain = WHOLE.replace(", scheduler.get_last_lr()", "").replace(
        "(running / sizes[phase]).hex()", "running / sizes[phase]"
    )
    code = in_hooks(plain, tmp_path)
    assert "def training_step" in code and "def validation_step" in code
    assert "set_grad_enabled" not in code and '"train" ==' not in code
    assert 'print(f"train {' in code and 'print(f"val {' in code and "if self.correct > self.best_acc:" in code
    assert converted(plain).optimization is Optimization.AUTOMATIC


@pytest.mark.parametrize("source", KEPT_WHOLE.values(), ids=KEPT_WHOLE)
def test_evaluation_that_stays_as_it_stands(source: str, tmp_path: Path) -> None:
    in_hooks(source, tmp_path)


@pytest.mark.parametrize("source", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_leaves_alone(source: str) -> None:
    """The rounds cannot stand one after the other, or another statement knows the phase."""
    result = convert(source, Options())
    assert result.status is Status.REFUSED
    assert {d.code for d in result.diagnostics} <= {"TL102", "TL702"}


def test_a_choice_by_phase_keeps_its_brackets(tmp_path: Path) -> None:
    share = '        print(running / (sizes[phase] if phase == "train" else 3 + 4))\n'
    shares = WHOLE.replace("            scheduler.step()\n", "            scheduler.step()\n" + share)
    assert " / (3 + 4)" in in_hooks(shares, tmp_path)


def test_a_name_for_the_question_goes(tmp_path: Path) -> None:
    named = WHOLE.replace(
        "        running, correct = 0.0, 0\n",
        '        training = phase == "train"\n        running, correct = 0.0, 0\n',
    )
    named = named.replace('set_grad_enabled(phase == "train")', "set_grad_enabled(training)")
    named = named.replace('                if phase == "train":\n', "                if training:\n")
    code = in_hooks(named, tmp_path)
    assert "training =" not in code and "if training" not in code


def test_phases_listed_before_the_loops(tmp_path: Path) -> None:
    in_hooks(
        'PHASES = ["train", "val"]\n' + WHOLE.replace('in ["train", "val"]:\n        if', "in PHASES:\n        if"),
        tmp_path,
    )


def test_a_third_phase_stays_whole_and_knows_which_it_is(tmp_path: Path) -> None:
    code = in_hooks(THREE, tmp_path)
    assert "loaders['test']" in code.replace('"', "'")
    for odd in ('"val" == "train"', '"test" == "train"', "if True", "if False", "elif True"):
        assert odd not in code, odd


def test_gradients_that_stay_switched_off_behind_the_loops(tmp_path: Path) -> None:
    assert BARE != WHOLE
    in_hooks(BARE + "print(torch.is_grad_enabled(), model(torch.ones(1, 4)).requires_grad)\n", tmp_path)


def test_no_comment_is_lost(tmp_path: Path) -> None:
    assert REMARKED != FUNCTION
    code = in_hooks(REMARKED, tmp_path)
    assert "# only in training" in code and "# not else" in code and "# statistics" in code


@pytest.mark.parametrize(
    ("condition", "train", "val"),
    [
        ('phase == "train" and epoch > 0', "if self.current_epoch > 0:", None),
        ('epoch > 0 and phase == "train"', "if self.current_epoch > 0:", None),
        ('chatty and phase == "val"', None, "if chatty:"),
        ('phase in ("val", "test") or epoch > 1', "if self.current_epoch > 1:", ""),
    ],
)
def test_half_of_a_condition_is_known(condition: str, train: str | None, val: str | None, tmp_path: Path) -> None:
    asked = f"        if {condition}:\n            print('asked', epoch)\n"
    source = "chatty = True\n" + WHOLE.replace(
        "        running, correct = 0.0, 0\n", asked + "        running, correct = 0.0, 0\n"
    )
    code = in_hooks(source, tmp_path)
    assert "phase" not in code.partition("class Lit")[2].partition("set")[0]
    assert code.count("print('asked'") == (train is not None) + (val is not None)
    assert train is None or train in code
    assert not val or val in code
