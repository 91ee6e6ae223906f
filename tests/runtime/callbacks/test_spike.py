"""Jumps of the loss: when a run ends, what is written and what is kept are Lightning's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.fabric.utilities.spike as oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import SpikeDetection as Theirs

from torchlift.callbacks import SpikeDetection
from torchlift.utilities.spike import TrainingSpikeException


class Trainer:
    """What the callback asks of one."""

    class strategy:
        root_device = torch.device("cpu")
        barrier = staticmethod(lambda: None)
        reduce_boolean_decision = staticmethod(lambda decision, all=True: decision)

    def __init__(self, root: str) -> None:
        self.default_root_dir, self.is_global_zero, self.global_rank = root, True, 0


def first_spike(detection: Any, losses: list[float], root: str) -> int | None:
    for index, loss in enumerate(losses):
        try:
            detection.on_train_batch_end(Trainer(root), None, {"loss": torch.tensor(loss)}, None, index)
        except (TrainingSpikeException, oracle.TrainingSpikeException) as error:
            assert str(error) == f"Training spike detected in batch {index}"
            return index
    return None


LOSSES = st.lists(st.floats(-8, 8, width=16) | st.sampled_from([float("nan"), float("inf"), 100.0]), max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    LOSSES,
    st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "window": st.integers(1, 3),
            "warmup": st.integers(0, 3),
            "atol": st.none() | st.sampled_from([0.5, 3.0]),
            "rtol": st.none() | st.sampled_from([0.5, 2.0]),
            "finite_only": st.booleans(),
        }
    ),
)
def test_the_same_losses_end_a_run(tmp_path_factory: Any, losses: list[float], arguments: dict[str, Any]) -> None:
    root = str(tmp_path_factory.getbasetemp())
    ours, theirs = SpikeDetection(**arguments), Theirs(**arguments)
    assert first_spike(ours, losses, root) == first_spike(theirs, losses, root)
    assert repr(ours.state_dict()) == repr(theirs.state_dict())


@pytest.mark.parametrize(
    ("given_path", "expected"), [(None, "skip_batches.json"), ("a", "a/skip_batches.json"), ("b.json", "b.json")]
)
def test_the_batches_to_leave_out_are_written(tmp_path: Path, given_path: str | None, expected: str) -> None:
    detection = SpikeDetection(exclude_batches_path=given_path and tmp_path / given_path)
    detection.bad_batches = [4, 5]  # of the run that was resumed
    assert first_spike(detection, [1.0, 0.5, 0.4, 50.0], str(tmp_path)) == 3
    assert json.loads((tmp_path / expected).read_text()) == [4, 5, 2, 3]


def test_a_run_ends_and_goes_on(harness: Any, tmp_path: Path) -> None:
    import torchlift

    losses = [1.0, 0.5, 0.25, 80.0]

    class Module(torchlift.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch).sum() * 0 + losses[batch_idx]

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    def fit(**options: Any) -> Any:
        detection = SpikeDetection()
        save = torchlift.callbacks.ModelCheckpoint(tmp_path, save_on_exception=True, filename="at")
        trainer = torchlift.Trainer(
            max_epochs=1,
            callbacks=[detection, save],
            logger=False,
            enable_progress_bar=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(4, 1)), **options)
        return detection

    with pytest.raises(TrainingSpikeException, match="in batch 3"):
        fit()
    resumed = SpikeDetection()
    resumed.load_state_dict(torch.load(tmp_path / "at.ckpt", weights_only=True)["callbacks"]["SpikeDetection"])
    assert resumed.last_val == 0.25 and resumed.bad_batches == [2, 3]
    losses[3] = 0.2
    assert fit().bad_batches == []


def test_what_is_no_loss_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Tensor or Mapping, got list"):
        SpikeDetection().on_train_batch_end(Trainer(str(tmp_path)), None, [1], None, 0)  # type: ignore[arg-type]
    detection = SpikeDetection(mode="best", warmup=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Has to be min or max, found best"):
        detection.on_train_batch_end(Trainer(str(tmp_path)), None, torch.tensor(1.0), None, 0)  # type: ignore[arg-type]
