"""What keeps the loop readable and cheap: the depth of the stack, the calls of a step, silence, no waiting."""

from __future__ import annotations

import contextlib
import gc
import sys
import traceback
import tracemalloc
from collections import Counter
from types import FrameType
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import torchlift as L


def test_fit_reaches_training_step_in_few_frames_and_files(lab: Any) -> None:
    """At most 8 frames from ``fit`` to ``training_step`` through 4 files, the user's own included."""
    stacks = []

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        stacks.append(traceback.extract_stack())
        return self.loss(batch)

    trainer = L.Trainer(**lab.QUIET, max_epochs=1)
    trainer.fit(lab.classifier(L, training_step=training_step)(), lab.loader())
    frames = stacks[0]
    start = next(i for i, frame in enumerate(frames) if frame.name == "fit" and frame.filename.endswith("trainer.py"))
    path = [(frame.filename.rpartition("/")[2], frame.name) for frame in frames[start:]]
    assert len(path) <= 8, path
    assert len({file for file, _ in path}) <= 4, path
    assert [name for _, name in path][-4:] == ["fit", "train_epoch", "plain_step", "training_step"]


def calls_per_step(lab: Any, log: bool, evaluates: bool = False) -> float:
    """Calls of Python functions of the runtime per batch, counted by the interpreter."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and "torchlift" in frame.f_code.co_filename:
            calls[frame.f_code.co_qualname] += 1

    class Counting(L.Callback):
        def on_train_start(self, *args: Any) -> None:
            sys.setprofile(count)

        def on_train_end(self, *args: Any) -> None:
            sys.setprofile(None)

        on_validation_start, on_validation_end = on_train_start, on_train_end

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        if log:
            self.log("loss", loss, prog_bar=True)
        return loss

    methods: dict[str, Any] = {
        "training_step": training_step,
        "validation_step": lambda self, batch, i: self.loss(batch),
    }
    module = lab.classifier(L, **methods)()
    options = {**lab.QUIET, "enable_progress_bar": log}
    trainer = L.Trainer(**options, max_epochs=1, callbacks=[Counting()])
    batches = 200
    if evaluates:
        trainer.validate(module, lab.loader(batches * 4), verbose=False)
    else:
        trainer.fit(module, lab.loader(batches * 4))
    return sum(calls.values()) / batches


def test_python_calls_of_a_step(lab: Any) -> None:
    assert calls_per_step(lab, log=False) <= 8
    assert calls_per_step(lab, log=True) <= 13
    assert calls_per_step(lab, log=False, evaluates=True) <= 4


def test_nobody_reads_the_outputs_so_none_are_made(lab: Any) -> None:
    """A listener of ``on_train_batch_end`` gets a copy of the loss; the runtime's own callbacks do not look at it."""
    seen = []

    class Reading(L.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append(outputs["loss"])

    class Stopping(L.pytorch.callbacks.Timer):
        """Overrides a hook that says it ignores the outputs."""

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *args: Any) -> None:
            seen.append(outputs["loss"])
            super().on_train_batch_end(trainer, module, outputs, *args)

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        self.last = self.loss(batch)
        return self.last

    def reads(*callbacks: Any) -> bool:
        module = lab.classifier(L, training_step=training_step)()
        trainer = L.Trainer(**{**lab.QUIET, "enable_progress_bar": True}, max_steps=1, callbacks=list(callbacks))
        trainer.fit(module, lab.loader())
        if seen:
            assert seen[-1] is not module.last and torch.equal(seen[-1], module.last.detach())
        return trainer._run.hooks.reads_outputs

    assert not reads(L.pytorch.callbacks.Timer("00:00:01:00"))
    assert reads(Reading()) and reads(Stopping("00:00:01:00"))
    assert len(seen) == 2


class Counted(torch.optim.SGD):
    cleared = 0

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.cleared += 1
        super().zero_grad(set_to_none)


@pytest.mark.parametrize("where", ["class", "instance", "patched", "profiled"])
def test_a_zero_grad_that_somebody_sees_is_called(lab: Any, monkeypatch: Any, where: str) -> None:
    """torch's own may be left out, because all it does is to set every gradient to ``None``."""
    calls: list[Any] = []
    original = torch.optim.Optimizer.zero_grad

    def zero_grad(self: Any, set_to_none: bool = True) -> None:
        calls.append(self)
        original(self, set_to_none)

    def configure_optimizers(self: Any) -> Any:
        optimizer = (Counted if where == "class" else torch.optim.SGD)(self.parameters(), lr=0.1)
        if where == "instance":
            optimizer.zero_grad = zero_grad.__get__(optimizer)
        return optimizer

    if where == "patched":
        monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", zero_grad)
    module = lab.classifier(L, configure_optimizers=configure_optimizers)()
    trainer = L.Trainer(**lab.QUIET, max_steps=3)
    profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    with profile if where == "profiled" else contextlib.nullcontext():
        trainer.fit(module, lab.loader())
    if where == "profiled":
        calls += [one for one in profile.events() if one.name == "Optimizer.zero_grad#SGD.zero_grad"]
    assert len(calls) + getattr(trainer.optimizers[0], "cleared", 0) == 3


def test_standard_output_is_the_users(lab: Any, tmp_path: Any, monkeypatch: Any, capfd: Any) -> None:
    """With everything on (bar, summary, logger, checkpoints, tables of results) only the script prints."""
    monkeypatch.chdir(tmp_path)

    def on_train_epoch_end(self: Any) -> None:
        print("epoch", self.current_epoch)

    def test_step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("test_loss", self.loss(batch))

    module = lab.classifier(L, on_train_epoch_end=on_train_epoch_end, test_step=test_step)()
    trainer = L.Trainer(accelerator="cpu", max_epochs=2)
    trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
    trainer.validate(module, lab.loader(10, shuffle=False))
    trainer.test(module, lab.loader(10, shuffle=False))
    out, err = capfd.readouterr()
    assert out == "epoch 0\nepoch 1\n"
    assert "test_loss" in err and "max_epochs=2" in err


class Waits(TorchDispatchMode):
    """Counts the operations that make Python wait for a device's result."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            stack = "".join(traceback.format_stack())
            if "_next_index" not in stack:  # the sampler's own permutation
                self.seen.append(stack)
        return function(*args, **(kwargs or {}))


def test_logging_waits_for_nothing(lab: Any) -> None:
    """Until the epoch ends, no value that ``self.log`` took is read."""

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=True)
        self.log("largest", loss, on_epoch=True, reduce_fx="max")
        return loss

    waits = Waits()

    class Watching(L.Callback):
        def on_train_start(self, *args: Any) -> None:
            waits.__enter__()

        def on_train_epoch_end(self, *args: Any) -> None:
            waits.__exit__(None, None, None)

    def configure(self: Any) -> Any:  # Adam's own step count is a tensor that it reads
        return torch.optim.SGD(self.parameters(), lr=0.01)

    module = lab.classifier(L, training_step=training_step, configure_optimizers=configure)()
    trainer = L.Trainer(**lab.QUIET, max_epochs=1, gradient_clip_val=1.0, callbacks=[Watching()])
    trainer.fit(module, lab.loader())
    assert waits.seen == []
    assert trainer.callback_metrics["loss_epoch"] > 0


def test_memory_does_not_grow_with_steps(lab: Any, capsys: Any) -> None:
    """With a log and the bar, what Python holds after 10,000 steps is what it held after 1,000."""
    held = {}

    class Measuring(L.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx in (1_000, 9_999):
                gc.collect()
                held[batch_idx] = tracemalloc.get_traced_memory()[0]

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.weight * batch
            self.log("loss", loss, prog_bar=True)
            self.log("mean", loss, on_epoch=True)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.001)

    options = {**lab.QUIET, "enable_progress_bar": True}
    trainer = L.Trainer(**options, max_epochs=1, callbacks=[Measuring()])
    tracemalloc.start()
    try:
        trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(10_000), batch_size=None))
    finally:
        tracemalloc.stop()
    assert abs(held[9_999] - held[1_000]) < 20_000, held


def test_nothing_heavy_is_imported_for_a_plain_run(lab: Any, tmp_path: Any) -> None:
    import os
    import subprocess

    script = """
import sys, torch
import torchlift as L

class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 1)
    def training_step(self, batch, batch_idx):
        loss = self.net(batch).sum()
        self.log("loss", loss)
        return loss
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

options = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
L.Trainer(accelerator="cpu", max_epochs=1, **options).fit(Module(), torch.utils.data.DataLoader(torch.randn(4, 2)))
print([name for name in ("rich", "tensorboard", "torchmetrics", "yaml", "lightning") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("name", ["Callback", "LightningDataModule", "LightningModule", "Trainer", "seed_everything"])
def test_names_of_the_package(name: str) -> None:
    assert getattr(L, name) is getattr(L.pytorch, name)
    assert name in dir(L)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Trainerr"):
        L.Trainerr  # noqa: B018
