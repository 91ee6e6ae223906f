"""A script with local imports converts as if all stood in one file, and its modules stay as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from torchlift_convert.types import Optimization, Status

sys.path.insert(0, str(Path(__file__).parent))
from projects import DATA, ENGINE, MODELS, PROJECT, SCRIPT, UTILS, converted, same


def code_of(files: dict[str, str], folder: Path, script: str = "train.py") -> str:
    result = same(files, folder, script)
    assert result.code is not None
    return result.code


def test_a_loop_in_a_helper_module_becomes_hooks(tmp_path: Path) -> None:
    result = same(PROJECT, tmp_path)
    assert result.code is not None
    assert result.optimization is Optimization.AUTOMATIC
    assert result.datamodule is not None
    assert "def validation_step" in result.code
    assert "# how far off" in result.code


def test_the_script_imports_what_the_hooks_need_and_no_more(tmp_path: Path) -> None:
    code = code_of(PROJECT, tmp_path)
    assert "from engine import EVERY\n" in code
    assert "from utils import AverageMeter, accuracy\n" in code
    assert "import torch.nn.functional as F\n" in code
    assert "train_one_epoch" not in code
    assert "class Net(" not in code


def test_no_file_changes(tmp_path: Path) -> None:
    converted(PROJECT, tmp_path)
    assert (tmp_path / "engine.py").read_text() == ENGINE.lstrip("\n")


def test_fates_and_places_name_the_module(tmp_path: Path) -> None:
    result = converted(PROJECT, tmp_path)
    places = {b.source: (b.file, b.span.first) for b in result.became}
    assert places["the batch loop"] == ("engine.py", 12)
    assert places["the epoch loop"] == ("", 13)
    moved = [f for f in result.fates if f.file == "engine.py"]
    assert {f.source.first for f in moved} >= {11, 14, 18}
    assert not [f for f in result.fates if f.file not in ("", "engine.py")]


def test_a_refusal_names_the_module_and_its_line(tmp_path: Path) -> None:
    engine = ENGINE.replace("    return meter.avg", "    if meter.avg > 3:\n        return 0.0\n    return meter.avg")
    result = converted(PROJECT | {"engine.py": engine}, tmp_path)
    assert result.status is Status.REFUSED
    (refusal,) = result.refusals
    assert refusal.file == "engine.py"
    assert refusal.span.first == 22


@pytest.mark.parametrize(
    "imports, use",
    [
        ("import engine\n", "engine."),
        ("import engine as E\n", "E."),
        ("from engine import *\n", ""),
        ("from engine import train_one_epoch as fit_epoch, evaluate as check\n", None),
    ],
)
def test_the_ways_to_import(imports: str, use: str | None, tmp_path: Path) -> None:
    script = SCRIPT.replace("from engine import evaluate, train_one_epoch\n", imports)
    if use is None:
        script = script.replace("train_one_epoch(", "fit_epoch(").replace("evaluate(", "check(")
    else:
        script = script.replace("train_one_epoch(", f"{use}train_one_epoch(").replace("evaluate(", f"{use}evaluate(")
    assert "def validation_step" in code_of(PROJECT | {"train.py": script}, tmp_path)


def test_packages_relative_imports_and_what_an_init_passes_on(tmp_path: Path) -> None:
    files = {
        "lib/__init__.py": "from .engine import *\nfrom . import data\n",
        "lib/data.py": DATA,
        "lib/engine.py": ENGINE.replace("from utils", "from .tools.utils"),
        "lib/tools/__init__.py": "",
        "lib/tools/utils.py": UTILS,
        "lib/models.py": MODELS,
        "train.py": SCRIPT.replace("from data import get_loaders", "import lib\nfrom lib import models")
        .replace("from engine import", "from lib import")
        .replace("from models import Net\n", "")
        .replace("get_loaders(", "lib.data.get_loaders(")
        .replace("Net(", "models.Net("),
    }
    code = code_of(files, tmp_path)
    assert "from lib.tools.utils import AverageMeter, accuracy\n" in code
    assert "class LitNet(" in code
    assert "models.Net(16)" in code
    assert "lib.data.get_loaders(8)" in code


def test_a_function_that_others_call_too_stays_imported(tmp_path: Path) -> None:
    script = SCRIPT.replace("    print(sum(", '    print("at the end", evaluate(model, test_loader))\n    print(sum(')
    code = code_of(PROJECT | {"train.py": script}, tmp_path)
    assert "from engine import evaluate\n" in code


def test_the_whole_training_in_a_helper_module_comes_to_the_script(tmp_path: Path) -> None:
    """What calls the loop, and what is called by it, with the names of its module."""
    fit = """


def fit(model, train_loader, test_loader, epochs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(epochs):
        loss = train_one_epoch(model, train_loader, optimizer, epoch)
        acc = evaluate(model, test_loader)
        print("epoch", epoch, f"{loss:.6f}", f"{acc:.6f}")
    return model
"""
    script = """
import torch
from data import get_loaders
from engine import fit
from models import Net

torch.manual_seed(0)
train_loader, test_loader = get_loaders(8)
model = fit(Net(16), train_loader, test_loader, 3)
print(sum(p.sum().item() for p in model.parameters()))
"""
    code = code_of(PROJECT | {"engine.py": ENGINE + fit, "train.py": script}, tmp_path)
    assert "def fit(" in code
    assert "def validation_step" in code


NAMES = """
import torch

from data import get_loaders
from engine import evaluate, train_one_epoch
from models import Net

EVERY = 100
accuracy = "a text of the script"


def AverageMeter():
    return "not the meter"


torch.manual_seed(0)
train_loader, test_loader = get_loaders(8)
model = Net(16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
F = 3
for epoch in range(2):
    loss = train_one_epoch(model, train_loader, optimizer, epoch)
    acc = evaluate(model, test_loader)
    print("epoch", epoch, f"{loss:.6f}", f"{acc:.6f}", EVERY, accuracy, AverageMeter(), F)
"""


def test_names_that_the_script_gives_to_something_else(tmp_path: Path) -> None:
    code = code_of(PROJECT | {"train.py": NAMES}, tmp_path)
    assert "from engine import EVERY as engine_EVERY\n" in code


def test_a_variable_that_its_module_rebinds_is_read_where_it_lives(tmp_path: Path) -> None:
    engine = ENGINE + "\n\ndef set_every(value):\n    global EVERY\n    EVERY = value\n"
    script = SCRIPT.replace("train_one_epoch\n", "set_every, train_one_epoch\n").replace(
        "        acc =", "        set_every(epoch + 1)\n        acc ="
    )
    code = code_of(PROJECT | {"engine.py": engine, "train.py": script}, tmp_path)
    assert "engine.EVERY" in code


def test_a_followed_function_that_rebinds_its_module_is_refused(tmp_path: Path) -> None:
    engine = ENGINE.replace("    meter = Av", "    global EVERY\n    EVERY = 3\n    meter = Av")
    result = converted(PROJECT | {"engine.py": engine}, tmp_path)
    (refusal,) = result.refusals
    assert (refusal.code, refusal.file, refusal.span.first) == ("TL107", "engine.py", 10)


def test_a_module_that_acts_while_it_is_imported_stays_imported(tmp_path: Path) -> None:
    engine = ENGINE + '\ntorch.manual_seed(5)\nprint("seeded")\n'
    script = SCRIPT.replace("    torch.manual_seed(0)\n", "")
    code = code_of(PROJECT | {"engine.py": engine, "train.py": script}, tmp_path)
    assert "from engine import" in code and "train_one_epoch" in code


def test_a_module_that_something_patches_is_not_what_it_says(tmp_path: Path) -> None:
    script = SCRIPT.replace("from models import Net\n", "from models import Net\nimport engine\n").replace(
        "def main", "engine.accuracy = lambda output, target: 0.5\n\n\ndef main"
    )
    code = code_of(PROJECT | {"train.py": script}, tmp_path)
    assert "engine.accuracy(" in code


def test_nothing_outside_the_project_is_read(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "engine.py").write_text(ENGINE)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "engine.py").symlink_to(tmp_path / "outside" / "engine.py")
    files = {k: v for k, v in PROJECT.items() if k != "engine.py"}
    assert converted(files, inside).status is Status.NO_LOOP


def test_a_file_that_only_defines_things_is_no_script(tmp_path: Path) -> None:
    files = PROJECT | {"again.py": "from engine import train_one_epoch\n\n\ndef f():\n    train_one_epoch()\n"}
    assert converted(files, tmp_path, "again.py").status is Status.NO_LOOP


def test_variables_that_something_else_counts(tmp_path: Path) -> None:
    """``from utils import calls`` is a copy of the value at that time; ``utils.calls`` is the variable."""
    files = PROJECT | {
        "utils.py": UTILS + "\n\ncalls = 0\n\n\ndef bump():\n    global calls\n    calls += 1\n    return calls\n",
        "engine.py": ENGINE.replace("import AverageMeter, accuracy", "import AverageMeter, accuracy, bump, calls")
        .replace("        meter.update", "        n = bump()\n        meter.update")
        .replace("print(epoch, i,", "print(epoch, i, n, calls,"),
        "train.py": SCRIPT.replace("import torch\n", "import torch\nimport utils\n").replace(
            'print("epoch"', 'print(utils.calls, "epoch"'
        ),
    }
    assert "from engine import EVERY, calls\n" in code_of(files, tmp_path)


def test_options_and_constants_of_other_files(tmp_path: Path) -> None:
    files = PROJECT | {
        "config.py": "import torch\n\nDEVICE = torch.device('cpu')\nEPOCHS, LR = 3, 0.1\n",
        "options.py": "import argparse\n\nparser = argparse.ArgumentParser()\n"
        'parser.add_argument("--hidden", type=int, default=16)\nargs = parser.parse_args([])\n',
        "train.py": SCRIPT.replace("import torch\n", "import torch\nfrom config import *\nfrom options import args\n")
        .replace("range(3)", "range(EPOCHS)")
        .replace("lr=0.1", "lr=LR")
        .replace("Net(16)", "Net(args.hidden).to(DEVICE)"),
    }
    code = code_of(files, tmp_path)
    assert "max_epochs=EPOCHS" in code
    assert "args.hidden" in code


def test_data_that_a_module_makes_while_it_is_imported(tmp_path: Path) -> None:
    files = PROJECT | {
        "data.py": DATA + "\n\ntrain_loader, test_loader = get_loaders(8)\n",
        "train.py": SCRIPT.replace("import get_loaders", "import test_loader, train_loader").replace(
            "    train_loader, test_loader = get_loaders(8)\n", ""
        ),
    }
    assert "trainer.fit(lit_model, train_loader, test_loader)" in code_of(files, tmp_path)


def test_the_script_is_only_the_way_in(tmp_path: Path) -> None:
    """Every function from the script down to the loop comes along."""
    run = SCRIPT.replace('if __name__ == "__main__":\n    main()\n', "").replace("def main", "def go")
    files = PROJECT | {
        "run.py": run + '\n\ndef main():\n    print("start")\n    go()\n    print("end")\n',
        "train.py": 'import run\n\nif __name__ == "__main__":\n    run.main()\n',
    }
    code = code_of(files, tmp_path)
    assert "def go():" in code and "def main():" in code and "import run" not in code


REPLACED = """
import torch

from data import get_loaders
from engine import evaluate, train_one_epoch
from models import Net

_evaluate = evaluate


def evaluate(model, loader):
    torch.rand(1)
    return _evaluate(model, loader)


torch.manual_seed(0)
train_loader, test_loader = get_loaders(8)
model = Net(16)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    loss = train_one_epoch(model, train_loader, optimizer, epoch)
    print("epoch", epoch, f"{loss:.6f}", f"{evaluate(model, test_loader):.6f}")
"""


def test_a_function_out_of_sight_may_leave_the_model_in_evaluation_mode(tmp_path: Path) -> None:
    assert "self.model.train()" in code_of(PROJECT | {"train.py": REPLACED}, tmp_path)


def test_a_file_with_a_name_of_the_standard_library_is_not_known(tmp_path: Path) -> None:
    engine = ENGINE.replace("from utils", "from types import wait\nfrom utils").replace(
        "        meter.up", "        wait()\n        meter.up"
    )
    files = PROJECT | {"types.py": "def wait():\n    pass\n", "engine.py": engine}
    code = converted(files, tmp_path).code
    assert code is not None
    assert code.index("        wait()") > code.index("def on_train_batch_end")


def test_a_class_that_goes_through_its_data_while_it_is_made(tmp_path: Path) -> None:
    """An iterator over a DataLoader draws, wherever it is made: the data is made where it was, before the model."""
    data = DATA + (
        "\n\nclass Data:\n    def __init__(self, n):\n        self.train, self.test = get_loaders(n)\n"
        "        self.mean = self._mean()\n\n    def _mean(self):\n"
        "        whole = DataLoader(self.train.dataset)\n        return torch.cat([x for x, _ in whole]).mean()\n"
    )
    script = SCRIPT.replace("import get_loaders", "import Data").replace(
        "    train_loader, test_loader = get_loaders(8)\n",
        "    made = Data(8)\n    train_loader, test_loader = made.train, made.test\n",
    )
    files = PROJECT | {"data.py": data, "train.py": script}
    result = converted(files, tmp_path)
    if result.status is Status.CONVERTED:
        same(files, tmp_path)
    else:
        assert result.refusals[0].code == "TL702"


def test_an_import_and_a_statement_on_one_line(tmp_path: Path) -> None:
    script = NAMES.replace("import torch\n", 'import torch; print("one line")\n', 1)
    assert code_of(PROJECT | {"train.py": script}, tmp_path).count("one line") == 1


def test_a_function_of_another_file_that_the_trainer_replaces_whole(tmp_path: Path) -> None:
    step = "def step(optimizer, loss):\n    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()\n"
    body = "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n"
    engine = ENGINE.replace(body, "        step(optimizer, loss)\n").replace(
        "from utils", "from steps import step\nfrom utils"
    )
    result = same(PROJECT | {"steps.py": step, "engine.py": engine}, tmp_path)
    assert [f.where for f in result.fates if f.file == "steps.py" and f.source.first == 1] == ["hooks of LitNet"]


def test_a_parameter_that_becomes_a_bar_around_itself_comes_to_an_end(tmp_path: Path) -> None:
    engine = ENGINE.replace("    meter = Av", "    loader = tqdm(loader)\n    meter = Av").replace(
        "import torch\n", "import torch\nfrom tqdm import tqdm\n", 1
    )
    files = PROJECT | {"engine.py": engine}
    if converted(files, tmp_path).status is Status.CONVERTED:
        same(files, tmp_path)
