"""The loggers of services: there to be imported and asked for, and clear when they are made."""

from __future__ import annotations

import pytest

import torchlift.loggers
from torchlift.loggers import CSVLogger


@pytest.mark.parametrize("name", ["CometLogger", "LitLogger", "MLFlowLogger", "NeptuneLogger", "WandbLogger"])
def test_a_service_is_importable_and_says_what_to_do_instead(name: str, tmp_path: object) -> None:
    kind = getattr(torchlift.loggers, name)
    with pytest.raises(ModuleNotFoundError, match=f"`{name}` is not part of this runtime yet. Use `CSVLogger`"):
        type("Mine", (kind,), {})(project="mine", log_model=True)
    assert not isinstance(CSVLogger(str(tmp_path)), kind)
