"""Scripts built on an Accelerator: the plain loop that they are in one process, before and after."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
from pathlib import Path

import pytest

from torchlift_convert.api import convert
from torchlift_convert.types import FateKind, Optimization, Options, Result, Status, Target

HEAD = """\
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

torch.manual_seed(0)
"""
DATA = """\
data = TensorDataset(torch.randn(44, 4), torch.randn(44, 1))
loader = DataLoader(data, batch_size=8, shuffle=True)
test_loader = DataLoader(data, batch_size=16)
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
"""
PREPARE = """\
model, optimizer, loader, test_loader, scheduler = accelerator.prepare(
    model, optimizer, loader, test_loader, scheduler
)
"""
TRAIN = """\
for epoch in range(3):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        accelerator.backward(loss)
        optimizer.step()
        scheduler.step()
    accelerator.print(epoch, loss.item())
"""
SHOW = "print(sum(p.double().sum().item() for p in model.parameters()))\n"
PLAIN = HEAD + "accelerator = Accelerator()  # one of them\n" + DATA + PREPARE + TRAIN + SHOW


def _run(code: str, folder: Path) -> list[str]:
    folder.mkdir()
    here = os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
            exec(compile(code, str(folder / "train.py"), "exec"), {"__name__": "__main__"})
    finally:
        os.chdir(here)
    return [line for line in out.getvalue().splitlines() if line[:1].isalnum() or line[:1] == "-"]


def _converted(source: str, target: Target = Target.TORCHLIFT) -> Result:
    result = convert(source, Options(target=target))
    assert result.status is Status.CONVERTED, result.diagnostics
    return result


def _same(source: str, folder: Path) -> Result:
    """Before and after print the same, on both frameworks; skipped where accelerate is not installed."""
    result = _converted(source)
    assert result.code is not None and "accelerat" not in result.code.replace('accelerator="', "").replace(
        "accelerator=device", ""
    ).replace("accelerator=place", "")
    if importlib.util.find_spec("accelerate") is None:
        pytest.skip("accelerate is not installed: only the conversion was looked at")
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    before = _run(source, folder / "before")
    assert before
    assert _run(result.code, folder / "after") == before
    code = _converted(source, Target.LIGHTNING).code
    assert code is not None
    quiet = code.replace("logger=False", "logger=False, enable_progress_bar=False, enable_model_summary=False")
    assert _run(quiet, folder / "lightning") == before
    return result


def _refused(source: str, line: int, *words: str) -> None:
    result = convert(source, Options())
    assert result.status is Status.REFUSED
    (said,) = result.refusals
    assert (said.code, said.span.first) == ("TL502", line), said
    assert all(word in said.message + said.remedy for word in words), said


def _line(source: str, text: str) -> int:
    return next(n for n, line in enumerate(source.splitlines(), 1) if text in line)


def test_a_loop_of_an_accelerator_is_automatic(tmp_path: Path) -> None:
    result = _same(PLAIN, tmp_path)
    assert result.optimization is Optimization.AUTOMATIC
    assert result.datamodule is not None
    assert "# one of them" in (result.code or "")


def test_the_ledger_counts_the_statements_of_the_script() -> None:
    fates = {f.source.first: f for f in _converted(PLAIN).fates}
    assert fates[_line(PLAIN, "accelerator.backward")].kind is FateKind.TRAINER
    assert fates[_line(PLAIN, "= Accelerator()")].kind is FateKind.MERGED
    assert set(fates) == {n for n, line in enumerate(PLAIN.splitlines(), 1) if line.strip() and line != ")"} - {
        _line(PLAIN, "    model, optimizer")
    }


def test_clipping_gathering_saving_and_the_main_process(tmp_path: Path) -> None:
    body = TRAIN.replace(
        "        optimizer.step()\n",
        "        accelerator.clip_grad_norm_(model.parameters(), 1.0)\n        optimizer.step()\n",
    )
    tail = """\
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in test_loader:
            total += accelerator.gather(nn.functional.mse_loss(model(x), y)).item()
    if accelerator.is_main_process:
        print("total", total)
accelerator.wait_for_everyone()
if accelerator.is_main_process:
    accelerator.save(accelerator.unwrap_model(model).state_dict(), "model.pt")
    print("saved", torch.load("model.pt")["0.weight"].sum().item())
"""
    result = _same(HEAD + "accelerator = Accelerator()\n" + DATA + PREPARE + body + tail, tmp_path)
    assert "gradient_clip_val=1.0" in (result.code or "")
    assert (tmp_path / "after" / "model.pt").exists()


def test_functions_that_take_the_accelerator(tmp_path: Path) -> None:
    functions = "def train(accelerator, model, loader, optimizer, scheduler):\n"
    functions += "".join(f"    {line}\n" for line in TRAIN.splitlines())
    call = "train(accelerator, model, loader, optimizer, scheduler)\n"
    _same(HEAD + functions + "accelerator = Accelerator(cpu=True)\n" + DATA + PREPARE + call + SHOW, tmp_path)


def test_the_script_s_own_name_for_the_device(tmp_path: Path) -> None:
    made = "accelerator = Accelerator()\ndevice = accelerator.device\n"
    body = TRAIN.replace("model(x), y", "model(x.to(device)), y.to(device)")
    result = _same(HEAD + made + DATA + PREPARE + body + SHOW, tmp_path)
    assert (result.code or "").count("device = torch.device(") == 1


def test_the_device_has_another_name_where_that_is_taken(tmp_path: Path) -> None:
    source = HEAD + 'device = "mine"\naccelerator = Accelerator()\n' + DATA + PREPARE + TRAIN + "print(device)\n" + SHOW
    _same(source, tmp_path)


def test_accumulation_steps_without_accumulate_divide_the_loss(tmp_path: Path) -> None:
    _same(PLAIN.replace("Accelerator()", "Accelerator(gradient_accumulation_steps=4)"), tmp_path)


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ('mixed_precision="bf16"', "mixed precision"),
        ('log_with="wandb"', "log_with"),
        ("dataloader_config=None", "dataloader_config"),
        ("step_scheduler_with_optimizer=False", "scheduler"),
    ],
)
def test_what_the_accelerator_is_made_with(option: str, word: str) -> None:
    source = PLAIN.replace("Accelerator()", f"Accelerator({option})")
    _refused(source, _line(source, "= Accelerator("), word)


@pytest.mark.parametrize("call", ["accelerator.save_state()", "accelerator.log({})", "print(accelerator)"])
def test_what_a_plain_loop_has_no_word_for(call: str) -> None:
    source = PLAIN + call + "\n"
    _refused(source, _line(source, call))


def test_a_loader_whose_data_draws_is_told_of_its_look_ahead() -> None:
    noisy = """\
class Noisy(Dataset):
    def __len__(self):
        return 44

    def __getitem__(self, i):
        return torch.randn(4), torch.randn(1)


data = Noisy()
"""
    source = HEAD + "accelerator = Accelerator()\n" + noisy + DATA.partition("\n")[2] + PREPARE + TRAIN + SHOW
    _refused(source, _line(source, "loader = DataLoader"), "one batch ahead", "workers")


def test_a_dataset_of_the_script_that_draws_nothing(tmp_path: Path) -> None:
    still = """\
class Still(Dataset):
    def __init__(self):
        self.x, self.y = torch.randn(44, 4), torch.randn(44, 1)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


data = Still()
"""
    _same(HEAD + "accelerator = Accelerator()\n" + still + DATA.partition("\n")[2] + PREPARE + TRAIN + SHOW, tmp_path)


def test_two_accelerators_and_one_in_an_attribute() -> None:
    two = PLAIN + "accelerator = Accelerator()\n"
    _refused(two, _line(two, "= Accelerator()"), "once")
    attribute = "class Config:\n    pass\n\n\nconfig = Config()\nconfig.accelerator = Accelerator()\n"
    attribute += "accelerator = config.accelerator\n"
    kept = HEAD + attribute + DATA + PREPARE + TRAIN
    _refused(kept, _line(kept, "= Accelerator()"), "once")


def test_a_class_of_that_name_that_is_not_accelerate_s_is_left_alone() -> None:
    own = PLAIN.replace("from accelerate import Accelerator\n", "class Accelerator:\n    pass\n")
    result = convert(own, Options())
    assert all(d.code != "TL502" for d in result.diagnostics)


def test_the_random_state_is_that_of_plain_torch(tmp_path: Path) -> None:
    _same(PLAIN + "print(torch.rand(1).item(), torch.initial_seed())\n", tmp_path)


ACCUMULATE = """\
for epoch in range(3):
    model.train()
    for x, y in loader:
        with accelerator.accumulate(model):
            loss = nn.functional.mse_loss(model(x), y)
            accelerator.backward(loss)
            # clip what was gathered
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            # and on
            scheduler.step()
            optimizer.zero_grad()
    accelerator.print(epoch, loss.item(), scheduler.get_last_lr())
"""


def _accumulating(loop: str, steps: str = "4") -> str:
    return HEAD + f"accelerator = Accelerator(gradient_accumulation_steps={steps})\n" + DATA + PREPARE + loop + SHOW


@pytest.mark.parametrize("steps", ["1", "2", "4", "9"])
def test_accumulating_steps_at_each_kth_batch_and_the_last(steps: str, tmp_path: Path) -> None:
    result = _same(_accumulating(ACCUMULATE, steps), tmp_path)
    assert "# and on" in (result.code or "")


def test_gradients_cleared_at_the_head_of_the_block_are_lost_as_before(tmp_path: Path) -> None:
    loop = ACCUMULATE.replace("            optimizer.zero_grad()\n", "").replace(
        "            loss = nn", "            optimizer.zero_grad()\n            loss = nn"
    )
    _same(_accumulating(loop), tmp_path)


def test_the_script_counts_its_batches_itself(tmp_path: Path) -> None:
    loop = ACCUMULATE.replace("for x, y in loader", "for n, (x, y) in enumerate(loader)")
    loop += "    print(n)\n"
    _same(_accumulating(loop), tmp_path)


def test_accumulating_in_a_function(tmp_path: Path) -> None:
    function = "def train(accelerator, model, loader, optimizer, scheduler):\n"
    function += "".join(f"    {line}\n" for line in ACCUMULATE.splitlines())
    source = _accumulating("train(accelerator, model, loader, optimizer, scheduler)\n")
    _same(source.replace("accelerator = ", function + "\n\naccelerator = "), tmp_path)


def test_the_condition_behind_the_block_is_that_of_its_entry(tmp_path: Path) -> None:
    loop = ACCUMULATE.replace(
        "    accelerator.print(epoch",
        '        if accelerator.sync_gradients:\n            print("step")\n    print(epoch',
    )
    _same(_accumulating(loop), tmp_path)


@pytest.mark.parametrize(
    ("now", "then", "line"),
    [
        ("            loss = nn", "            if epoch > 1:\n                break\n            loss = nn", "break"),
        (
            "            optimizer.step()\n",
            "            if epoch:\n                optimizer.step()\n",
            "  optimizer.step()",
        ),
        ("        with acc", "        optimizer.zero_grad()\n        with acc", "optimizer.zero_grad()"),
        ("if accelerator.sync_gradients:", "if accelerator.sync_gradients and epoch:", "sync_gradients"),
        ("in loader:", "in list(loader):", "list(loader)"),
    ],
)
def test_batches_that_cannot_be_counted(now: str, then: str, line: str) -> None:
    assert now in ACCUMULATE
    source = _accumulating(ACCUMULATE.replace(now, then))
    _refused(source, _line(source, line))


def test_an_optimizer_by_another_name_in_a_function_is_refused() -> None:
    function = "def train(accelerator, model, loader, opt, scheduler):\n"
    function += "".join(f"    {line}\n" for line in ACCUMULATE.replace("optimizer", "opt").splitlines())
    source = _accumulating("train(accelerator, model, loader, optimizer, scheduler)\n")
    source = source.replace("accelerator = ", function + "\n\naccelerator = ")
    _refused(source, _line(source, "opt.step()"), "waits")


def test_a_scheduler_that_counts_the_batches_between_is_refused() -> None:
    source = _accumulating(ACCUMULATE).replace(
        "StepLR(optimizer, 4, 0.5)", "OneCycleLR(optimizer, 0.1, total_steps=20)"
    )
    _refused(source, _line(source, "scheduler.step()"), "counts")


@pytest.mark.parametrize(
    "line", ['print("get", i)', "seen.append(i)", "seen[i] = 1", "x = torch.rand(1)", "x = unknown(i)"]
)
def test_a_dataset_whose_items_act_shows_the_look_ahead(line: str) -> None:
    acting = f"""\
seen = []


class Acting(Dataset):
    def __len__(self):
        return 44

    def __getitem__(self, i):
        {line}
        return torch.ones(4), torch.ones(1)


data = Acting()
"""
    source = HEAD + "accelerator = Accelerator()\n" + acting + DATA.partition("\n")[2] + PREPARE + TRAIN + SHOW
    _refused(source, _line(source, "loader = DataLoader"), "one batch ahead")


def test_one_process_is_told_of() -> None:
    assert any("one process" in d.message for d in _converted(PLAIN).diagnostics)


def test_a_print_of_the_script_is_not_the_accelerator_s() -> None:
    source = PLAIN.replace("accelerator = ", "def print(*what):\n    pass\n\n\naccelerator = ", 1)
    _refused(source, _line(source, "accelerator.print"), "builtin")
