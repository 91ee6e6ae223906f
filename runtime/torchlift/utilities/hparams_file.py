"""``hparams.yaml``: hyperparameters for people to read, and for ``load_from_checkpoint(hparams_file=...)``.

The file holds what YAML's safe schema can hold and nothing that runs code when it is read: a class or a function is
written as its dotted name, where Lightning writes a tag that imports it.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType
from typing import Any

from torchlift.utilities.atomic import write_text
from torchlift.utilities.cloud_io import exists, get_filesystem, is_local
from torchlift.utilities.logger import convert_params
from torchlift.utilities.rank_zero import rank_zero_warn, warn_once
from torchlift.utilities.yaml import dump, is_plain

__all__ = ["load_hparams_from_yaml", "save_hparams_to_yaml"]


def save_hparams_to_yaml(config_yaml: str | os.PathLike[str], hparams: Mapping[str, Any] | Namespace) -> None:
    """Write hyperparameters; those that have no plain form are left out, each with a warning.

    Raises:
        TypeError: ``hparams`` has no names. RuntimeError: the folder is not there.
    """
    if not isinstance(hparams, Mapping | Namespace):
        raise TypeError(f"hparams must be dictionary or Namespace, got {type(hparams).__qualname__}.")
    path = os.fspath(config_yaml)
    if is_local(path) and not os.path.isdir(os.path.dirname(path) or "."):
        raise RuntimeError(f"Missing folder: {os.path.dirname(path)}.")
    plain = {str(name): simplified(value) for name, value in convert_params(hparams).items()}
    for name in [name for name, value in plain.items() if not is_plain(value)]:
        kind = type(plain.pop(name)).__qualname__
        warn_once(  # each logger, at each start of a run, would say it again
            f"Skipping '{name}' parameter because it is not possible to safely dump to YAML: a value of type `{kind}`"
            " has no form there."
        )
    write_text(path, dump(plain))


def load_hparams_from_yaml(config_yaml: str | os.PathLike[str], use_omegaconf: bool = True) -> Any:
    """Read hyperparameters back; a file that is not there gives none, with a warning.

    Args:
        config_yaml: a local path or a URL.
        use_omegaconf: return a ``DictConfig`` if the program uses omegaconf, else a dictionary.

    Raises:
        yaml.constructor.ConstructorError: the file has a tag that stands for a Python object. Only tuples are made.
    """
    import yaml

    path = os.fspath(config_yaml)
    if not exists(path):
        rank_zero_warn(f"Missing Tags: {path}.", category=RuntimeWarning)
        return {}

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", lambda self, node: tuple(self.construct_sequence(node)))
    with get_filesystem(path).open(path, "r") as file:
        hparams = yaml.load(file, Loader) or {}
    omegaconf = sys.modules.get("omegaconf") if use_omegaconf else None
    return omegaconf.OmegaConf.create(hparams) if omegaconf is not None else hparams


def simplified(value: Any) -> Any:
    """Plain data of the same meaning, where there is one."""
    omegaconf = sys.modules.get("omegaconf")  # whoever has such a value has imported it
    if omegaconf is not None and omegaconf.OmegaConf.is_config(value):
        value = omegaconf.OmegaConf.to_container(value, resolve=True)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping | Namespace):
        return {key: simplified(item) for key, item in convert_params(value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | range):
        return [simplified(item) for item in value]
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of torch or NumPy
        return value.item()
    return value
