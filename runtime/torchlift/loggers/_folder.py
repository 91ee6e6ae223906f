"""The folders of a local logger: ``save_dir/name/version_N``, with ``hparams.yaml`` in the last."""

from __future__ import annotations

import os
import re
from typing import Any

from torchlift.loggers.logger import Logger
from torchlift.utilities.cloud_io import entries


class FolderLogger(Logger):
    """Keeps its files under ``save_dir/name/version_N``.

    Args:
        save_dir: folder of all experiments. name: folder of this one; empty or None for none.
        version: a number N, a text that names the folder itself, or None for the first number that is free.
        prefix: stands before each metric's name, with a dash.
    """

    LOGGER_JOIN_CHAR = "-"
    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(
        self, save_dir: str | os.PathLike[str], name: str | None, version: int | str | None, prefix: str
    ) -> None:
        self._save_dir = os.fspath(save_dir)
        self._name = name or ""
        self._version = version
        self._prefix = prefix
        self._experiment: Any = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> int | str:
        if self._version is None:
            self._version = self._next_version()
        return self._version

    @property
    def save_dir(self) -> str:
        return self._save_dir

    @property
    def root_dir(self) -> str:
        return os.path.join(self.save_dir, self.name)

    @property
    def log_dir(self) -> str:
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        return os.path.join(self.root_dir, version)

    def _next_version(self) -> int:
        found = (re.fullmatch(r"version_(\d+)(_.*)?", name) for name in entries(self.root_dir))
        return max((int(match[1]) for match in found if match), default=-1) + 1

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_experiment": None}  # open files do not travel
