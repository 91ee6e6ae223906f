"""What ModelCheckpoint promises of the files whatever happens: the k best, whole, and none lost."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchlift import checkpoint_io
from torchlift.callbacks import ModelCheckpoint


class Disk:
    """The part of a Trainer that ModelCheckpoint needs; ``fail`` makes the next write fail half-way."""

    def __init__(self) -> None:
        self.callback_metrics: dict[str, torch.Tensor] = {}
        self.current_epoch = self.global_step = 0
        self.state = SimpleNamespace(fn="fit")
        self.sanity_checking = self.fast_dev_run = False
        self.is_global_zero, self.loggers, self.ckpt_path = True, [], None
        self.num_val_batches, self.check_val_every_n_epoch, self.val_check_interval = 1, 1, 1.0
        self.fail: BaseException | None = None
        self.strategy = SimpleNamespace(
            reduce_boolean_decision=lambda decision, all=True: decision,
            broadcast=lambda value: value,
            barrier=lambda: None,
            remove_checkpoint=os.remove,
        )

    def save_checkpoint(self, path: str, weights_only: bool) -> None:
        Path(path).parent.mkdir(exist_ok=True)
        if self.fail:
            raise self.fail
        Path(path).write_text(f"{self.callback_metrics['m'].item()}")

    def epoch(self, callback: ModelCheckpoint, value: float) -> None:
        self.callback_metrics["m"] = torch.tensor(value)
        self.global_step += 1
        callback.on_train_epoch_end(self, None)  # type: ignore[arg-type]
        self.current_epoch += 1


@given(
    values=st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=20),
    k=st.integers(1, 5),
    mode=st.sampled_from(["min", "max"]),
    filename=st.sampled_from([None, "same", "{epoch}"]),
)
def test_exactly_the_k_best_are_kept(
    tmp_path_factory: Any, values: list[float], k: int, mode: str, filename: str | None
) -> None:
    folder = tmp_path_factory.mktemp("top")
    disk, callback = Disk(), ModelCheckpoint(folder, filename, monitor="m", save_top_k=k, mode=mode)
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    for value in values:
        disk.epoch(callback, value)
    best = sorted(values, reverse=mode == "max")[:k]
    assert sorted(float(p.read_text()) for p in folder.iterdir()) == sorted(best)
    assert {path: score.item() for path, score in callback.best_k_models.items()} == {
        str(p): float(p.read_text()) for p in folder.iterdir()
    }
    assert float(Path(callback.best_model_path).read_text()) == best[0]
    if len(values) >= k:
        assert float(Path(callback.kth_best_model_path).read_text()) == best[-1]


def test_a_score_that_is_not_a_number_never_displaces_one_that_is(tmp_path: Path) -> None:
    disk, callback = Disk(), ModelCheckpoint(tmp_path, monitor="m")
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    for value in (float("nan"), 2.0, float("nan")):
        disk.epoch(callback, value)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["2.0"]


@pytest.mark.parametrize("save_last", [None, True, "link"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
@pytest.mark.parametrize("options", [{"monitor": "m"}, {"monitor": "m", "save_top_k": 2}, {}], ids=str)
def test_a_write_that_fails_leaves_files_and_state_as_they_were(
    tmp_path: Path, save_last: Any, failure: BaseException, options: dict[str, Any]
) -> None:
    disk, callback = Disk(), ModelCheckpoint(tmp_path, save_last=save_last, **options)
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    for value in (3.0, 2.0):
        disk.epoch(callback, value)
    files = {p.name: p.read_text() for p in tmp_path.iterdir()}
    state = str(callback.state_dict())
    disk.fail = failure
    with pytest.raises(type(failure)):
        disk.epoch(callback, 1.0)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == files
    assert str(callback.state_dict()) == state
    disk.fail = None
    disk.epoch(callback, 0.5)  # and the run can go on
    assert float(Path(callback.best_model_path).read_text()) == 0.5


def test_the_link_leads_to_the_latest_save_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, callback = Disk(), ModelCheckpoint(tmp_path, save_top_k=-1, save_last="link")
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    disk.epoch(callback, 1.0)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed here")))
    with pytest.raises(OSError, match="killed here"):
        disk.epoch(callback, 2.0)
    assert (tmp_path / "last.ckpt").read_text() == "1.0"


class Dying(Disk):
    """Writes real checkpoints, in a process that is killed before its ``fatal``-th change of the disk."""

    callback: ModelCheckpoint
    changes = ("os.rename", "os.remove", "os.symlink", "open")

    def __init__(self, fatal: int) -> None:
        super().__init__()
        self.left = fatal
        self.strategy.remove_checkpoint = checkpoint_io.remove

    def watch(self) -> None:
        sys.addaudithook(self.die)

    def die(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in self.changes or (event == "open" and arguments[1] in ("r", "rb", None)):
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def save_checkpoint(self, path: str, weights_only: bool) -> None:
        value = self.callback_metrics["m"].item()
        checkpoint_io.save({"value": value, "named": list(self.callback.best_k_models)}, path)


@pytest.mark.parametrize("save_last", [None, True, "link"])
@pytest.mark.parametrize(
    "options", [{"monitor": "m"}, {"monitor": "m", "save_top_k": 2, "filename": "same"}, {}], ids=str
)
def test_a_kill_at_any_moment_leaves_whole_files_and_loses_none(
    tmp_path: Path, save_last: Any, options: dict[str, Any]
) -> None:
    values = [3.0, 2.0, 4.0, 1.0]
    fatal, survived = 0, False
    while not survived:
        fatal += 1
        folder, done = tmp_path / str(fatal), tmp_path / f"done-{fatal}"
        done.write_bytes(b"")
        child = os.fork()
        if not child:
            disk, callback = Dying(fatal), ModelCheckpoint(folder, save_last=save_last, **options)
            disk.callback = callback
            callback.setup(disk, None, "fit")  # type: ignore[arg-type]
            report = os.open(done, os.O_WRONLY | os.O_APPEND)
            disk.watch()
            for value in values:
                disk.epoch(callback, value)
                os.write(report, b".")
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        epochs = done.stat().st_size
        found = {p.name: torch.load(p, weights_only=True)["value"] for p in folder.glob("*.ckpt")}
        if epochs:
            best = min(values[:epochs]) if options else values[epochs - 1]
            newer = values[epochs : epochs + 1]
            assert {best, *newer} & set(found.values()), (fatal, found)
            if save_last:
                assert found["last.ckpt"] in values[: epochs + 1], (fatal, found)
                named = torch.load(folder / "last.ckpt", weights_only=True)["named"]
                assert all(map(os.path.exists, named)), (fatal, named)
    assert fatal > 2 * len(values) - 2 and epochs == len(values)


def test_a_run_that_goes_on_from_its_first_checkpoint_moves_the_same_link(tmp_path: Path) -> None:
    """That checkpoint was written before the link to it was made, and knows of none."""
    first = ModelCheckpoint(tmp_path, monitor="m", save_last="link")
    disk, known = Disk(), first.state_dict()
    first.setup(disk, None, "fit")  # type: ignore[arg-type]
    disk.epoch(first, 3.0)
    again = ModelCheckpoint(tmp_path, monitor="m", save_last="link")
    again.load_state_dict({**first.state_dict(), "last_model_path": known["last_model_path"]})
    disk.ckpt_path = str(tmp_path / "last.ckpt")  # type: ignore[assignment]
    again.setup(disk, None, "fit")  # type: ignore[arg-type]
    disk.epoch(again, 2.0)
    assert (tmp_path / "last.ckpt").read_text() == "2.0"
    assert not list(tmp_path.glob("last-v*"))


def test_files_of_others_and_the_one_resumed_from_are_not_removed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "mine", tmp_path / "theirs.ckpt"
    outside.write_text("0")
    disk, callback = Disk(), ModelCheckpoint(folder, monitor="m")
    callback.setup(disk, None, "fit")  # type: ignore[arg-type]
    callback.best_k_models = {str(outside): torch.tensor(9.0)}
    callback.kth_best_model_path = str(outside)
    disk.epoch(callback, 5.0)
    (resumed,) = folder.iterdir()
    disk.ckpt_path = str(resumed)
    disk.epoch(callback, 4.0)
    assert outside.exists() and resumed.exists() and len(list(folder.iterdir())) == 2
