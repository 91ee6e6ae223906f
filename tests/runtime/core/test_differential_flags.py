"""Trainer flags in combinations nobody thought of: hypothesis draws them, and nothing may differ between runtimes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from torchlift import position

FLAGS: dict[str, list[Any]] = {
    "accumulate_grad_batches": [2, 3, 5],
    "gradient_clip_val": [0.05, 0, 3],
    "gradient_clip_algorithm": ["value", "norm"],
    "max_steps": [1, 3, 8, 15],
    "min_epochs": [2],
    "min_steps": [6],
    "max_time": ["00:01:00:00", timedelta(minutes=5), {"hours": 1}, timedelta(0)],
    "limit_train_batches": [1, 2, 0.5, 5, 1.0],
    "limit_val_batches": [0, 1, 0.7],
    "limit_test_batches": [0, 2, 0.4],
    "overfit_batches": [1, 0.4],
    "check_val_every_n_epoch": [2, 3, None],
    "val_check_interval": [1, 2, 0.3, 0.5, 1.0, 9, "00:00:00:00", {"days": 1}],
    "num_sanity_val_steps": [0, 1, -1],
    "reload_dataloaders_every_n_epochs": [1, 2],
    "precision": ["64-true", "bf16-mixed", "bf16-true", 32, "16"],
    "fast_dev_run": [True, 2, 0],
    "log_every_n_steps": [1, 2],
    "detect_anomaly": [True],
    "inference_mode": [False],
    "deterministic": [False, "warn"],
    "use_distributed_sampler": [False],
    "sync_batchnorm": [True],
    "enable_autolog_hparams": [False],
    "barebones": [True],
    "strategy": ["single_device"],
    "devices": ["auto", "1"],
    "default_root_dir": ["elsewhere"],
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


def logs_a_loss(self: Any, batch: Any, batch_idx: int) -> None:
    self.log("test_loss", self.loss(batch), on_step=True, on_epoch=True)


METHODS: list[dict[str, Any]] = [{}, {"training_step": asks_to_stop}, {"on_train_batch_start": leaves_out}]


def contents(path: Path) -> Any:
    """What a checkpoint holds, without what only one of the runtimes keeps there."""
    kept = torch.load(path, weights_only=False)
    for key, state in kept["callbacks"].items():
        if key.startswith("Timer"):  # seconds, which no two runs have in common
            state["time_elapsed"] = sorted(state["time_elapsed"])
    return {key: value for key, value in kept.items() if key != position.KEY}


@settings(max_examples=25)
@given(
    flags=st.fixed_dictionaries(
        {"max_epochs": st.integers(0, 3)}, optional={k: st.sampled_from(v) for k, v in FLAGS.items()}
    ),
    configure=st.sampled_from([adam, lbfgs, by_step, by_epoch, plateau]),
    methods=st.sampled_from(METHODS),
    shuffled=st.booleans(),
    listening=st.booleans(),
    validating=st.booleans(),
)
def test_flags(
    lab: Any,
    differential_of: Any,
    flags: Any,
    configure: Any,
    methods: Any,
    shuffled: bool,
    listening: bool,
    validating: bool,
) -> None:
    """Hooks with their arguments, metrics, weights, what a checkpoint holds, and what testing gives afterwards."""

    def experiment(R: Any, observed: Any) -> Any:
        cls = lab.classifier(R, configure_optimizers=configure, test_step=logs_a_loss, **methods)
        module = (lab.recording(cls, observed) if listening else cls)()
        callbacks = [lab.recording_callback(R, observed, metrics=True)] if listening else []
        found: list[Any] = []
        try:
            trainer = R.Trainer(**{**lab.QUIET, **flags}, callbacks=callbacks)
            trainer.fit(module, lab.loader(), lab.loader(10, shuffle=shuffled) if validating else None)
            found += [trainer.num_training_batches, trainer.num_val_batches, trainer.estimated_stepping_batches]
            trainer.save_checkpoint("kept.ckpt")
            kept = contents(Path("kept.ckpt"))
            if "on_train_batch_start" in methods:
                del kept["loops"]  # lightning counts a batch that was left out as ready and processed, but not started
            found.append(kept)
            found.append(trainer.test(module, lab.loader(10, shuffle=False)))
        except Exception as raised:  # a combination that cannot work: the same kind of error on both
            found.append(type(raised).__name__)
            trainer = R.Trainer(**lab.QUIET)
        return module, trainer, found

    with differential_of() as both:
        both.same(experiment)
