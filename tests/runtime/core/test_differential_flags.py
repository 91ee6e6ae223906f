"""Trainer flags in combinations nobody thought of: hypothesis draws them, and nothing may differ between runtimes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

FLAGS: dict[str, list[Any]] = {
    "accumulate_grad_batches": [2, 3, 5],
    "gradient_clip_val": [0.05],
    "gradient_clip_algorithm": ["value"],
    "max_steps": [1, 3, 8, 15],
    "min_epochs": [2],
    "min_steps": [6],
    "limit_train_batches": [1, 2, 0.5, 5],
    "limit_val_batches": [0, 1, 0.7],
    "overfit_batches": [1, 0.4],
    "check_val_every_n_epoch": [2, 3],
    "val_check_interval": [1, 2, 0.3, 0.5],
    "num_sanity_val_steps": [0, 1, -1],
    "reload_dataloaders_every_n_epochs": [1, 2],
    "precision": ["64-true", "bf16-mixed"],
    "fast_dev_run": [True, 2],
    "log_every_n_steps": [1, 2],
    "detect_anomaly": [True],
}


def adam(self: Any) -> Any:
    return torch.optim.Adam(self.parameters(), lr=0.01)


def lbfgs(self: Any) -> Any:
    return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=2)


def by_step(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
    return [optimizer], [{"scheduler": StepLR(optimizer, 2, 0.5), "interval": "step", "frequency": 2}]


def by_epoch(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    return [optimizer], [StepLR(optimizer, 1, 0.5)]


def plateau(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
    config = {"scheduler": ReduceLROnPlateau(optimizer, factor=0.5, patience=0), "monitor": "train_loss"}
    return {"optimizer": optimizer, "lr_scheduler": config}


def asks_to_stop(self: Any, batch: Any, batch_idx: int) -> Any:
    if self.global_step == 4:
        self.trainer.should_stop = True
    loss = self.loss(batch)
    self.log("train_loss", loss, on_epoch=True)
    return loss


def leaves_out(self: Any, batch: Any, batch_idx: int) -> int | None:
    return -1 if batch_idx == 3 else None


METHODS: list[dict[str, Any]] = [{}, {"training_step": asks_to_stop}, {"on_train_batch_start": leaves_out}]


@settings(max_examples=30)
@given(
    flags=st.fixed_dictionaries(
        {"max_epochs": st.integers(0, 3)}, optional={k: st.sampled_from(v) for k, v in FLAGS.items()}
    ),
    configure=st.sampled_from([adam, lbfgs, by_step, by_epoch, plateau]),
    methods=st.sampled_from(METHODS),
    shuffled=st.booleans(),
    listening=st.booleans(),
)
def test_flags(lab: Any, flags: Any, configure: Any, methods: Any, shuffled: bool, listening: bool) -> None:
    def experiment(R: Any, observed: Any) -> Any:
        cls = lab.classifier(R, configure_optimizers=configure, **methods)
        module = (lab.recording(cls, observed) if listening else cls)()
        callbacks = [lab.recording_callback(R, observed, metrics=True)] if listening else []
        trainer = R.Trainer(**lab.QUIET, **flags, callbacks=callbacks)
        try:
            trainer.fit(module, lab.loader(), lab.loader(10, shuffle=shuffled))
            error = None
        except Exception as raised:  # a combination that cannot work: the same kind of error on both
            error = type(raised).__name__
        return module, trainer, error

    with tempfile.TemporaryDirectory() as folder:
        lab.Differential(Path(folder)).same(experiment)
