"""Averages that are kept while training: weights, checkpoints and what validation sees are Lightning's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.swa_utils import get_ema_avg_fn

import torchlift
from torchlift.callbacks import EMAWeightAveraging, WeightAveraging


@pytest.mark.parametrize(
    ("name", "arguments", "trainer"),
    [
        ("WeightAveraging", {}, {}),
        ("WeightAveraging", {"use_buffers": False, "device": "cpu"}, {"accumulate_grad_batches": 2}),
        ("WeightAveraging", {"avg_fn": get_ema_avg_fn(0.9)}, {"val_check_interval": 2}),
        ("EMAWeightAveraging", {"decay": 0.7}, {"check_val_every_n_epoch": 2}),
        ("EMAWeightAveraging", {"decay": 0.7, "update_every_n_steps": 3, "update_starting_at_step": 5}, {}),
        ("EMAWeightAveraging", {"update_every_n_steps": 0, "update_starting_at_epoch": 1}, {"limit_val_batches": 0}),
    ],
)
def test_weights_and_checkpoints_are_lightnings(
    harness: Any, name: str, arguments: dict[str, Any], trainer: dict[str, Any], tmp_path: Path
) -> None:
    theirs, ours = harness.compare_net(tmp_path, lambda kind: [kind(name)(**arguments)], **trainer)
    metrics = [{key: float(value) for key, value in one.callback_metrics.items()} for one in (theirs, ours)]
    assert metrics[0] == metrics[1] and len(metrics[0]) == 2 - (trainer.get("limit_val_batches") == 0)


def test_chosen_epochs_are_averaged_as_in_lightning(harness: Any, tmp_path: Path) -> None:
    def make(kind: Any) -> list[Any]:
        class Chosen(kind("WeightAveraging")):  # type: ignore[misc]
            def should_update(self, step_idx: Any = None, epoch_idx: Any = None) -> bool:
                return epoch_idx in (1, 3)

        return [Chosen()]

    _, ours = harness.compare_net(tmp_path, make)
    assert int(ours.callbacks[0]._average_model.n_averaged) == 2


@pytest.mark.parametrize("crash_at", [1, 3])
def test_a_run_goes_on_where_it_ended(harness: Any, tmp_path: Path, crash_at: int) -> None:
    last = {}
    for kind in ("lightning", "torchlift"):
        for root, crash, path in ((tmp_path / kind, crash_at, None), (tmp_path / kind, None, "last.ckpt")):
            average = harness.callback_class(kind, "EMAWeightAveraging")(decay=0.7)
            save = harness.callback_class(kind, "ModelCheckpoint")(root, save_last=True)
            path = str(root / path) if path else None
            trained = harness.run_net(kind, [average, save], tmp_path, {"crash_at": crash}, ckpt_path=path)
        last[kind] = trained.lightning_module.state_dict()
    uninterrupted = harness.run_net("torchlift", [EMAWeightAveraging(decay=0.7)], tmp_path)
    for name, value in uninterrupted.lightning_module.state_dict().items():
        assert torch.equal(last["lightning"][name], last["torchlift"][name]), name
        assert torch.equal(value, last["torchlift"][name]), name


def test_validation_sees_the_average_and_training_goes_on_with_its_own_weights(harness: Any, tmp_path: Path) -> None:
    seen = []

    class Spy(torchlift.Callback):
        def on_validation_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
            seen.append(module.head.weight.detach().clone())

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            seen.append(module.head.weight.detach().clone())

    average = EMAWeightAveraging(decay=0.5)
    trained = harness.run_net("torchlift", [average, Spy()], tmp_path, limit_val_batches=1, max_epochs=1)
    validated, own = seen
    assert not torch.equal(validated, own)
    assert torch.equal(trained.lightning_module.head.weight, validated)


def test_the_checkpoint_loads_as_the_average_without_the_callback(harness: Any, tmp_path: Path) -> None:
    save = torchlift.callbacks.ModelCheckpoint(tmp_path / "kept")
    trained = harness.run_net("torchlift", [EMAWeightAveraging(decay=0.7), save], tmp_path)
    contents = torch.load(save.best_model_path, weights_only=True)
    for name, value in trained.lightning_module.state_dict().items():
        assert torch.equal(contents["state_dict"][name], value)
        assert name in contents["current_model_state"]
    assert contents["averaging_state"].keys() == {"n_averaged"}


def test_what_a_checkpoint_lacks_or_cannot_restore_is_said(harness: Any, tmp_path: Path) -> None:
    plain = harness.run_net("torchlift", [torchlift.callbacks.ModelCheckpoint(tmp_path / "plain")], tmp_path)
    path, module = plain.checkpoint_callback.best_model_path, plain.lightning_module
    data = torch.utils.data.DataLoader(torch.randn(4, 4), batch_size=2)
    options: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "default_root_dir": tmp_path}
    trainer = torchlift.Trainer(callbacks=[WeightAveraging()], max_epochs=5, enable_model_summary=False, **options)
    with pytest.warns(UserWarning, match="was not created with WeightAveraging"):
        trainer.fit(module, data, ckpt_path=path)
    trainer = torchlift.Trainer(callbacks=[WeightAveraging()], **options)
    with pytest.warns(UserWarning, match="loading a checkpoint outside the 'fit' stage"):
        trainer.validate(module, data, ckpt_path=path, verbose=False)


def test_a_module_built_late_is_built_before_it_is_copied(tmp_path: Path) -> None:
    class Late(torchlift.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer: Any = None

        def configure_model(self) -> None:
            self.layer = self.layer or torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    average = WeightAveraging()
    trainer = torchlift.Trainer(
        callbacks=[average], max_epochs=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    with pytest.warns(UserWarning, match="overrides the configure_model"):
        trainer.fit(Late(), torch.utils.data.DataLoader(torch.ones(2, 1)))
    assert average._average_model is not None and len(list(average._average_model.parameters())) == 2
