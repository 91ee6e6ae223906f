"""The folders of a local logger: ``save_dir/name/version_N``, with ``hparams.yaml`` in the last."""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from torchlift.loggers.logger import Logger, as_dict
from torchlift.utilities.atomic import write_text
from torchlift.utilities.cloud_io import entries
from torchlift.utilities.rank_zero import rank_zero_warn
from torchlift.utilities.yaml import dump, is_plain

NAME_HPARAMS_FILE = "hparams.yaml"


class FolderLogger(Logger):
    """Keeps its files under ``save_dir/name/version_N``.

    Args:
        save_dir: folder of all experiments. name: folder of this one; empty or None for none.
        version: a number N, a text that names the folder itself, or None for the first number that is free.
        prefix: stands before each metric's name, with a dash.
    """

    LOGGER_JOIN_CHAR = "-"
    NAME_HPARAMS_FILE = NAME_HPARAMS_FILE

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


def write_hparams(log_dir: str, params: Mapping[str, Any]) -> None:
    """Write ``hparams.yaml``: what YAML's safe schema can hold; the rest is left out with a warning that names it."""
    plain = {str(name): _simplified(value) for name, value in params.items()}
    left_out = [name for name, value in plain.items() if not is_plain(value)]
    if left_out:
        rank_zero_warn(f"Not written to {NAME_HPARAMS_FILE}, because YAML has no form for them: {', '.join(left_out)}.")
    text = dump({name: value for name, value in plain.items() if name not in left_out})
    write_text(os.path.join(log_dir, NAME_HPARAMS_FILE), text)


def _simplified(value: Any) -> Any:
    """Plain data of the same meaning, where there is one."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping | Namespace):
        return {key: _simplified(item) for key, item in as_dict(value).items()}
    if isinstance(value, list | tuple):
        return [_simplified(item) for item in value]
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of torch or NumPy
        return value.item()
    return value
