"""A run that was interrupted and resumed ends like one that was not: weights, random states, counters, logged rows."""

from __future__ import annotations

import os
import random
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, WeightedRandomSampler

import torchlift as L
from torchlift import checkpoint, position
from torchlift.callbacks import Checkpoint, ModelCheckpoint, OnExceptionCheckpoint
from torchlift.loggers import Logger
from torchlift.utilities.combined_loader import CombinedLoader
from torchlift.utilities.exceptions import SIGTERMException
from torchlift.utilities.seed import collect_rng_states

EPOCHS = 3
STEP, VALIDATION, EPOCH = "on_train_batch_end", "on_validation_end", "on_train_epoch_end"


class Rows(Dataset):
    """Each row is looked at through noise of all three generators."""

    def __init__(self, rows: int = 26) -> None:
        draw = torch.Generator().manual_seed(3)
        self.x, self.y = torch.randn(rows, 6, generator=draw), torch.randint(0, 3, (rows,), generator=draw)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        noise = 0.1 * torch.randn(6) + 0.1 * random.random() + 0.1 * float(np.random.rand())
        return self.x[index] + noise, self.y[index]


class Stream(IterableDataset):
    """The rows without noise, in an order drawn at the start; `sized` if it says how many there are."""

    def __iter__(self) -> Any:
        rows = Rows()
        order = random.sample(range(len(rows)), len(rows))
        yield from ((rows.x[index], rows.y[index]) for index in order)


class SizedStream(Stream):
    def __len__(self) -> int:
        return 26


class Net(L.LightningModule):
    """What has a state and what draws: dropout, batch norm, Adam, an average of weights, metrics, noisy validation."""

    def __init__(self, scheduler: str | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scheduler = scheduler
        self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 3))
        self.register_buffer("average", torch.zeros(8, 6))
        self.mean, self.of_epoch = torchmetrics.MeanMetric(), torchmetrics.MeanMetric()

    def loss(self, batch: Any) -> torch.Tensor:
        parts = batch.values() if isinstance(batch, dict) else [batch]
        return sum(nn.functional.cross_entropy(self.net(x), y) for x, y in (part for part in parts if part is not None))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.loss(batch)
        self.log("loss", loss, on_step=True, on_epoch=True, batch_size=4)
        self.log("worst", loss, on_step=False, on_epoch=True, reduce_fx=torch.max)
        self.mean(loss.detach())
        self.log("mean", self.mean, on_step=False, on_epoch=True)
        self.of_epoch.update(loss.detach())
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        self.average.lerp_(self.net[0].weight.detach(), 0.1)

    def on_train_epoch_end(self) -> None:
        self.log("of_epoch", self.of_epoch.compute())
        self.of_epoch.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch) + torch.rand(()), on_step=True, on_epoch=True)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        schedulers = {
            "epoch": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5),
            "step": lambda: {"scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9), "interval": "step"},
            "plateau": lambda: {
                "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0),
                "monitor": "loss_epoch",
            },
        }
        return [optimizer], [schedulers[self.scheduler]()] if self.scheduler else []


class Table(Logger):
    """Keeps every row, the latest of each step."""

    name, version = "table", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[tuple[int | None, str], float] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.update({(step, name): value for name, value in metrics.items()})

    def log_hyperparams(self, *_: Any, **__: Any) -> None: ...


class Interrupted(Exception):
    """The end of a run at the moment of a checkpoint, as a kill would end it."""


class Saver(Checkpoint):
    """Writes one checkpoint, the `number`-th time that a hook runs; and ends the run there, if told to."""

    def __init__(self, moment: str, number: int, path: Path, ends: bool) -> None:
        self.left, self.path, self.ends = number, path, ends
        setattr(self, moment, self._save)

    def _save(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.sanity_checking:
            return
        self.left -= 1
        if self.left == 0:
            trainer.save_checkpoint(self.path)
            if self.ends:
                raise Interrupted


@dataclass
class Case:
    """One experiment: the loader, the module and the Trainer's options."""

    loader: Callable[[], Any]
    scheduler: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    module: type[Net] = Net

    def fit(self, table: Table, callbacks: list[Any], seed: int, ckpt_path: Path | None = None) -> dict[str, Any]:
        """Train, and say everything about how it ended."""
        module = self.module(self.scheduler)
        trainer = L.Trainer(
            **{"max_epochs": EPOCHS, **self.options},
            accelerator="cpu",
            logger=table,
            callbacks=callbacks,
            enable_checkpointing=bool(callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, self.loader(), DataLoader(Rows(10), 4), ckpt_path=ckpt_path)
        contents = checkpoint.dump(trainer)
        del contents["callbacks"]
        return {"checkpoint": contents, "rows": table.rows, "random": collect_rng_states()}


def difference(ours: Any, theirs: Any, path: str = "") -> str:
    """Where two results differ, bit for bit."""
    if isinstance(ours, (torch.Tensor, np.ndarray)):
        same = ours.dtype == theirs.dtype and ours.shape == theirs.shape and bool((ours == theirs).all())
        return "" if same else path
    if isinstance(ours, dict):
        if ours.keys() != theirs.keys():
            return f"keys of {path}: {sorted(map(str, ours.keys() ^ theirs.keys()))}"
        return next((found for key in ours if (found := difference(ours[key], theirs[key], f"{path}.{key}"))), "")
    if isinstance(ours, (list, tuple)) and len(ours) == len(theirs):
        return difference(dict(enumerate(ours)), dict(enumerate(theirs)), path)
    return "" if ours == theirs else f"{path}: {ours!r} and {theirs!r}"


def same_when_interrupted(case: Case, moment: str, number: int, folder: Path) -> bool:
    """Whether the run ever comes to that moment; asserts that interrupting it there makes no difference."""
    path, table = folder / "moment.ckpt", Table()
    path.unlink(missing_ok=True)
    whole = case.fit(Table(), [Saver(moment, number, path, ends=False)], seed=11)
    if not path.exists():
        return False
    with pytest.raises(Interrupted):
        case.fit(table, [Saver(moment, number, path, ends=True)], seed=11)
    resumed = case.fit(table, [], seed=99, ckpt_path=path)
    for result in (whole, resumed):  # when the loaders were made says nothing about the training
        for part in (result["checkpoint"][position.KEY], result["checkpoint"][position.KEY]["validation"]):
            part.pop("last_reload_epoch")
    assert not difference(whole, resumed)
    return True


def plain(**options: Any) -> Callable[[], DataLoader]:
    return lambda: DataLoader(Rows(), 4, **options)


def combined(mode: Any) -> Callable[[], CombinedLoader]:
    return lambda: CombinedLoader(
        {"a": DataLoader(Rows(26), 4, shuffle=True), "b": DataLoader(Rows(10), 4, shuffle=True)}, mode
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    moment=st.sampled_from([STEP, VALIDATION, EPOCH, "on_validation_epoch_end", "on_train_start"]),
    part=st.floats(0, 1),
    shuffle=st.booleans(),
    own_generator=st.booleans(),
    accumulate=st.sampled_from([1, 2, 3]),
    scheduler=st.sampled_from([None, "epoch", "step", "plateau"]),
    limits=st.sampled_from(
        [
            {},
            {"val_check_interval": 3},
            {"val_check_interval": 0.5},
            {"val_check_interval": 5, "check_val_every_n_epoch": None},
            {"check_val_every_n_epoch": 2},
            {"max_steps": 6, "max_epochs": -1},
            {"limit_train_batches": 5},
            {"reload_dataloaders_every_n_epochs": 1},
            {"num_sanity_val_steps": 0, "gradient_clip_val": 0.5},
        ]
    ),
)
@example(
    moment=EPOCH,
    part=0.5,
    shuffle=True,
    own_generator=False,
    accumulate=2,
    scheduler="epoch",
    limits={"max_steps": 6, "max_epochs": -1},
)
def test_interrupting_a_run_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory,
    moment: str,
    part: float,
    shuffle: bool,
    own_generator: bool,
    accumulate: int,
    scheduler: str | None,
    limits: dict[str, Any],
) -> None:
    def loader() -> DataLoader:
        generator = torch.Generator().manual_seed(1) if own_generator else None
        return DataLoader(Rows(), 4, shuffle=shuffle, generator=generator)

    most = {STEP: 20, VALIDATION: 3, EPOCH: 3, "on_validation_epoch_end": 3}.get(moment, 1)
    case = Case(loader, scheduler, {**limits, "accumulate_grad_batches": accumulate})
    same_when_interrupted(case, moment, 1 + int(part * (most - 1)), tmp_path_factory.mktemp("run"))


LOADERS = {
    "a sampler that draws": lambda: DataLoader(Rows(), 4, sampler=WeightedRandomSampler(torch.arange(1.0, 27), 26)),
    "workers": plain(shuffle=True, num_workers=2),
    "a stream": lambda: DataLoader(Stream(), 4),
    "a stream that knows its length": lambda: DataLoader(SizedStream(), 4),
    "the shortest of two": combined("min_size"),
    "the longest of two": combined("max_size"),
    "the longest of two, the other begins again": combined("max_size_cycle"),
}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize(("moment", "number"), [(STEP, 2), (STEP, 12), (EPOCH, 1)])
def test_whatever_gives_the_batches(kind: str, moment: str, number: int, tmp_path: Path) -> None:
    assert same_when_interrupted(Case(LOADERS[kind], options={"max_epochs": 2}), moment, number, tmp_path) or (
        moment == STEP and number == 12 and kind == "the shortest of two"
    )


def test_a_loader_that_says_itself_where_it_stands(tmp_path: Path) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    case = Case(lambda: stateful(Rows(), 4, shuffle=True), options={"max_epochs": 2})
    assert same_when_interrupted(case, STEP, 9, tmp_path)
    states = torch.load(tmp_path / "moment.ckpt")["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert len(states) == 1  # under Lightning's key


class Manual(Net):
    """Gathers the gradients of three batches by hand, and steps one optimizer after the other."""

    def __init__(self, scheduler: str | None = None) -> None:
        super().__init__(scheduler)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.manual_backward(super().training_step(batch, batch_idx) / 3)
        if batch_idx % 3 == 2:
            for optimizer in self.optimizers():
                optimizer.step()
                optimizer.zero_grad()

    def configure_optimizers(self) -> Any:
        halves = (self.net[0].parameters(), self.net[4].parameters())
        return [torch.optim.Adam(half, lr=0.01) for half in halves]


@pytest.mark.parametrize("number", [2, 3, 11])
def test_gradients_that_wait_for_more_batches(number: int, tmp_path: Path) -> None:
    """In manual optimization they are written only if no optimizer has stepped since."""
    assert same_when_interrupted(Case(plain(shuffle=True), module=Manual), STEP, number, tmp_path)
    saved = torch.load(tmp_path / "moment.ckpt")[position.KEY]
    assert ("gradients" in saved) == (number != 3)


class Breaks(L.Callback):
    """Fails with a batch that has been drawn; or asks the process to end in the middle of a step, as schedulers do."""

    def __init__(self, step: int, how: str) -> None:
        self.step, self.how = step, how

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, index: int) -> None:
        if trainer.global_step == self.step and self.how == "error":
            raise Interrupted

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == self.step and self.how == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("how", "raised"), [("error", Interrupted), ("SIGTERM", SIGTERMException)])
@pytest.mark.parametrize("validates", [{}, {"val_check_interval": 3}])
def test_a_run_that_breaks_off(
    how: str, raised: type[BaseException], validates: dict[str, Any], tmp_path: Path
) -> None:
    """The step under way is done again as if once, and after SIGTERM the process's status says what ended it."""
    case, table = Case(plain(shuffle=True), "plateau", validates), Table()
    whole = case.fit(Table(), [OnExceptionCheckpoint(tmp_path / "none")], seed=11)
    with pytest.raises(raised) as stopped:
        case.fit(table, [OnExceptionCheckpoint(tmp_path), Breaks(8, how)], seed=11)
    assert how == "error" or stopped.value.code == 143
    resumed = case.fit(table, [OnExceptionCheckpoint(tmp_path / "none")], 99, tmp_path / "on_exception.ckpt")
    assert not difference(whole["checkpoint"]["state_dict"], resumed["checkpoint"]["state_dict"])
    assert not difference(whole["rows"], resumed["rows"])
    assert not difference(whole["random"], resumed["random"])


def test_the_users_own_numbers_after_loading(tmp_path: Path) -> None:
    """A module that drops our part of the checkpoint goes on from it as from one of Lightning's."""
    case, path = Case(plain(shuffle=True)), tmp_path / "moment.ckpt"
    case.fit(Table(), [Saver(EPOCH, 1, path, ends=False)], seed=11)
    drawn = []

    class Own(Net):
        def on_load_checkpoint(self, contents: dict[str, Any]) -> None:
            contents.pop("torchlift")

        def on_train_epoch_start(self) -> None:
            drawn.append(torch.rand(1).item())

    for seed in (1, 1, 2):
        options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = L.Trainer(accelerator="cpu", max_epochs=2, **options)
        module = Own()
        torch.manual_seed(seed)
        trainer.fit(module, plain(shuffle=True)(), ckpt_path=path)
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_run_that_is_over_is_not_trained_on(tmp_path: Path) -> None:
    case = Case(plain(shuffle=True), options={"max_steps": 9, "max_epochs": -1})
    saves = ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1)
    whole = case.fit(Table(), [saves], seed=11)
    again = case.fit(Table(), [], seed=99, ckpt_path=tmp_path / "epoch=1-step=9.ckpt")
    assert not difference(whole["checkpoint"]["state_dict"], again["checkpoint"]["state_dict"])
    assert again["checkpoint"]["global_step"] == 9


class Counting:
    """Gives the numbers from 0 to 9, and says itself where it stands."""

    at = 0

    def __iter__(self) -> Any:
        while self.at < 10:
            self.at += 1
            yield torch.tensor([float(self.at - 1)])

    def __len__(self) -> int:
        return 10

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


class Noting(L.LightningModule):
    """Writes down its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(1, 1), list[int]()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append(int(batch))
        return self.layer(batch).sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def test_a_loader_that_says_where_it_stands_goes_on_behind_the_step_that_was_to_be_the_last(tmp_path: Path) -> None:
    quiet: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(accelerator="cpu", max_steps=3, **quiet)
    trainer.fit(Noting(), Counting())
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    module = Noting()
    trainer = L.Trainer(accelerator="cpu", max_steps=5, **quiet)
    trainer.fit(module, Counting(), ckpt_path=tmp_path / "x.ckpt")
    assert module.seen == [3, 4]
