"""The base class of profilers.

Reference: https://lightning.ai/docs/pytorch/stable/tuning/profiler.html
"""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from torchlift.utilities.cloud_io import get_filesystem, is_local

__all__ = ["Profiler"]

log = logging.getLogger(__name__)

_UNSAFE = re.compile(r"[\\/:*?\"<>|\n\r\t]+")
"""What a file's name cannot hold on one system or another."""


class Profiler(ABC):
    """Measures named actions between ``start`` and ``stop``, and reports on them.

    Args:
        dirpath: the folder of the report; that of the run (``trainer.log_dir``) by default.
        filename: the report's file, without the extension; by default the report goes to standard error.
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None) -> None:
        self.dirpath, self.filename = dirpath, filename
        self._output_file: Any | None = None
        self._local_rank: int | None = None
        self._stage: str | None = None
        self._lightning_module: Any | None = None  # set by the Trainer, weakly

    @abstractmethod
    def start(self, action_name: str) -> None:
        """An action begins."""

    @abstractmethod
    def stop(self, action_name: str) -> None:
        """An action ends."""

    def profile(self, action_name: str) -> AbstractContextManager[str]:
        """A context that is an action, ended even by an exception: ``with self.trainer.profiler.profile("load"):``."""
        return self._profiled(action_name)

    @contextmanager
    def _profiled(self, action_name: str) -> Iterator[str]:
        try:
            self.start(action_name)
            yield action_name
        finally:
            self.stop(action_name)

    def summary(self) -> str:
        """The report."""
        return ""

    def describe(self) -> None:
        """Write the report to its file or, without one, to standard error. The Trainer does so when a call ends."""
        if self.filename and self.dirpath:
            self._output_file = self._open(os.path.join(self.dirpath, self._prepare_filename()), "a")
        text = self.summary()
        if text and self._output_file is not None:
            self._output_file.write(text)
        elif text and self.local_rank == 0:
            log.info(text)
        self.teardown(stage=self._stage)

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A call of the Trainer begins.

        Args:
            stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``; heads the report and its file's name.
            local_rank: of this process, when there are several.
            log_dir: the folder to write to, if none was given.
        """
        self._stage, self._local_rank = stage, local_rank
        self.dirpath = self.dirpath or log_dir

    def teardown(self, stage: str | None) -> None:
        """The report is written: give back what it took."""
        if self._output_file is not None:
            self._output_file.close()
            self._output_file = None

    @property
    def local_rank(self) -> int:
        """The number of this process on its machine."""
        return 0 if self._local_rank is None else self._local_rank

    def _prepare_filename(self, action_name: str | None = None, extension: str = ".txt") -> str:
        rank = None if self._local_rank is None else str(self._local_rank)
        name = "-".join(part for part in (self._stage, self.filename, rank, action_name) if part)
        return (_UNSAFE.sub("_", name).strip() or "profile") + extension

    @staticmethod
    def _open(path: str, mode: str) -> Any:
        """An open file; its folder is made."""
        if is_local(path):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            return open(path, mode, encoding=None if "b" in mode else "utf-8")
        files = get_filesystem(path)
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        return files.open(path, mode)

    def _stats_to_str(self, stats: dict[str, str]) -> str:
        """A report of one text per action."""
        lines = [f"{self._stage.upper()} Profiler Report" if self._stage else "Profiler Report"]
        rank = "" if self._local_rank is None else f" rank: {self._local_rank}"
        for action, text in stats.items():
            lines += [f"Profile stats for: {action}{rank}", text]
        return os.linesep.join(lines)
