"""Taking what there is, when the environment asks for it, and only then."""

from __future__ import annotations

from typing import Any

import pytest

import torchlift
from torchlift.fallback import VARIABLE, fall_back
from torchlift.utilities.exceptions import MisconfigurationException


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (("tpu", "auto", "auto", 1), ("cpu", "auto", 1, 1)),
        (("tpu", "ddp", 8, 4), ("cpu", "auto", 1, 1)),
        (("cpu", "fsdp", [0, 1], 1), ("cpu", "auto", 1, 1)),
        (("cpu", "deepspeed_stage_2", "2,3", 1), ("cpu", "auto", 1, 1)),
        (("auto", "ddp_find_unused_parameters_true", "4", 1), ("auto", "auto", 1, 1)),
        (("cpu", "auto", "auto", 1), ("cpu", "auto", "auto", 1)),
        (("auto", "auto", 1, 1), ("auto", "auto", 1, 1)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*falling back")
def test_what_arguments_come_down_to(given: tuple[Any, ...], taken: tuple[Any, ...]) -> None:
    assert fall_back(*given) == taken


def test_each_change_is_said() -> None:
    with pytest.warns(UserWarning) as said:
        fall_back("tpu", "ddp", 8, 2)
    assert [str(one.message).split("=")[0] for one in said] == [
        "`Trainer(accelerator",
        "`Trainer(strategy",
        "`Trainer(devices",
        "`Trainer(num_nodes",
    ]


@pytest.mark.filterwarnings("ignore:.*falling back")
def test_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("0", ""):
        monkeypatch.setenv(VARIABLE, value)
        with pytest.raises(MisconfigurationException):
            torchlift.Trainer(accelerator="cpu", strategy="ddp", devices=2, logger=False)
    monkeypatch.setenv(VARIABLE, "1")
    trainer = torchlift.Trainer(accelerator="cpu", strategy="ddp", devices=2, logger=False)
    assert trainer.num_devices == 1
    with pytest.raises(ValueError, match="invalid"):  # what means nothing still means nothing
        torchlift.Trainer(accelerator="gqu", logger=False)
