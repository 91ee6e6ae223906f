"""Checkpoints: the same contents as real lightning's, loadable by either, resumed alike; never half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from torchlift import checkpoint_io, position

MOMENTS = (
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_validation_batch_end",
    "on_validation_end",
    "on_train_epoch_end",
)


def with_scheduler(self: Any) -> Any:
    optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
    return [optimizer], [StepLR(optimizer, 1, 0.5)]


def saver(L: Any, moment: str, global_step: int) -> Any:
    """A callback that saves a checkpoint the first time this hook runs at or after this step."""

    def save(self: Any, trainer: Any, *args: Any) -> None:
        if trainer.global_step >= global_step and not trainer.sanity_checking and not self.saved:
            self.saved = True
            trainer.save_checkpoint("moment.ckpt")

    return type("Saver", (L.Callback,), {moment: save, "saved": False})()


def contents(path: str | Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def as_of_lightning(path: str | Path) -> dict[str, Any]:
    """Take out of a file what only this runtime writes; what is left, which real lightning could have written."""
    saved = contents(path)
    saved.pop(position.KEY, None)
    torch.save(saved, path)
    return saved


def make(lab: Any, L: Any) -> Any:
    """A module with hyperparameters; the same class on both runtimes but for its base."""

    def init(self: Any, width: int = 8, *, rate: float = 0.5) -> None:
        base.__init__(self)
        self.save_hyperparameters({"width": width, "rate": rate})

    base = lab.classifier(L, configure_optimizers=with_scheduler)
    return type("Module", (base,), {"__init__": init})


OPTIONS: dict[str, dict[str, Any]] = {
    "epochs": {"max_epochs": 3},
    "steps": {"max_steps": 18},
    "accumulated": {"max_epochs": 3, "accumulate_grad_batches": 2},
    "validated often": {"max_epochs": 3, "val_check_interval": 2},
}


@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_contents_and_resumption(differential: Any, lab: Any, moment: str, case: str) -> None:
    """A run that saves, and one that goes on from a file of Lightning's, do the same on both runtimes."""

    def experiment(L: Any, observed: Any) -> Any:
        options = {**lab.QUIET, **OPTIONS[case]}
        first = L.Trainer(**options, callbacks=[saver(L, moment, 5)])
        first.fit(make(lab, L)(), lab.loader(), lab.loader(10, shuffle=False))
        saved = as_of_lightning("moment.ckpt")
        module = lab.recording(make(lab, L), observed)()
        trainer = L.Trainer(**options, callbacks=[lab.recording_callback(L, observed, metrics=True)])
        torch.manual_seed(5)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False), ckpt_path="moment.ckpt")
        return module, trainer, [without_optional(saved), trainer.global_step, trainer.current_epoch]

    differential.same(experiment)


@pytest.mark.parametrize("case", ["epochs", "accumulated"])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_resuming_after_the_last_batch_of_an_epoch(differential: Any, lab: Any, case: str, epoch: int) -> None:
    """The epoch counts as done: neither runtime trains one epoch more."""

    def experiment(L: Any, observed: Any) -> Any:
        options = {**lab.QUIET, **OPTIONS[case]}
        batches = len(lab.loader())
        steps = epoch * -(-batches // options.get("accumulate_grad_batches", 1))
        first = L.Trainer(**options, callbacks=[saver(L, "on_train_batch_end", steps)])
        first.fit(make(lab, L)(), lab.loader(), lab.loader(10, shuffle=False))
        as_of_lightning("moment.ckpt")
        module = lab.recording(make(lab, L), observed)()
        trainer = L.Trainer(**options, callbacks=[lab.recording_callback(L, observed, metrics=True)])
        torch.manual_seed(5)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False), ckpt_path="moment.ckpt")
        return module, trainer, [first.global_step, trainer.global_step, trainer.current_epoch]

    before, after, epochs = differential.same(experiment).result
    assert (after, epochs) == (before, 3)


def without_optional(saved: dict[str, Any]) -> dict[str, Any]:
    """What must be equal. Lightning counts optimizer steps and gradient clearings as ready before they are done; the
    difference is over when they are, and both are set back when a run resumes."""
    kept = dict(saved)
    kept["loops"] = {name: dict(loop) for name, loop in saved["loops"].items()}
    progress = kept["loops"]["fit_loop"]["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    for counts in (progress["step"], progress["zero_grad"]):
        for part in counts.values():
            part.pop("ready")
    return kept


def test_each_runtime_loads_the_others(lab: Any, tmp_path: Path) -> None:
    """Weights, optimizer, scheduler and counters go over in both directions, to the same end; what only this runtime
    writes is passed over by Lightning."""
    ends = {}
    for writer, W in lab.RUNTIMES.items():
        path = tmp_path / f"{writer}.ckpt"
        torch.manual_seed(1)
        first = W.Trainer(**lab.QUIET, max_epochs=2)
        first.fit(make(lab, W)(), lab.loader())
        first.save_checkpoint(path)
        assert (position.KEY in contents(path)) == (writer == "torchlift")
        for reader in ("lightning", "torchlift"):
            if reader == "torchlift":
                as_of_lightning(path)
            R = lab.RUNTIMES[reader]
            torch.manual_seed(2)
            module, trainer = make(lab, R)(), R.Trainer(**lab.QUIET, max_epochs=4)
            trainer.fit(module, lab.loader(), ckpt_path=str(path))
            assert (trainer.current_epoch, trainer.global_step) == (4, 28)
            ends[writer, reader] = lab.told(module.state_dict())
            again = make(lab, R).load_from_checkpoint(path, width=9)
            assert lab.told(again.state_dict()) == lab.told(contents(path)["state_dict"])
            assert dict(again.hparams) == {"width": 9, "rate": 0.5}
    assert len({repr(end) for end in ends.values()}) == 1


def test_weights_only_checkpoint(differential: Any, lab: Any) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        module, trainer = make(lab, L)(), L.Trainer(**lab.QUIET, max_epochs=1)
        trainer.fit(module, lab.loader())
        trainer.save_checkpoint("weights.ckpt", weights_only=True)
        tested = L.Trainer(**lab.QUIET).validate(
            make(lab, L)(), lab.loader(10, shuffle=False), ckpt_path="weights.ckpt", verbose=False
        )
        with pytest.raises(KeyError):
            L.Trainer(**lab.QUIET, max_epochs=2).fit(make(lab, L)(), lab.loader(), ckpt_path="weights.ckpt")
        return module, trainer, [sorted(contents("weights.ckpt")), tested]

    differential.same(experiment)


def test_data_module_state_and_hooks(differential: Any, lab: Any) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        class Data(L.LightningDataModule):
            def __init__(self, size: int = 4) -> None:
                super().__init__()
                self.save_hyperparameters()
                self.seen = 0

            def train_dataloader(self) -> Any:
                self.seen += 1
                return lab.loader(batch_size=self.hparams.size)

            def state_dict(self) -> dict[str, Any]:
                return {"seen": self.seen}

            def load_state_dict(self, state_dict: dict[str, Any]) -> None:
                self.seen = state_dict["seen"]

        extra = {
            "on_save_checkpoint": lambda self, checkpoint: checkpoint.update(mine=7),
            "on_load_checkpoint": lambda self, checkpoint: observed.events.append(("loaded", checkpoint["mine"])),
        }
        cls = type("Module", (make(lab, L),), extra)
        trainer = L.Trainer(**lab.QUIET, max_epochs=1)
        trainer.fit(cls(), datamodule=Data(size=4))
        trainer.save_checkpoint("data.ckpt")
        saved = as_of_lightning("data.ckpt")
        module, data = cls.load_from_checkpoint("data.ckpt"), Data.load_from_checkpoint("data.ckpt", size=6)
        trainer = L.Trainer(**lab.QUIET, max_epochs=2)
        trainer.fit(module, datamodule=data, ckpt_path="data.ckpt")
        left_out = ("state_dict", "optimizer_states", "loops")
        own = {key: saved[key] for key in saved if key not in left_out}
        return module, trainer, [own, data.seen, dict(data.hparams)]

    own, seen, hparams = differential.same(experiment).result
    assert own["mine"] == 7
    assert (seen, hparams) == (2, {"size": 6})


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_checkpoint_cut_in_half(lab: Any, tmp_path: Path) -> None:
    L = lab.RUNTIMES["torchlift"]
    path = tmp_path / "whole.ckpt"
    trainer = L.Trainer(**lab.QUIET, max_epochs=1)
    trainer.fit(make(lab, L)(), lab.loader())
    trainer.save_checkpoint(path)
    half = tmp_path / "half.ckpt"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        L.Trainer(**lab.QUIET, max_epochs=2).fit(make(lab, L)(), lab.loader(), ckpt_path=half)
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        L.Trainer(**lab.QUIET, max_epochs=2).fit(make(lab, L)(), lab.loader(), ckpt_path=tmp_path / "none.ckpt")


def test_a_checkpoint_of_another_model(lab: Any, tmp_path: Path) -> None:
    L = lab.RUNTIMES["torchlift"]
    trainer = L.Trainer(**lab.QUIET, max_epochs=1)
    trainer.fit(make(lab, L)(), lab.loader())
    trainer.save_checkpoint(tmp_path / "one.ckpt")

    class Other(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.other = torch.nn.Linear(2, 2)

    with pytest.raises(RuntimeError, match="other"):
        Other.load_from_checkpoint(tmp_path / "one.ckpt")
    plain = tmp_path / "weights.pt"
    torch.save(Other().state_dict(), plain)
    with pytest.raises(ValueError, match="not a checkpoint of a Trainer"):
        L.Trainer(**lab.QUIET, max_epochs=1).fit(make(lab, L)(), lab.loader(), ckpt_path=plain)


def test_an_object_in_a_checkpoint_is_not_unpickled(lab: Any, tmp_path: Path) -> None:
    """A file from a stranger runs no code; the message names what it holds and what to do."""
    path = tmp_path / "object.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"path": Path("x")}}, path)
    with pytest.raises(ValueError, match=r"pathlib.*weights_only=False"):
        checkpoint_io.load(path)
    assert checkpoint_io.load(path, weights_only=False)["hyper_parameters"]["path"] == Path("x")


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    """The process may write 100 kB per file; a checkpoint of 400 kB fails, and the one before it stays."""
    script = textwrap.dedent("""
        import resource, signal, sys, torch
        from torchlift import checkpoint_io
        path = sys.argv[1]
        checkpoint_io.save({"generation": 1}, path)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            checkpoint_io.save({"generation": 2, "weights": torch.zeros(100_000)}, path)
        except (OSError, RuntimeError) as error:
            print(type(error).__name__)
    """)
    path = tmp_path / "state.ckpt"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=environment())
    assert done.stdout.strip() in ("OSError", "RuntimeError"), done.stderr
    assert contents(path) == {"generation": 1}
    assert os.listdir(tmp_path) == ["state.ckpt"]


def test_a_kill_while_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, torch
        from torchlift import checkpoint_io
        weights = torch.zeros(500_000)
        for generation in range(10_000):
            checkpoint_io.save({"generation": generation, "weights": weights}, sys.argv[1])
            print(generation, flush=True)
    """)
    path = tmp_path / "state.ckpt"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    for _ in range(20):
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert contents(path)["generation"] >= last


def test_what_a_killed_save_left_behind_goes_with_the_next(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, signal, sys
        from torchlift import checkpoint_io
        os.fsync = lambda _: os.kill(os.getpid(), int(sys.argv[2]))
        checkpoint_io.save({"generation": 1}, sys.argv[1])
    """)
    path = tmp_path / "state.ckpt"

    def save(number: int) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", script, str(path), str(number)], env=environment())

    killed = [save(signal.SIGKILL) for _ in range(2)]
    assert [process.wait() for process in killed] == [-signal.SIGKILL] * 2
    assert not path.exists() and os.listdir(tmp_path)
    other = save(signal.SIGSTOP)  # alive, in the middle of its write
    os.waitpid(other.pid, os.WUNTRACED)
    (writing,) = os.listdir(tmp_path)
    checkpoint_io.save({"generation": 2}, path)
    assert sorted(os.listdir(tmp_path)) == sorted([writing, "state.ckpt"])
    other.kill()
    other.wait()
    checkpoint_io.save({"generation": 3}, path)
    assert contents(path) == {"generation": 3}
    assert os.listdir(tmp_path) == ["state.ckpt"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    checkpoint_io.save({"a": 1}, tmp_path / "deep" / "er" / "new.ckpt")
    (tmp_path / "plain").write_text("")
    modes = [(tmp_path / name).stat().st_mode for name in ("plain", "deep/er/new.ckpt")]
    assert modes[0] == modes[1]
