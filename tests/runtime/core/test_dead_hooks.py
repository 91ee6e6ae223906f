"""A hook that is misspelled is named; what only resembles one is left alone."""

import warnings
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import torchlift as L
from torchlift.utilities import rank_zero


class Module(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.net(batch[0]).mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def said(module: Any, *callbacks: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings about hooks at the start of a run."""
    monkeypatch.setattr(rank_zero, "_said", set())
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(module, DataLoader(TensorDataset(torch.ones(2, 1))))
    return [str(one.message) for one in caught if "never called" in str(one.message)]


def nothing(self: Any, *args: Any) -> None:
    raise AssertionError("nobody calls this")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_train_epoch_ends", "on_train_epoch_end"),
        ("on_train_batch_strat", "on_train_batch_start"),
        ("configure_optimisers", None),
        ("configure_callback", "configure_callbacks"),
        ("val_dataloaders", "val_dataloader"),
        ("validaton_step", "validation_step"),
        ("on_epoch_end", "on_train_epoch_end"),
        ("training_step_end", "training_step"),
    ],
)
def test_a_hook_that_is_none_is_named(name: str, meant: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """`configure_optimizers` is there, so its look-alike may be a part of it."""
    found = said(type("Mine", (Module,), {name: nothing})(), monkeypatch=monkeypatch)
    assert [f"`Mine.{name}` is never called" in one and f"`{meant}`" in one for one in found] == [True] * bool(meant)


def test_callbacks_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = said(Module(), type("Watch", (L.Callback,), {"on_fit_strat": nothing})(), monkeypatch=monkeypatch)
    assert found == [
        "`Watch.on_fit_strat` is never called: there is no hook of this name. Did you mean `on_fit_start`?"
    ]


@pytest.mark.parametrize(
    "name", ["on_click", "step", "encode", "training_step_of_the_generator", "on_test_ende_neu", "log2"]
)
def test_methods_of_ones_own_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(type("Mine", (Module,), {name: nothing})(), monkeypatch=monkeypatch) == []


@pytest.mark.parametrize("given", ["early_stopping", L.Callback])
def test_what_is_no_callback_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="takes instances of `Callback`, got"):
        L.Trainer(accelerator="cpu", callbacks=[given])
