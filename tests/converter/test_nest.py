"""Where the training loop sits, and what is followed to get there."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.locating import is_main_guard
from torchlift_convert.loops import is_range
from torchlift_convert.nest import Finder, Nest
from torchlift_convert.program import build
from torchlift_convert.syntax import parse

STEP = """
opt.zero_grad()
loss = f(net(x), y)
loss.backward()
opt.step()
"""


def nest(source: str) -> Nest | None:
    return Finder(build(parse(source))).find()


def script(text: str) -> str:
    """``STEP`` stands for the four lines of a step, indented as it is."""
    lines = []
    for line in dedent(text).splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += [indent + s for s in STEP.strip().splitlines()] if line.strip() == "STEP" else [line]
    return "\n".join(lines) + "\n"


LOOPS = "for e in range(3):\n    for x, y in loader:\n        STEP\n"
INSIDE = LOOPS.replace("    STEP", "        STEP").replace("\n    for", "\n        for")
MAIN = "def main():\n    " + INSIDE
PLACES = {
    "module": LOOPS,
    "main guard": "if __name__ == '__main__':\n    " + INSIDE,
    "main()": MAIN + "main()\n",
    "main() under the guard": MAIN + "if __name__ == '__main__':\n    main()\n",
    "train() per epoch": "def train(e):\n    for x, y in loader:\n        STEP\nfor e in range(3):\n    train(e)\n",
    "a step of its own": "def step(x, y):\n    STEP\n" + LOOPS.replace("STEP", "step(x, y)"),
    "three deep": "def step(x, y):\n    STEP\ndef train():\n    for x, y in loader:\n        step(x, y)\n"
    "def main():\n    for e in range(3):\n        train()\nmain()\n",
    "under with": "with open('log') as log:\n    " + INSIDE,
    "under try": "try:\n    " + INSIDE + "except OSError:\n    pass\n",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_both_loops_are_found(place: str) -> None:
    found = nest(script(place))
    assert found is not None and found.epochs is not None and found.batches is not None
    assert ast.unparse(found.epochs.iter) == "range(3)" and ast.unparse(found.batches.iter) == "loader"
    assert [ast.unparse(i.stmt) for i in found.body] == STEP.strip().splitlines()


def test_what_surrounds_the_loops() -> None:
    found = nest(
        script("a = 1\nfor e in range(3):\n    b = 1\n    for x, y in loader:\n        STEP\n    c = 1\nd = 1\n")
    )
    assert found is not None
    assert [ast.unparse(s) for s in found.pre] == ["a = 1"] and [ast.unparse(s) for s in found.post] == ["d = 1"]
    assert [ast.unparse(i.stmt) for i in found.before] == ["b = 1"]
    assert [ast.unparse(i.stmt) for i in found.after] == ["c = 1"]


def test_surroundings_of_a_loop_in_a_function_are_the_functions() -> None:
    main = f"def main():\n    b = 1\n    {INSIDE}    c = 1\n"
    found = nest(script(f"a = 1\n{main}main()\nd = 1\n"))
    assert found is not None and found.home.name == "main"
    assert [ast.unparse(s) for s in found.pre] == ["b = 1"] and [ast.unparse(s) for s in found.post] == ["c = 1"]


def test_batches_once() -> None:
    found = nest(script("for x, y in loader:\n    STEP\n"))
    assert found is not None and found.epochs is None and found.batches is not None


def test_steps_without_a_loop_over_data() -> None:
    found = nest(script("for step in range(100):\n    x, y = batch()\n    STEP\n"))
    assert found is not None and found.epochs is not None and found.batches is None


TRAIN = "def train():\n    for x, y in loader:\n        STEP\n    return loss\n"


def test_what_a_function_returns_takes_the_callers_names() -> None:
    found = nest(script(TRAIN + "for e in range(3):\n    last = train()\n"))
    assert found is not None and not found.after, "the assignment is nothing but a name for the result"


def test_a_value_returned_stands_in_its_call() -> None:
    found = nest(script(TRAIN.replace("loss\n", "loss.item()\n") + "for e in range(3):\n    print(train())\n"))
    assert found is not None
    (item,) = found.after
    (hole,) = item.holes
    assert ast.unparse(item.stmt) == "print(train())" and hole.value is not None
    assert ast.unparse(hole.value) == "loss.item()"


NO_TRAINING = {
    "nothing": "print(1)\n",
    "never called": "def train():\n    for x, y in loader:\n        STEP\n",
    "another backward": "for x in xs:\n    x.forward()\n",
}


@pytest.mark.parametrize("source", NO_TRAINING.values(), ids=NO_TRAINING)
def test_no_training_is_no_nest(source: str) -> None:
    try:
        assert nest(script(source)) is None
    except Refuse as refusal:
        assert refusal.diagnostic.code == "TL107", "it cannot be reached from the top level"


EPOCHS = "for e in range(3):\n"
BATCHES = "for x, y in loader:\n"
REFUSED = {
    "else of a while": ("TL105", f"while more():  # here\n    {BATCHES}        STEP\nelse:\n    pass\n"),
    "else of batches by while": (
        "TL105",
        EPOCHS + "    while more():  # here\n        STEP\n    else:\n        pass\n",
    ),
    "else": ("TL105", f"for e in range(3):  # here\n    {BATCHES}        STEP\nelse:\n    pass\n"),
    "else of the batches": ("TL105", EPOCHS + "    for x, y in a:  # here\n        STEP\n    else:\n        pass\n"),
    "two trainings": ("TL101", BATCHES + "    STEP\nfor x, y in b:  # here\n    STEP\n"),
    "two branches": (
        "TL101",
        f"if c:\n    {BATCHES}        STEP\nelse:\n    for x, y in b:  # here\n        STEP\n",
    ),
    "batches under a condition": (
        "TL103",
        EPOCHS + "    if e:\n        for x, y in loader:  # here\n            STEP\n",
    ),
    "a generator": (
        "TL104",
        f"def train():\n    {BATCHES}        STEP\n        yield 1\n{EPOCHS}    list(train())  # here\n",
    ),
    "starred": ("TL104", f"def train(*a):\n    {BATCHES}        STEP\n{EPOCHS}    train(1)  # here\n"),
    "decorated": ("TL104", f"@deco\ndef train():\n    {BATCHES}        STEP\n{EPOCHS}    train()  # here\n"),
    "early return": (
        "TL105",
        f"def train():\n    {BATCHES}        STEP\n    if c:\n        return 1  # here\n    return 2\n"
        f"{EPOCHS}    train()\n",
    ),
}


@pytest.mark.parametrize(("code", "source"), REFUSED.values(), ids=REFUSED)
def test_refused_at_its_line(code: str, source: str) -> None:
    text = script(source)
    (here,) = [n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# here")]
    with pytest.raises(Refuse) as caught:
        nest(text)
    said = caught.value.diagnostic
    assert (said.code, said.span.first) == (code, here), said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("range(3)", True),
        ("trange(3)", True),
        ("tqdm(range(3))", True),
        ("tqdm(loader)", False),
        ("loader", False),
        ("enumerate(range(3))", False),
    ],
)
def test_is_range(text: str, expected: bool) -> None:
    assert is_range(ast.parse(text, mode="eval").body) is expected


@pytest.mark.parametrize(("text", "expected"), [("__name__ == '__main__'", True), ("args.train", False)])
def test_is_main_guard(text: str, expected: bool) -> None:
    assert is_main_guard(ast.parse(f"if {text}: pass").body[0]) is expected
