"""Hyperparameters in files and in the loggers' flat form, against Lightning's."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.fabric.utilities.logger import _flatten_dict, _sanitize_callable_params, _sanitize_params
from lightning.pytorch.core.saving import save_hparams_to_yaml as lightning_saves

from torchlift.utilities.hparams_file import load_hparams_from_yaml, save_hparams_to_yaml
from torchlift.utilities.logger import convert_params, flatten_dict, sanitize_callable_params, sanitize_params


@dataclass
class Net:
    width: int = 3


NESTED = {"lr": 0.1, 5: {"a": {"b": None}}, "nets": [{"w": 1}, {"w": 2}], "sizes": [1, 2], "d": Net(), "kind": Net}


def test_nested_names_are_lightnings() -> None:
    assert flatten_dict(NESTED) == _flatten_dict(NESTED)
    assert flatten_dict({"a": {"b": 1}}, ".") == _flatten_dict({"a": {"b": 1}}, ".")
    spaces = {"a": Namespace(b=Namespace(c=1))}
    assert flatten_dict(spaces) == _flatten_dict(spaces) == {"a/b/c": 1}
    assert convert_params(Namespace(a=1)) == {"a": 1} and convert_params(None) == {}


def test_what_is_no_number_becomes_text_as_in_lightning() -> None:
    params = {
        "numpy": np.float32(1.5),
        "complex": np.csingle(7 + 2j),
        "array": np.ones(2),
        "tensor": torch.ones(2),
        "none": None,
        "bool": np.bool_(True),
        "list": [1],
    }
    ours = sanitize_params(params)
    assert params["none"] is None  # left as it was, where Lightning's changes it
    assert {k: (type(v), str(v)) for k, v in ours.items()} == {
        k: (type(v), str(v)) for k, v in _sanitize_params(dict(params)).items()
    }


def test_the_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    save_hparams_to_yaml(path, Namespace(lr=0.1, net=Net(5), act=torch.nn.ReLU, tuple=(1, 2)))
    expected = {"lr": 0.1, "net": {"width": 5}, "act": "torch.nn.modules.activation.ReLU", "tuple": [1, 2]}
    assert load_hparams_from_yaml(path, use_omegaconf=False) == yaml.safe_load(path.read_text()) == expected
    with pytest.warns(RuntimeWarning, match="Missing Tags"):
        assert load_hparams_from_yaml(tmp_path / "absent.yaml") == {}


def test_lightnings_file_is_read_but_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    lightning_saves(path, {"sizes": (1, 2), "lr": 1e-5}, use_omegaconf=False)
    assert load_hparams_from_yaml(path, use_omegaconf=False) == {"sizes": (1, 2), "lr": 1e-5}
    path.write_text("a: !!python/object/apply:os.system ['exit 1']\n")
    with pytest.raises(yaml.constructor.ConstructorError, match=r"os\.system"):
        load_hparams_from_yaml(path)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must be dictionary"):
        save_hparams_to_yaml(tmp_path / "hparams.yaml", [1])  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="Missing folder"):
        save_hparams_to_yaml(tmp_path / "absent" / "hparams.yaml", {})
    with pytest.warns(UserWarning, match="Skipping 'of_this_test' parameter"):
        save_hparams_to_yaml(tmp_path / "hparams.yaml", {"of_this_test": torch.float32, "kept": 1})
    assert load_hparams_from_yaml(tmp_path / "hparams.yaml", use_omegaconf=False) == {"kept": 1}


def test_a_config_of_omegaconf_is_resolved(tmp_path: Path) -> None:
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"lr": 0.1, "twice": "${lr}", "layers": [{"w": 1}]})
    save_hparams_to_yaml(tmp_path / "hparams.yaml", config)
    expected = {"lr": 0.1, "twice": 0.1, "layers": [{"w": 1}]}
    assert yaml.safe_load((tmp_path / "hparams.yaml").read_text()) == expected
    loaded = load_hparams_from_yaml(tmp_path / "hparams.yaml")
    assert isinstance(loaded, omegaconf.DictConfig) and loaded == expected


def test_functions_and_classes_by_name_as_in_lightning() -> None:
    def answer() -> int:
        return 42

    def needs(argument: int) -> int:
        return argument

    params = {"answer": answer, "needs": needs, "kind": Net, "made": lambda: needs, "instance": Net(), "number": 1}
    assert sanitize_callable_params(params) == _sanitize_callable_params(params)
