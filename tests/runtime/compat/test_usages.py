"""What a first tour of Lightning shows, written for ``import lightning`` and run on torchlift as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

pytestmark = pytest.mark.usefixtures("as_lightning", "small_and_quiet")
QUIET: dict[str, Any] = {"accelerator": "auto", "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture
def small_and_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run writes goes to the test's own folder; what it says about small data is not the point here."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data() -> TensorDataset:
    x = torch.randn(48, 4)
    return TensorDataset(x, x.sum(1, keepdim=True))


@pytest.fixture
def loader(data: TensorDataset) -> DataLoader:
    return DataLoader(data, batch_size=8)


def regression() -> type:
    """A module as one writes it: hyperparameters saved, losses logged, a scheduler that watches one of them."""
    import lightning as L

    class Regression(L.LightningModule):
        def __init__(self, lr: float = 0.05, width: int = 8, batch_size: int = 8) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.batch_size = batch_size
            self.net = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

        def loss_of(self, batch: Any) -> torch.Tensor:
            x, y = batch
            return F.mse_loss(self(x), y)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = self.loss_of(batch)
            self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True)
            self.log_dict({"a": loss, "b": loss * 2}, sync_dist=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.loss_of(batch), on_epoch=True)

        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log("test_loss", self.loss_of(batch))

        def predict_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self(batch[0])

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}

    return Regression


def data_module(data: TensorDataset) -> Any:
    import lightning as L

    class Data(L.LightningDataModule):
        def __init__(self, folder: str, batch_size: int = 8) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.seen: list[str | None] = []

        def prepare_data(self) -> None:
            self.seen.append("prepare_data")

        def setup(self, stage: str | None = None) -> None:
            self.seen.append(stage)
            self.parts = torch.utils.data.random_split(data, [32, 16], torch.Generator().manual_seed(1))

        def train_dataloader(self) -> DataLoader:
            return DataLoader(self.parts[0], batch_size=self.hparams.batch_size, shuffle=True)

        def val_dataloader(self) -> DataLoader:
            return DataLoader(self.parts[1], batch_size=self.hparams.batch_size)

        test_dataloader = predict_dataloader = val_dataloader

    return Data("somewhere")


def test_the_shortest_script(loader: DataLoader) -> None:
    import lightning as L

    class Line(L.LightningModule):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = nn.Linear(inputs, outputs)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            x, y = batch
            loss = F.mse_loss(self.layer(x), y)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.1)

    model = Line(inputs=4, outputs=1)
    trainer = L.Trainer(max_epochs=2, accelerator="auto")  # with bar, summary, logger and checkpoint, as they come
    trainer.fit(model, loader)
    assert trainer.global_step == 12
    assert model.hparams.inputs == 4
    assert trainer.callback_metrics["train_loss"] < 10
    assert list(Path(trainer.log_dir, "checkpoints").glob("*.ckpt"))


def test_a_trainer_with_everything_configured(loader: DataLoader) -> None:
    import lightning as L
    from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, RichProgressBar
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    checkpoint = ModelCheckpoint(monitor="val_loss", mode="min", save_top_k=3, filename="{epoch}-{val_loss:.2f}")
    trainer = L.Trainer(
        max_epochs=2,
        accelerator="auto",
        devices=1,
        precision="bf16-mixed",
        gradient_clip_val=1.0,
        accumulate_grad_batches=2,
        check_val_every_n_epoch=1,
        val_check_interval=1.0,
        log_every_n_steps=1,
        logger=[TensorBoardLogger("logs/", name="mine"), CSVLogger("logs/")],
        callbacks=[
            checkpoint,
            EarlyStopping(monitor="val_loss", patience=10, mode="min"),
            LearningRateMonitor(logging_interval="epoch"),
            RichProgressBar(),
        ],
        fast_dev_run=False,
        enable_progress_bar=True,
    )
    trainer.fit(regression()(), loader, loader)
    assert trainer.global_step == 6
    assert Path(checkpoint.best_model_path).name.startswith("epoch=")
    assert len(checkpoint.best_k_models) == 2
    assert (Path("logs/lightning_logs/version_0/metrics.csv")).read_text().count("\n") > 6
    assert list(Path("logs/mine/version_0").glob("events.out.tfevents.*"))


def test_fit_resume_test_predict_and_load(data: TensorDataset, loader: DataLoader) -> None:
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint

    model, module = regression()(lr=0.02), data_module(data)
    trainer = L.Trainer(max_epochs=1, callbacks=[ModelCheckpoint(monitor="val_loss")], **QUIET)
    trainer.fit(model, datamodule=module)
    assert module.seen == ["prepare_data", "fit"]
    trainer.save_checkpoint("checkpoint.ckpt")
    assert "test_loss" in trainer.test(ckpt_path="best", datamodule=module)[0]
    assert "val_loss" in trainer.validate(model, datamodule=module)[0]
    predicted = trainer.predict(model, loader)
    assert torch.cat(predicted).shape == (48, 1)

    longer = L.Trainer(max_epochs=3, **QUIET)
    longer.fit(regression()(lr=0.02), datamodule=data_module(data), ckpt_path="checkpoint.ckpt")
    assert (longer.current_epoch, longer.global_step) == (3, 12)

    loaded = type(model).load_from_checkpoint("checkpoint.ckpt", width=8)
    assert loaded.hparams.lr == 0.02
    x = torch.randn(3, 4)
    loaded.eval()
    assert torch.equal(loaded(x), model.eval()(x))


def test_seeded_and_deterministic_runs_are_equal(data: TensorDataset) -> None:
    import lightning as L
    from lightning.pytorch import seed_everything

    ends = []
    for _ in range(2):
        seed_everything(42, workers=True)
        model = regression()()
        L.Trainer(deterministic=True, max_epochs=1, logger=False, enable_checkpointing=False, **QUIET).fit(
            model, DataLoader(data, batch_size=8, shuffle=True), DataLoader(data, batch_size=8)
        )
        ends.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    torch.use_deterministic_algorithms(False)
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({"fast_dev_run": 3}, 3),
        ({"fast_dev_run": True}, 1),
        ({"overfit_batches": 2, "max_epochs": 4}, 8),
        ({"limit_train_batches": 3, "limit_val_batches": 2, "max_epochs": 1}, 3),
        ({"accumulate_grad_batches": 4, "max_epochs": 1}, 2),
        ({"accumulate_grad_batches": {0: 1, 1: 3}, "max_epochs": 2}, 8),
        ({"profiler": "simple", "max_epochs": 1}, 6),
        ({"profiler": "advanced", "max_epochs": 1}, 6),
        ({"precision": "16-mixed", "max_epochs": 1}, 6),  # on a CPU: bfloat16, and a warning says so
        ({"benchmark": True, "gradient_clip_val": 1.0, "max_epochs": 1}, 6),
        ({"detect_anomaly": True, "max_epochs": 1}, 6),
        ({"max_time": "00:01:00:00", "max_epochs": 1}, 6),
    ],
    ids=str,
)
def test_flags_for_debugging_and_speed(loader: DataLoader, given: dict[str, Any], steps: int) -> None:
    import lightning as L

    trainer = L.Trainer(**given, logger=False, enable_checkpointing=False, **QUIET)
    trainer.fit(regression()(), loader, loader)
    assert trainer.global_step == steps


def test_the_tuner_finds_a_rate_and_a_size(loader: DataLoader, data: TensorDataset) -> None:
    import lightning as L
    from lightning.pytorch.tuner import Tuner

    model = regression()()
    model.train_dataloader = lambda: DataLoader(data, batch_size=model.batch_size)
    tuner = Tuner(L.Trainer(max_epochs=9, logger=False, enable_checkpointing=False, **QUIET))
    found = tuner.lr_find(model, loader, num_training=30)
    assert found is not None and 1e-8 < found.suggestion() < 1
    assert tuner.scale_batch_size(model, mode="power", max_trials=2, steps_per_trial=1) == 4


def test_a_callback_of_ones_own_sees_the_metrics(loader: DataLoader, capsys: pytest.CaptureFixture[str]) -> None:
    import lightning as L
    from lightning.pytorch.callbacks import Callback

    class Tells(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            print(f"Epoch {trainer.current_epoch} completed")

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                print("val", round(trainer.callback_metrics["val_loss"].item()) >= 0)

    trainer = L.Trainer(max_epochs=2, callbacks=[Tells()], logger=False, enable_checkpointing=False, **QUIET)
    trainer.fit(regression()(), loader, loader)
    assert capsys.readouterr().out.splitlines() == ["val True", "Epoch 0 completed", "val True", "Epoch 1 completed"]


def test_a_module_knows_its_device_and_its_rank(loader: DataLoader) -> None:
    import lightning as L

    seen = []

    class Looks(regression()):  # type: ignore[misc]
        def on_train_start(self) -> None:
            if self.trainer.is_global_zero:
                seen.append(torch.zeros(10, device=self.device).device.type)

    L.Trainer(fast_dev_run=True, **QUIET).fit(Looks(), loader, loader)
    assert seen == ["cpu"]


@pytest.mark.parametrize(
    "given",
    [
        {"accelerator": "gpu", "devices": 4, "strategy": "ddp"},
        {"accelerator": "gpu", "devices": 4, "num_nodes": 8, "strategy": "ddp"},
        {"accelerator": "gpu", "devices": 4, "strategy": "fsdp"},
        {"accelerator": "gpu", "devices": 4, "strategy": "deepspeed_stage_2", "precision": "16-mixed"},
        {"accelerator": "tpu"},
    ],
    ids=str,
)
def test_more_devices_than_there_are_is_a_sentence(given: dict[str, Any]) -> None:
    import lightning as L
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    with pytest.raises(MisconfigurationException, match=r"strategy|TPU|gpu|`accelerator"):
        L.Trainer(**given)
