"""EarlyStopping against Lightning's, value by value and in whole runs."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import EarlyStopping as Oracle

from torchlift.callbacks import EarlyStopping, EarlyStoppingReason

OPTIONS = [
    {},
    {"patience": 1},
    {"patience": 2, "mode": "max"},
    {"patience": 2, "min_delta": 0.1},
    {"patience": 2, "min_delta": 0.1, "mode": "max"},
    {"patience": 10, "stopping_threshold": 0.5},
    {"patience": 10, "stopping_threshold": 0.5, "mode": "max"},
    {"patience": 10, "divergence_threshold": 2.0},
    {"patience": 10, "divergence_threshold": -2.0, "mode": "max"},
    {"patience": 2, "check_finite": False},
]


def feed(callback: Any, values: list[float]) -> list[Any]:
    """Check each value in turn, as at the end of an epoch, and list what the callback then holds."""
    trainer = SimpleNamespace(
        state=SimpleNamespace(fn="fit"),
        sanity_checking=False,
        fast_dev_run=False,
        should_stop=False,
        current_epoch=0,
        global_rank=0,
        world_size=1,
        val_check_interval=1.0,
        check_val_every_n_epoch=1,
        strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all=True: decision),
    )
    callback.setup(trainer, None, "fit")
    history = []
    for trainer.current_epoch, value in enumerate(values):
        trainer.callback_metrics = {"loss": torch.tensor(value)}
        callback.on_train_epoch_end(trainer, None)
        state = dict(callback.state_dict())
        state.pop("stopping_reason_message")
        history.append((trainer.should_stop, {k: str(v) for k, v in state.items()}))
        if trainer.should_stop:
            break
    return history


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@given(
    values=st.lists(
        st.one_of(st.floats(-3, 3, width=16), st.sampled_from([math.nan, math.inf, -math.inf, 0.5])), max_size=12
    )
)
def test_decides_as_lightning_does(options: dict[str, Any], values: list[float]) -> None:
    assert feed(EarlyStopping("loss", **options), values) == feed(Oracle("loss", **options), values)


@pytest.mark.parametrize(
    ("options", "trainer"),
    [
        ({"patience": 2}, {}),
        ({"patience": 1, "check_on_train_epoch_end": True}, {}),
        ({"patience": 1, "check_on_train_epoch_end": False}, {}),
        ({"patience": 1}, {"check_val_every_n_epoch": 2}),
        ({"patience": 2}, {"val_check_interval": 2}),
        ({"patience": 1}, {"min_epochs": 6}),
    ],
    ids=str,
)
def test_stops_a_run_where_lightning_does(
    harness: Any, kind: str, tmp_path: Path, options: dict[str, Any], trainer: dict[str, Any]
) -> None:
    script = {"loss": [3.0, 2.0, 1.0, 1.5, 1.2, 1.1, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]}
    outcome = []
    for one in ("lightning", kind):
        stopping = harness.callback_class(one, "EarlyStopping")("loss", **options)
        trained = harness.run(one, [stopping], tmp_path, script, max_epochs=6, **trainer)
        state = stopping.state_dict()
        state.pop("stopping_reason_message")
        outcome.append((trained.current_epoch, trained.global_step, trained.should_stop, stopping.state_key, state))
    assert outcome[0] == outcome[1]


def test_a_metric_that_was_not_logged_is_an_error_that_names_those_that_were(
    harness: Any, kind: str, tmp_path: Path
) -> None:
    stopping = harness.callback_class(kind, "EarlyStopping")("val_los")
    with pytest.raises(RuntimeError, match=r"`val_los` which is not available.*`val_loss`"):
        harness.run(kind, [stopping], tmp_path, {"val_loss": [1.0]}, max_epochs=1)


def test_a_missing_metric_is_passed_over_when_not_strict(harness: Any, kind: str, tmp_path: Path) -> None:
    stopping = harness.callback_class(kind, "EarlyStopping")("other", strict=False)
    trained = harness.run(kind, [stopping], tmp_path, {"loss": [1.0, 2.0]}, max_epochs=2)
    assert (trained.current_epoch, stopping.wait_count) == (2, 0)


def test_the_state_goes_through_a_weights_only_checkpoint(tmp_path: Path) -> None:
    callback = EarlyStopping("loss", patience=1)
    feed(callback, [1.0, 2.0])
    torch.save(callback.state_dict(), tmp_path / "state.pt")
    restored = EarlyStopping("loss", patience=9)
    restored.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert restored.state_dict() == callback.state_dict()
    assert restored.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
    assert "did not improve in the last 1 records; the best value was 1.000" in str(restored.stopping_reason_message)


def test_a_metric_changed_in_place_later_does_not_move_the_best_score() -> None:
    callback = EarlyStopping("loss")
    value = torch.tensor([1.0])
    callback._evaluate_stopping_criteria(value.squeeze())
    value.fill_(5.0)
    assert callback.best_score == 1.0


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Exception, match="`mode` can be min, max, got down"):
        EarlyStopping("loss", mode="down")
