"""TensorBoardLogger against Lightning's, read with TensorBoard's own reader."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger as Oracle

import torchlift
from torchlift.loggers import CSVLogger, TensorBoardLogger, default_logger


def events(folder: str | Path) -> dict[str, Any]:
    """Scalars by name, as (step, value), and the HParams sessions of the run in ``folder``."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    scalars = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    plugins = read.summary_metadata
    return {"scalars": scalars, "hparams": sorted(tag for tag in plugins if tag.startswith("_hparams_"))}


def test_a_run_writes_the_scalars_that_lightning_writes(harness: Any, kind: str, tmp_path: Path) -> None:
    seen = []
    for one in ("lightning", kind):
        logger = harness.logger_class(one, "TensorBoardLogger")(tmp_path / one)
        harness.run(one, logger, tmp_path / one, max_epochs=2)
        folder = Path(logger.log_dir)
        seen.append((events(folder), yaml.safe_load((folder / "hparams.yaml").read_text())))
    assert seen[0] == seen[1]
    assert {"train_loss", "val_loss", "epoch", "hp_metric"} <= seen[0][0]["scalars"].keys()


@pytest.mark.parametrize(
    "options",
    [{}, {"name": None}, {"name": "x", "version": 4}, {"version": "v"}, {"sub_dir": "train"}, {"prefix": "p"}],
    ids=str,
)
def test_folders_and_values_are_lightnings(tmp_path: Path, options: dict[str, Any]) -> None:
    seen = []
    for make in (Oracle, TensorBoardLogger):
        root = tmp_path / make.__module__
        logger = make(root, **options)
        logger.log_metrics({"a": 1, "b": torch.tensor(0.5)}, step=3)
        logger.log_hyperparams({"lr": 0.1, "net": {"width": [1, 2]}}, metrics={"final": 2.0})
        logger.finalize("success")
        names = ("name", "version", "root_dir", "log_dir", "save_dir", "sub_dir")
        seen.append(
            (
                [str(getattr(logger, name)).replace(str(root), "") for name in names],
                events(logger.log_dir),
                yaml.safe_load(Path(logger.log_dir, "hparams.yaml").read_text()),
            )
        )
    assert seen[0] == seen[1]


def test_folders_with_a_home_or_a_variable_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNS", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for folder in ("$RUNS/x", "~/x"):
        logger = TensorBoardLogger(folder, version=0, sub_dir="$NOT_SET/y")
        assert logger.log_dir == Oracle(folder, version=0, sub_dir="$NOT_SET/y").log_dir
        logger.log_metrics({"a": 1}, step=0)
        logger.finalize("success")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]  # Lightning would also make a folder called "$RUNS"


def test_a_url_gets_the_next_free_version() -> None:
    for version in range(2):
        logger = TensorBoardLogger("memory://tensorboard-runs", name="a")
        logger.log_metrics({"a": 1.5}, step=3)
        logger.log_hyperparams({"lr": 1})
        logger.finalize("success")
        assert logger.version == version
    written = fsspec.filesystem("memory").ls(f"{logger.log_dir.removeprefix('memory:/')}", detail=False)
    assert sorted(path.rpartition("/")[2].split(".")[0] for path in written) == ["events", "hparams"]


def test_without_a_default_metric_hyperparameters_leave_no_scalar(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, default_hp_metric=False)
    logger.log_hyperparams({"lr": 0.1})
    logger.finalize("success")
    assert events(logger.log_dir) == {"scalars": {}, "hparams": []}
    assert Path(logger.log_dir, "hparams.yaml").read_text() == "lr: 0.1\n"


def test_several_numbers_make_one_chart(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"losses": {"d": 1.0, "g": 2.0}}, step=0)  # type: ignore[dict-item]
    logger.finalize("success")
    assert {p.name for p in Path(logger.log_dir).iterdir() if p.is_dir()} == {"losses_d", "losses_g"}


def test_what_is_no_number_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'name' you tried to log .* not supported"):
        TensorBoardLogger(tmp_path).log_metrics({"name": object()}, step=0)


def test_the_graph_is_recorded_when_asked_for(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    model = torch.nn.Linear(2, 1)
    with pytest.warns(UserWarning, match="example_input_array"):
        logger.log_graph(model)
    model.example_input_array = torch.ones(1, 2)
    logger.log_graph(model)
    logger.finalize("success")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert EventAccumulator(logger.log_dir).Reload().Tags()["graph"]


def test_the_graph_of_a_module_without_a_trainer_gets_its_batch_through_the_hooks(tmp_path: Path) -> None:
    class Doubles(torchlift.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.example_input_array = torch.ones(2)
            self.seen: list[float] = []

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch * 2

        def forward(self, x: Any) -> Any:
            self.seen.append(float(x.sum()))
            return x + 1

    module, logger = Doubles(), TensorBoardLogger(tmp_path, log_graph=True)
    logger.log_graph(module)
    assert set(module.seen) == {4.0}  # tracing runs it more than once


def test_the_default_logger_is_tensorboard_or_else_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_logger(str(tmp_path)), TensorBoardLogger)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert default_logger(str(tmp_path)).version == 77
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "tensorboard" else find(name, *a))
    assert isinstance(default_logger(str(tmp_path)), CSVLogger)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorboard, or use CSVLogger"):
        TensorBoardLogger(tmp_path)


def test_tensorboard_is_imported_only_when_something_is_written(tmp_path: Path) -> None:
    code = (
        "import sys; from torchlift.loggers import CSVLogger, TensorBoardLogger, default_logger as T\n"
        f"T({str(tmp_path)!r}).version\n"
        "assert not {'tensorboard', 'torch.utils.tensorboard', 'rich'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
