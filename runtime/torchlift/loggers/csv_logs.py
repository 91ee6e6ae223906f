"""Metrics as a table in ``metrics.csv``.

Reference: https://lightning.ai/docs/pytorch/stable/extensions/generated/lightning.pytorch.loggers.CSVLogger.html
"""

from __future__ import annotations

import csv
import io
import os
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from torchlift.loggers._folder import FolderLogger
from torchlift.loggers.logger import rank_zero_experiment
from torchlift.utilities.atomic import write_text
from torchlift.utilities.cloud_io import entries, exists, get_filesystem, is_local
from torchlift.utilities.hparams_file import save_hparams_to_yaml
from torchlift.utilities.logger import add_prefix, convert_params
from torchlift.utilities.rank_zero import rank_zero_only, rank_zero_warn

__all__ = ["CSVLogger", "ExperimentWriter"]


class ExperimentWriter:
    """The files of one run in ``log_dir``: ``metrics.csv``, one row a call, and ``hparams.yaml``.

    Rows are appended. Only when a column comes that was not there before is the table written anew, and then it
    replaces the old one in one move. A table that another run has left is kept under another name.
    """

    NAME_METRICS_FILE = "metrics.csv"
    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir
        self.metrics: list[dict[str, Any]] = []  # not written yet
        self.metrics_keys: list[str] = []  # columns of the file
        self.hparams: dict[str, Any] = {}
        self.metrics_file_path = os.path.join(log_dir, self.NAME_METRICS_FILE)
        self._check_log_dir_exists()
        if is_local(log_dir):
            os.makedirs(log_dir, exist_ok=True)
        else:
            get_filesystem(log_dir).makedirs(log_dir, exist_ok=True)

    def _check_log_dir_exists(self) -> None:
        if not entries(self.log_dir):
            return
        kept = ""
        if exists(self.metrics_file_path):
            kept = f" The metrics of the earlier run are now in {self._put_aside()}."
        rank_zero_warn(f"Experiment logs directory {self.log_dir} exists and is not empty.{kept}")

    def _put_aside(self) -> str:
        stem, number = self.metrics_file_path.removesuffix(".csv"), 1
        while exists(f"{stem}-{number}.csv"):
            number += 1
        if is_local(self.log_dir):
            os.replace(self.metrics_file_path, f"{stem}-{number}.csv")
        else:
            get_filesystem(self.log_dir).mv(self.metrics_file_path, f"{stem}-{number}.csv")
        return f"{stem}-{number}.csv"

    def log_metrics(self, metrics_dict: dict[str, Any], step: int | None = None) -> None:
        """Record one row; it is written by the next :meth:`save`."""
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics_dict.items()}
        row["step"] = len(self.metrics) if step is None else step
        self.metrics.append(row)

    def log_hparams(self, params: dict[str, Any]) -> None:
        """Add hyperparameters and write them all."""
        self.hparams.update(params)
        save_hparams_to_yaml(os.path.join(self.log_dir, self.NAME_HPARAMS_FILE), self.hparams)

    def save(self) -> None:
        """Write the rows recorded since the last call."""
        if not self.metrics:
            return
        columns = sorted(set(self.metrics_keys).union(*self.metrics))
        if columns == self.metrics_keys:
            self._append(_table(columns, self.metrics, header=False))
        else:
            rows = self._read()
            columns = sorted(set(columns).union(*rows[:1]))
            write_text(self.metrics_file_path, _table(columns, [*rows, *self.metrics], header=True))
            self.metrics_keys = columns
        self.metrics = []

    def _append(self, text: str) -> None:
        if is_local(self.metrics_file_path):
            with open(self.metrics_file_path, "a", encoding="utf-8", newline="") as file:
                file.write(text)
        else:
            with get_filesystem(self.metrics_file_path).open(self.metrics_file_path, "a", newline="") as file:
                file.write(text)

    def _read(self) -> list[dict[str, Any]]:
        if not exists(self.metrics_file_path):
            return []
        if not is_local(self.metrics_file_path):
            text = get_filesystem(self.metrics_file_path).read_text(self.metrics_file_path)
            return list(csv.DictReader(io.StringIO(text, newline="")))
        with open(self.metrics_file_path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def _table(columns: list[str], rows: Iterable[dict[str, Any]], header: bool) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class CSVLogger(FolderLogger):
    """Writes ``metrics.csv`` and ``hparams.yaml`` into ``save_dir/name/version_N``.

    Args:
        save_dir: folder of all experiments, local or a URL.
        name: folder of this one; None for none.
        version: a number N, a text that names the folder itself, or None for the first number that is free.
        prefix: stands before each metric's name, with a dash.
        flush_logs_every_n_steps: when ``log_metrics`` is called by hand, write after so many steps; the Trainer writes
            after each call.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        self._flush_logs_every_n_steps = flush_logs_every_n_steps

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of this run's files, which are made when it is first asked for."""
        if self._experiment is None:
            self._experiment = ExperimentWriter(self.log_dir)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        step = len(self.experiment.metrics) if step is None else step
        self.experiment.log_metrics(add_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR), step)
        if (step + 1) % self._flush_logs_every_n_steps == 0:
            self.save()

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace | None = None, *args: Any, **kwargs: Any) -> None:
        self.experiment.log_hparams(convert_params(params))

    @rank_zero_only
    def save(self) -> None:
        self.experiment.save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is not None:
            self.save()
