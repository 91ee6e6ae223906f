"""The base class of loggers, the dummies, and the names of the package."""

from __future__ import annotations

import copy
import pickle
from argparse import Namespace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.loggers import Logger as Oracle

from torchlift.loggers import CSVLogger, DummyLogger, Logger
from torchlift.utilities.rank_zero import rank_zero_only
from torchlift.utilities.yaml import dump

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@given(PLAIN)
def test_what_is_written_as_yaml_reads_back_equal(value: Any) -> None:
    read = yaml.safe_load(dump(value))
    assert read == value and dump(read) == dump(value)  # 1 == 1.0 == True, but they are written differently


@pytest.mark.parametrize(
    "value",
    [
        {
            "lr": 0.1,
            "name": "adam",
            "sizes": [1, 2],
            "deep": {"a": None, "b": [{"c": 1e-05, "d": "x"}]},
            "e": {},
            "f": [],
        }
    ],
)
def test_it_looks_as_pyyaml_writes_it(value: Any) -> None:
    assert dump(value) == yaml.dump(value)


def test_hyperparameters_become_plain_or_are_left_out_with_a_warning(tmp_path: Path) -> None:
    class Color(Enum):
        RED = 1

    logger = CSVLogger(tmp_path)
    params = Namespace(
        lr=torch.tensor(0.5),
        path=Path("a/b"),
        color=Color.RED,
        sizes=(1, 2),
        net=Namespace(depth=3),
        loss=print,
        layer=torch.nn.ReLU,
        kind=torch.float32,
    )
    with pytest.warns(UserWarning, match="Skipping 'kind' parameter .* `dtype` has no form"):
        logger.log_hyperparams(params)
    written = yaml.safe_load(Path(logger.log_dir, "hparams.yaml").read_text())
    assert written == {
        "lr": 0.5,
        "path": "a/b",
        "color": "RED",
        "sizes": [1, 2],
        "net": {"depth": 3},
        "loss": "builtins.print",
        "layer": "torch.nn.modules.activation.ReLU",
    }


def test_the_base_class_has_lightnings_names() -> None:
    names = {name for name in vars(Oracle) | vars(Oracle.__mro__[1]) if not name.startswith("_")}
    assert names <= set(dir(Logger))


def test_a_dummy_takes_any_call() -> None:
    logger = DummyLogger()
    logger.experiment.add_image("x", 1)
    logger.experiment[0].anything()
    logger.log_text("x")
    logger.log_metrics({"a": 1}, 0)
    logger[0].log_hyperparams({})
    assert (logger.name, logger.version) == ("", "")
    assert isinstance(pickle.loads(pickle.dumps(copy.deepcopy(logger))), DummyLogger)


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": 1}, 0)
    logger.log_hyperparams({"lr": 1})
    logger.save()
    logger.finalize("success")
    logger.experiment.anything()
    assert list(tmp_path.iterdir()) == []
