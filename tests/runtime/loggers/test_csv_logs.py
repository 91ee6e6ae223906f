"""CSVLogger against Lightning's: the same table, written row by row, and never lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.loggers import CSVLogger as Oracle
from torch.utils.data import DataLoader, TensorDataset

import torchlift
from torchlift.loggers import CSVLogger

CALLS = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from(["loss", "acc", "val/loss", "epoch", "ä,b"]), st.floats() | st.integers(-(2**40), 2**40)
        ),
        st.booleans(),
    ),
    max_size=12,
)


@given(calls=CALLS, prefix=st.sampled_from(["", "run"]))
def test_the_table_is_the_one_lightning_writes(tmp_path_factory: Any, calls: Any, prefix: str) -> None:
    tables = []
    for make in (Oracle, CSVLogger):
        logger = make(tmp_path_factory.mktemp("csv"), prefix=prefix)
        for step, (metrics, save) in enumerate(calls):
            logger.log_metrics({name: torch.tensor(value) for name, value in metrics.items()}, step)
            if save:
                logger.save()
        logger.finalize("success")
        path = Path(logger.log_dir, "metrics.csv")
        tables.append(path.read_bytes() if path.exists() else None)
    assert tables[0] == tables[1]


def test_rows_are_appended_and_a_new_column_rewrites(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    path = Path(logger.log_dir, "metrics.csv")
    logger.log_metrics({"a": 1}, 0)
    logger.save()
    inode = path.stat().st_ino
    logger.log_metrics({"a": 2}, 1)
    logger.save()
    assert path.stat().st_ino == inode  # the same file, longer
    assert path.read_text().splitlines() == ["a,step", "1,0", "2,1"]
    logger.log_metrics({"b": 3}, 2)
    logger.save()
    assert path.read_text().splitlines() == ["a,b,step", "1,,0", "2,,1", ",3,2"]


def test_a_rewrite_that_fails_keeps_the_table_and_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": 1}, 0)
    logger.save()
    logger.log_metrics({"b": 2}, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space"):
            logger.save()
    folder = Path(logger.log_dir)
    assert [p.name for p in folder.iterdir()] == ["metrics.csv"]
    assert (folder / "metrics.csv").read_text().splitlines() == ["a,step", "1,0"]
    logger.save()
    assert (folder / "metrics.csv").read_text().splitlines() == ["a,b,step", "1,,0", ",2,1"]


def test_the_table_of_an_earlier_run_is_kept(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, version="same")
    logger.log_metrics({"a": 0}, 0)
    logger.save()
    with pytest.warns(UserWarning, match=r"exists and is not empty.* earlier run are now in .*metrics-1\.csv"):
        logger = CSVLogger(tmp_path, version="same")
        logger.log_metrics({"a": 9}, 0)
        logger.save()
    folder = Path(logger.log_dir)
    assert (folder / "metrics-1.csv").read_text().splitlines() == ["a,step", "0,0"]
    assert (folder / "metrics.csv").read_text().splitlines() == ["a,step", "9,0"]


@pytest.mark.parametrize("name", ["lightning_logs", "", None, "mine"])
@pytest.mark.parametrize("version", [None, 3, "text"])
def test_the_folders_are_lightnings(tmp_path: Path, name: str | None, version: Any) -> None:
    os.makedirs(tmp_path / (name or "") / "version_7")
    (tmp_path / (name or "") / "version_x").mkdir()
    ours, theirs = CSVLogger(tmp_path, name, version), Oracle(tmp_path, name, version)
    for attribute in ("name", "version", "root_dir", "log_dir", "save_dir"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)


def test_a_run_writes_the_files_that_lightning_writes(harness: Any, kind: str, tmp_path: Path) -> None:
    written = []
    for one in ("lightning", kind):
        logger = harness.logger_class(one, "CSVLogger")(tmp_path / one)
        harness.run(one, logger, tmp_path / one, max_epochs=2)
        folder = Path(logger.log_dir)
        hparams = yaml.safe_load((folder / "hparams.yaml").read_text())  # omegaconf, if installed, orders it otherwise
        written.append((sorted(p.name for p in folder.iterdir()), (folder / "metrics.csv").read_bytes(), hparams))
    assert written[0][0] == ["hparams.yaml", "metrics.csv"]
    assert written[0] == written[1]


def test_several_loggers_get_the_same(harness: Any, kind: str, tmp_path: Path) -> None:
    make = harness.logger_class(kind, "CSVLogger")
    loggers = [make(tmp_path, name=name) for name in ("one", "two")]
    harness.run(kind, loggers, tmp_path, max_epochs=1)
    first, second = (Path(logger.log_dir, "metrics.csv").read_text() for logger in loggers)
    assert first == second != ""


def test_the_folder_may_be_a_url() -> None:
    import fsspec

    for value in range(2):
        logger = CSVLogger("memory://csv-logs", version=0)
        logger.log_hyperparams({"lr": 0.5})
        for step, name in enumerate("aab"):
            logger.log_metrics({name: value}, step)
            logger.save()
    memory = fsspec.filesystem("memory")
    folder = "/csv-logs/lightning_logs/version_0"
    assert [path.rpartition("/")[2] for path in memory.find(folder)] == ["hparams.yaml", "metrics-1.csv", "metrics.csv"]
    assert memory.cat(f"{folder}/metrics-1.csv").decode().split() == ["a,b,step", "0,,0", "0,,1", ",0,2"]
    assert memory.cat(f"{folder}/metrics.csv").decode().split() == ["a,b,step", "1,,0", "1,,1", ",1,2"]
    assert CSVLogger("memory://csv-logs").version == 1


@pytest.mark.parametrize("entry", ["validate", "test"])
def test_a_checkpoint_is_evaluated_at_the_step_it_was_saved_at(harness: Any, tmp_path: Path, entry: str) -> None:
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    module, data = harness.module(torchlift), DataLoader(TensorDataset(torch.arange(4.0)[:, None]))
    module.test_step = module.validation_step

    def rows(trainer: Any, **options: Any) -> list[str]:
        getattr(trainer, entry)(module, data, verbose=False, **options)
        return Path(trainer.log_dir, "metrics.csv").read_text().splitlines()

    trained = torchlift.Trainer(max_epochs=3, logger=CSVLogger(tmp_path / "fit"), **quiet)
    trained.fit(module, data)
    best = trained.checkpoint_callback.best_model_path
    fresh = torchlift.Trainer(logger=CSVLogger(tmp_path / "fresh"), **quiet)
    trained.logger = CSVLogger(tmp_path / "trained")
    assert rows(fresh, ckpt_path=best)[-1].startswith("2,12,")  # its epoch, and its number of optimizer steps
    assert rows(trained)[-1].startswith("3,12,")
    assert rows(fresh)[-1].startswith("0,0,")  # no checkpoint, no place in training
    assert fresh.global_step == 0
