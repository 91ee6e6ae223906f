"""What the tracer sees of real runs, in torch's own terms, whoever calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from torchlift.verify.compare import compare
from torchlift.verify.records import Trace
from torchlift.verify.run import Run
from torchlift.verify.run import trace as trace_run
from torchlift.verify.verdict import Answer

Traced = Callable[..., Trace]

HEAD = """
import torch, torch.nn as nn, sys, os
torch.manual_seed(0)
X, y = torch.randn(12, 3), torch.randn(12, 1)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def step():
    optimizer.zero_grad()
    loss = ((model(X) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss.item()
"""


def lines(run: Trace) -> list[str]:
    return [event.value for event in run.of("print")]


def test_each_step_with_its_loss_rate_and_state(run: Traced) -> None:
    found = run(HEAD + "for _ in range(3): print(step())\n")
    assert len(found.steps) == 3
    assert [str(event.number) for event in found.of("backward")] == lines(found)
    assert [float.fromhex(rate) for step in found.steps for rate in step.lrs] == [0.1] * 3
    assert len({step.params for step in found.steps} | {found.weights[0].initial}) == 4
    assert found.weights[0].final == found.steps[-1].params
    assert found.weights[0].labels == ("Linear.weight [1, 3]", "Linear.bias [1]")
    assert [name for name, _ in found.steps[0].rng] == ["torch", "python", "numpy"]
    assert str(found.of("backward")[0].site) == "train.py:10: loss.backward()"


def test_lbfgs_calls_backward_several_times_a_step(run: Traced) -> None:
    source = """
    import torch
    torch.manual_seed(0)
    w = torch.randn(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], lr=0.5, max_iter=5)
    def closure():
        optimizer.zero_grad()
        loss = ((w - 1) ** 4).sum()
        loss.backward()
        return loss
    for _ in range(2):
        optimizer.step(closure)
    """
    found = run(source)
    assert len(found.steps) == 2
    assert len(found.of("backward")) > 4
    changed = run(source.replace("max_iter=5", "max_iter=4"))
    assert compare(found, changed).differences[0].category == "number of losses"


def test_weights_updated_by_hand_count_each_backward_as_a_step(run: Traced) -> None:
    source = """
    import torch
    torch.manual_seed(0)
    w, b = torch.randn(3, requires_grad=True), torch.zeros(1, requires_grad=True)
    for _ in range(4):
        loss = ((w * 2 + b) ** 2).sum()
        loss.backward()
        with torch.no_grad():
            for p in (w, b):
                p -= 0.01 * p.grad
                p.grad = None
    """
    found = run(source)
    assert len(found.steps) == 4
    assert len(found.weights[0].initial) == 2
    assert compare(found, run(source)).answer is Answer.EXACT
    assert compare(found, run(source.replace("0.01", "0.010000001"))).differences[0].step == 1
    last = source.rstrip() + "\n    with torch.no_grad(): w += 1e-6\n"
    assert compare(found, run(last)).differences[0].category == "final parameter"
    assert len(run(source, steps=2).steps) == 2


def test_a_step_inside_a_step_is_part_of_it(run: Traced) -> None:
    found = run(
        HEAD
        + """
class Twice(torch.optim.Optimizer):
    def __init__(self, params, base):
        super().__init__(params, {})
        self.base = base
    def step(self, closure=None):
        self.base.step()
        self.base.step()
twice = Twice(model.parameters(), optimizer)
for _ in range(2):
    model(X).sum().backward()
    twice.step()
"""
    )
    assert [event.what for event in found.of("step")] == ["Twice", "Twice"]


def test_buffers_frozen_parts_and_copies_are_part_of_the_state(run: Traced) -> None:
    source = (
        HEAD
        + """
import copy
teacher = copy.deepcopy(model).requires_grad_(False)
norm = nn.BatchNorm1d(3)
for _ in range(2):
    norm(X)
    step()
    CHANGE
"""
    )
    same = source.replace("CHANGE", "nn.CrossEntropyLoss(weight=torch.ones(2))")
    found = run(source.replace("CHANGE", ""))
    names = [name for name, _ in found.steps[0].rest]
    assert names == ["bias", "bias", "num_batches_tracked", "running_mean", "running_var", "weight", "weight"]
    assert compare(found, run(same)).answer is Answer.EXACT
    other = compare(found, run(source.replace("CHANGE", "teacher.weight.data[0, 0] += 1e-7")))
    assert (other.differences[0].category, other.differences[0].step) == ("other state", 1)


def test_several_optimizers_are_numbered_by_their_first_step(run: Traced) -> None:
    found = run(
        HEAD
        + """
other = torch.optim.Adam(nn.Linear(3, 1).parameters())
for i in range(2):
    step()
    other.step()
"""
    )
    assert [step.optimizer for step in found.steps] == [0, 1, 0, 1]
    assert [weights.cls for weights in found.weights] == ["SGD", "Adam"]


def test_workers_of_a_loader_do_not_disturb(run: Traced) -> None:
    source = (
        HEAD
        + """
from torch.utils.data import DataLoader, TensorDataset
for epoch in range(2):
    for a, b in DataLoader(TensorDataset(X, y), batch_size=4, shuffle=True, num_workers=2):
        loss = ((model(a) - b) ** 2).mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
    print(epoch)
"""
    )
    found = run(source)
    assert len(found.steps) == 6
    assert lines(found) == ["0", "1"]
    assert [event.what for event in found.of("iter")] == ["DataLoader over TensorDataset"] * 2
    assert compare(found, run(source)).answer is Answer.EXACT


def test_what_is_printed_and_what_is_a_bar(run: Traced) -> None:
    found = run(
        HEAD
        + """
from tqdm import tqdm
from rich.progress import track
for i in tqdm(range(2), file=sys.stdout):
    step()
    tqdm.write(f"written {i}", file=sys.stdout)
for i in track(range(2)):
    pass
print("a", end="")
print("b", flush=True)
sys.stdout.write("c\\nd\\n")
print("to stderr", file=sys.stderr)
os.system("echo around")
sys.stdout.buffer.write(b"bytes\\n")
import io, contextlib
with contextlib.redirect_stdout(io.StringIO()):
    print("hidden")
print("last", end="")
"""
    )
    assert lines(found) == ["written 0", "written 1", "ab", "c", "d", "last"]
    assert sorted(found.around) == ["around", "bytes"]
    assert "to stderr" in found.stderr
    assert [str(event.site) for event in found.of("print")][2] == 'train.py:22: print("b", flush=True)'


def test_saved_objects_by_what_they_hold(run: Traced) -> None:
    source = (
        HEAD
        + """
import io
step()
torch.save({"model": model.state_dict(), "n": 1}, "a.pt")
with open("b.pt", "wb") as f:
    torch.save([1, 2], f)
torch.save(1, io.BytesIO())
"""
    )
    found = run(source)
    assert [event.what for event in found.of("save")] == ["a.pt", "b.pt", "a buffer"]
    assert [file.path for file in found.files] == ["a.pt", "b.pt"]
    assert found.files[0].digest == f"object {found.of('save')[0].value}"
    other = run(source.replace('"n": 1', '"n": 2'))
    assert {d.category for d in compare(found, other).differences} == {"saved object", "file"}


def test_scalars_given_to_a_writer(run: Traced) -> None:
    source = (
        HEAD
        + """
from torch.utils.tensorboard import SummaryWriter
with SummaryWriter("runs") as writer:
    for i in range(2):
        writer.add_scalar("loss", step(), i)
    writer.add_scalars("both", {"a": 1.0}, 0)
    writer.add_histogram("w", model.weight, 0)
"""
    )
    found = run(source)
    assert [event.what for event in found.of("scalar")][:2] == [
        "add_scalar('loss', step 0)",
        "add_scalar('loss', step 1)",
    ]
    assert len(found.of("scalar")) == 4
    assert found.files == ()  # event files hold clocks
    keyword = source.replace("step(), i)", "scalar_value=step(), global_step=i)")
    assert compare(found, run(keyword)).answer is Answer.EXACT
    assert compare(found, run(source.replace("step(), i)", "step(), i + 1)"))).differences[0].category == "scalar"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("", "finished"),
        ("sys.exit(0)", "finished"),
        ("sys.exit(3)", "exited with code 3"),
        ("sys.exit('no')", "exited with code 1"),
        ("os._exit(5)", "exited with code 5"),
        ("raise ValueError('no')", "raised ValueError: no"),
        ("os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("optimizer.step(lambda: 1 / 0)", "raised ZeroDivisionError: division by zero"),
    ],
)
def test_how_it_ends(run: Traced, end: str, said: str) -> None:
    found = run(HEAD + f"step()\n{end}\n")
    assert str(found.outcome) == said
    assert len(found.steps) == 1
    if found.outcome.kind == "raised":
        assert found.outcome.site is not None and found.outcome.site.line == 14


def test_exit_functions_and_threads_of_the_script_still_count(run: Traced) -> None:
    found = run(
        HEAD
        + """
import atexit, threading
atexit.register(print, "bye")
thread = threading.Thread(target=lambda: [step(), print("thread")])
thread.start()
log = open("log.txt", "w")
log.write("never closed")
"""
    )
    assert lines(found) == ["thread", "bye"]
    assert len(found.steps) == 1
    assert [(file.path, file.text) for file in found.files] == [("log.txt", "never closed")]


def test_arguments_and_main_are_as_python_gives_them(run: Traced) -> None:
    source = """
    import sys, os, __main__
    print(sys.argv, __name__, os.path.basename(__file__), sys.path[0] == os.getcwd())
    def f(): pass
    print(__main__.f is f, __doc__)
    """
    assert lines(run(source, "--x", "1")) == [
        "['train.py', '--x', '1'] __main__ train.py True",
        "True None",
    ]


def test_the_seed_reaches_every_generator(run: Traced) -> None:
    source = "import random, numpy, torch\nprint(random.random(), numpy.random.rand(), torch.rand(1).item())\n"
    assert lines(run(source)) == lines(run(source)) != lines(run(source, seed=1))


def test_a_limit_stops_before_the_next_step_with_everything_written(run: Traced) -> None:
    found = run(
        HEAD + "log = open('log.txt', 'w')\nfor i in range(9):\n    step(); print(i); log.write(f'{i}')\n", steps=3
    )
    assert found.outcome.kind == "bound"
    assert len(found.steps) == 3
    assert lines(found) == ["0", "1", "2"]
    assert found.files[0].text == "012"


def test_a_timeout_keeps_the_steps_that_were_made(run: Traced) -> None:
    found = run(HEAD + "step(); step(); step()\nwhile True: pass\n", timeout=2.0)
    assert found.outcome.kind == "timeout"
    assert len(found.steps) == 3


def test_the_users_folder_is_left_alone_and_each_run_starts_anew(run: Traced, folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "x.txt").write_text("original")
    source = (
        HEAD
        + """
print(os.path.exists("model.pt"), open("data/x.txt").read())
step()
torch.save(model.state_dict(), "model.pt")
open("data/x.txt", "w").write("changed")
"""
    )
    assert lines(run(source)) == lines(run(source)) == ["False original"]
    assert sorted(path.name for path in folder.rglob("*")) == ["data", "train.py", "x.txt"]
    assert (folder / "data" / "x.txt").read_text() == "original"


def test_files_beside_the_script_can_be_imported(run: Traced, folder: Path) -> None:
    (folder / "helper.py").write_text("def say():\n    print('helped')\n")
    found = run("import helper\nhelper.say()\n")
    assert lines(found) == ["helped"]
    assert str(found.of("print")[0].site) == "helper.py:2: print('helped')"


def test_a_fresh_process_sees_the_same_as_a_fork(run: Traced, folder: Path, tmp_path: Path) -> None:
    source = HEAD + "from torch import save\nfor i in range(3): print(step())\nsave(model, 'm.pt')\n"
    forked = run(source)
    fresh = trace_run(Run(folder / "train.py", folder, folder, timeout=60.0), scratch_root=tmp_path)
    assert fresh == replace(forked, stderr=fresh.stderr)
    assert forked.outcome.kind == "finished"


def test_an_exception_of_the_tracer_is_told_apart_from_the_scripts(run: Traced) -> None:
    found = run(HEAD + "step()\nfrom torchlift.verify import digest\ndigest.of_tensor(None)\n")
    assert found.outcome.kind == "tracer"
    assert "tracer" in compare(found, found).sentence


def test_a_search_path_inside_the_folder_leads_into_the_copy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "tool.py").write_text("print('tool')\n")
    (folder / "train.py").write_text("import tool\nprint(tool.__file__)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder / "lib"))
    found = trace_run(Run(folder / "train.py", folder, folder, timeout=60.0), scratch_root=tmp_path)
    assert lines(found) == ["tool", str(tmp_path / "folder" / "project" / "lib" / "tool.py")]
    assert [event.site.file for event in found.of("print") if event.site] == ["lib/tool.py", "train.py"]
