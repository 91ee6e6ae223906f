"""The same module on torchlift and on real lightning: the same hooks in the same order with the same arguments, the
same logged values, the same weights to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR


def plain(self: Any) -> Any:
    return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def by_epoch(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
    return [optimizer], [StepLR(optimizer, 1, 0.5)]


def by_step(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    return [optimizer], [{"scheduler": StepLR(optimizer, 2, 0.5), "interval": "step", "frequency": 2}]


def every_second_epoch(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": StepLR(optimizer, 1, 0.5), "frequency": 2}}


def plateau(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "val_loss"}


def plateau_by_step(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
    scheduler = {"scheduler": ReduceLROnPlateau(optimizer, factor=0.5, patience=1), "interval": "step"}
    return {"optimizer": optimizer, "lr_scheduler": {**scheduler, "monitor": "train_loss"}}


def lbfgs(self: Any) -> Any:
    return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


def none(self: Any) -> None:
    return None


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {"max_epochs": 2}),
    "one epoch": ({}, {"max_epochs": 1, "num_sanity_val_steps": 0}),
    "sanity check of all batches": ({}, {"max_epochs": 1, "num_sanity_val_steps": -1}),
    "accumulation with a ragged tail": (
        {"configure_optimizers": plain},
        {"max_epochs": 2, "accumulate_grad_batches": 3},
    ),
    "accumulation by two": ({"configure_optimizers": by_step}, {"max_epochs": 2, "accumulate_grad_batches": 2}),
    "clipping by norm": ({}, {"max_epochs": 2, "gradient_clip_val": 0.1}),
    "clipping by value": ({}, {"max_epochs": 2, "gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"}),
    "scheduler by epoch": ({"configure_optimizers": by_epoch}, {"max_epochs": 3}),
    "scheduler by step": ({"configure_optimizers": by_step}, {"max_epochs": 2}),
    "scheduler every second epoch": ({"configure_optimizers": every_second_epoch}, {"max_epochs": 4}),
    "plateau": ({"configure_optimizers": plateau}, {"max_epochs": 4}),
    "plateau by step": ({"configure_optimizers": plateau_by_step}, {"max_epochs": 2}),
    "LBFGS": ({"configure_optimizers": lbfgs}, {"max_epochs": 2}),
    "LBFGS, accumulated": ({"configure_optimizers": lbfgs}, {"max_epochs": 1, "accumulate_grad_batches": 2}),
    "no optimizer": ({"configure_optimizers": none}, {"max_epochs": 1}),
    "max_steps": ({}, {"max_steps": 9}),
    "max_steps at the end of an epoch": ({}, {"max_steps": 7, "max_epochs": 5}),
    "max_steps and accumulation": ({}, {"max_steps": 4, "accumulate_grad_batches": 2}),
    "no epochs": ({}, {"max_epochs": 0}),
    "no steps": ({}, {"max_steps": 0}),
    "limits": ({}, {"max_epochs": 2, "limit_train_batches": 3, "limit_val_batches": 1}),
    "limits as shares": ({}, {"max_epochs": 2, "limit_train_batches": 0.5, "limit_val_batches": 0.5}),
    "no training batches": ({}, {"max_epochs": 2, "limit_train_batches": 0}),
    "no validation batches": ({}, {"max_epochs": 2, "limit_val_batches": 0}),
    "fast_dev_run": ({}, {"fast_dev_run": True}),
    "fast_dev_run of three": ({}, {"fast_dev_run": 3}),
    "overfit_batches": ({}, {"max_epochs": 2, "overfit_batches": 2}),
    "overfit a share": ({}, {"max_epochs": 2, "overfit_batches": 0.5}),
    "validation every second epoch": ({}, {"max_epochs": 4, "check_val_every_n_epoch": 2}),
    "validation every two batches": ({}, {"max_epochs": 2, "val_check_interval": 2}),
    "validation every half epoch": ({}, {"max_epochs": 2, "val_check_interval": 0.5}),
    "validation across epochs": (
        {},
        {"max_epochs": 3, "val_check_interval": 5, "check_val_every_n_epoch": None},
    ),
    "validation at each batch": ({}, {"max_epochs": 1, "val_check_interval": 1}),
    "reloading each epoch": ({}, {"max_epochs": 3, "reload_dataloaders_every_n_epochs": 1}),
    "double precision": ({}, {"max_epochs": 2, "precision": "64-true"}),
    "bfloat16, mixed": ({}, {"max_epochs": 1, "precision": "bf16-mixed"}),
    "bfloat16": ({}, {"max_epochs": 1, "precision": "bf16-true"}),
    "anomaly detection": ({}, {"max_epochs": 1, "detect_anomaly": True}),
}


def fit(lab: Any, L: Any, observed: Any, methods: dict[str, Any], options: dict[str, Any]) -> Any:
    cls = lab.recording(lab.classifier(L, **methods), observed)
    module = cls()
    callback = lab.recording_callback(L, observed, metrics=True)
    trainer = L.Trainer(**{**lab.QUIET, "callbacks": [callback], **options})
    trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
    return module, trainer, None


@pytest.mark.parametrize("case", CASES)
def test_hooks_arguments_and_metrics(differential: Any, lab: Any, case: str) -> None:
    methods, options = CASES[case]
    observed = differential.same(lambda L, seen: fit(lab, L, seen, methods, options))
    assert len(observed.events) > 5


@pytest.mark.parametrize("case", CASES)
def test_weights_when_nobody_listens(differential: Any, lab: Any, case: str) -> None:
    """With no hook overridden the loop takes its shortest way, and the numbers stay."""
    methods, options = CASES[case]

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.classifier(L, **methods)()
        trainer = L.Trainer(**lab.QUIET, **options)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        return module, trainer, [module.training, [one.training for one in module.modules()]]

    differential.same(experiment)


def test_a_run_that_does_something_else_is_told_apart(differential: Any, lab: Any) -> None:
    """The harness can fail: a learning rate that differs in the seventh digit shows."""

    def experiment(L: Any, observed: Any) -> Any:
        rate = 0.01 if L is lab.RUNTIMES["lightning"] else 0.01 * (1 + 1e-6)
        methods = {"configure_optimizers": lambda self: torch.optim.SGD(self.parameters(), lr=rate)}
        return fit(lab, L, observed, methods, {"max_epochs": 1})

    with pytest.raises(AssertionError):
        differential.same(experiment)


def test_nn_modules_in_evaluation_mode_stay_so(differential: Any, lab: Any) -> None:
    """A frozen part keeps its mode through validation: modes are put back one by one, not by ``train()``."""

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.classifier(L)()
        module.frozen = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout()).eval()
        trainer = L.Trainer(**lab.QUIET, max_epochs=2)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        return module, trainer, [one.training for one in module.modules()]

    assert differential.same(experiment).result[-1] is False
