"""A Trainer's arguments: done by the loop, or refused."""

from __future__ import annotations

import pytest

from .conftest import QUIET, SGD, STEP, VAL, Ejects

DONE = [
    "max_epochs=2",
    "max_epochs=4, check_val_every_n_epoch=2",
    "max_epochs=3, gradient_clip_val=0.5",
    "max_epochs=3, gradient_clip_val=0.05, gradient_clip_algorithm='value'",
    "max_epochs=3, accumulate_grad_batches=2",
    "max_epochs=3, accumulate_grad_batches=4",
    "max_epochs=3, accumulate_grad_batches=2, gradient_clip_val=0.5",
    "max_steps=8",
    "max_steps=12",
    "max_epochs=2, max_steps=100",
    "max_epochs=9, max_steps=7",
    "max_epochs=3, limit_train_batches=3",
    "max_epochs=3, limit_train_batches=100",
    "max_epochs=3, limit_val_batches=2",
    "max_epochs=3, limit_val_batches=0",
    "max_epochs=3, num_sanity_val_steps=0",
    "max_epochs=3, accumulate_grad_batches=2, limit_train_batches=3",
    "max_epochs=3, accumulate_grad_batches=2, max_steps=4",
]
SCHEDULED = """
def configure_optimizers(self):
    optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    by_epoch = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    by_step = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    return [optimizer], [by_epoch, {"scheduler": by_step, "interval": "step"}]
"""


@pytest.mark.parametrize("trainer", DONE)
def test_what_a_loop_does(ejects: Ejects, trainer: str) -> None:
    ejects.exact(STEP, VAL, SCHEDULED, trainer=trainer)


REFUSED = [
    "max_epochs=-1",
    "strategy='ddp'",
    "devices=2",
    "precision='bf16-mixed'",
    "precision=16",
    "val_check_interval=0.5",
    "overfit_batches=2",
    "detect_anomaly=True",
    "fast_dev_run=True",
    "limit_train_batches=0.5",
    "reload_dataloaders_every_n_epochs=1",
    "deterministic=True",
    "min_epochs=3",
    "what_is_this=1",
]


@pytest.mark.parametrize("argument", REFUSED)
def test_what_it_cannot_do_is_refused(refuses: Ejects, argument: str) -> None:
    said = refuses.refused("TL802", STEP, SGD, trainer=f"\n    {argument}  # here\n    ")
    assert argument.partition("=")[0] in said.message


def test_arguments_in_a_dictionary_are_refused(refuses: Ejects) -> None:
    refuses.refused("TL802", STEP, SGD, trainer="**options", data="options = {}\n")


@pytest.mark.parametrize("callback", ["L.pytorch.callbacks.EarlyStopping('val_loss')", "MyCallback()", "make()"])
def test_callbacks_whose_work_is_not_known_are_refused(refuses: Ejects, callback: str) -> None:
    refuses.refused("TL804", STEP, SGD, trainer=f"callbacks=[{callback}]")


def test_callbacks_that_only_show_something_go(ejects: Ejects) -> None:
    ejects.exact(STEP, VAL, SGD, trainer="max_epochs=2, callbacks=[L.pytorch.callbacks.ModelSummary()]")


def test_a_logger_is_refused(refuses: Ejects) -> None:
    source = refuses.script(STEP, SGD).replace("logger=False", "logger=L.pytorch.loggers.CSVLogger('logs')")
    refuses.refused_script("TL804", source)


def test_files_that_are_written_no_more_are_told(refuses: Ejects) -> None:
    source = refuses.script(STEP, SGD).replace(QUIET, 'accelerator="cpu"')
    from torchlift_convert.eject.api import eject

    assert [d.code for d in eject(source).diagnostics] == ["TL810"]
