"""What ``configure_optimizers`` may return: each form, wrong ones too, against real lightning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ExponentialLR,
    LambdaLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

import torchlift as L


class Foreign:
    """A scheduler that is none of torch's."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    def step(self, *metric: Any) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] *= 0.5

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Stateless:
    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer


def sgd(module: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.1)


def with_scheduler(make: Callable[[Any], Any], **more: Any) -> Callable[[Any], Any]:
    """``{"optimizer": ..., "lr_scheduler": make(optimizer), **more}``."""

    def answer(module: Any) -> Any:
        optimizer = sgd(module)
        return {"optimizer": optimizer, "lr_scheduler": make(optimizer), **more}

    return answer


def in_lists(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``([optimizer], make(optimizer))``."""

    def answer(module: Any) -> Any:
        optimizer = sgd(module)
        return [optimizer], make(optimizer)

    return answer


FORMS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda module: None,
    "an optimizer": sgd,
    "a list": lambda module: [sgd(module)],
    "two": lambda module: [sgd(module), sgd(module)],
    "two in a tuple": lambda module: (sgd(module), sgd(module)),
    "a dict": lambda module: {"optimizer": sgd(module)},
    "a list of a dict": lambda module: [with_scheduler(lambda o: StepLR(o, 1))(module)],
    "two dicts": lambda module: [{"optimizer": sgd(module)}, {"optimizer": sgd(module)}],
    "unknown key": lambda module: {"optimizer": sgd(module), "frequency": 2},
    "no optimizer in the dict": lambda module: {"lr_scheduler": None},
    "scheduler": with_scheduler(lambda o: StepLR(o, 1)),
    "scheduler dict": with_scheduler(lambda o: {"scheduler": StepLR(o, 1), "interval": "step", "frequency": 2}),
    "named": with_scheduler(lambda o: {"scheduler": StepLR(o, 1), "name": "mine"}),
    "scheduler in a list": with_scheduler(lambda o: [StepLR(o, 1)]),
    "scheduler is none": with_scheduler(lambda o: None),
    "unknown scheduler key": with_scheduler(lambda o: {"scheduler": StepLR(o, 1), "speed": 1}),
    "no scheduler in the dict": with_scheduler(lambda o: {"interval": "step"}),
    "unknown interval": with_scheduler(lambda o: {"scheduler": StepLR(o, 1), "interval": "batch"}),
    "frequency of zero": with_scheduler(lambda o: {"scheduler": StepLR(o, 1), "frequency": 0}),
    "lists": in_lists(lambda o: [StepLR(o, 1), ExponentialLR(o, 0.5)]),
    "lists, bare": in_lists(lambda o: StepLR(o, 1)),
    "lists, dict": in_lists(lambda o: [{"scheduler": StepLR(o, 1), "interval": "step"}]),
    "lists, none": in_lists(lambda o: None),
    "lists, empty": in_lists(lambda o: []),
    "optimizer and scheduler": lambda module: (sgd(module), StepLR(sgd(module), 1)),
    "scheduler of another": lambda module: ([sgd(module)], [StepLR(sgd(module), 1)]),
    "plateau": with_scheduler(ReduceLROnPlateau),
    "plateau in a dict": with_scheduler(lambda o: {"scheduler": ReduceLROnPlateau(o)}),
    "plateau in lists": in_lists(lambda o: [ReduceLROnPlateau(o)]),
    "plateau, monitor": with_scheduler(ReduceLROnPlateau, monitor="loss"),
    "plateau, step": with_scheduler(
        lambda o: {"scheduler": ReduceLROnPlateau(o, patience=0), "monitor": "loss", "interval": "step"}
    ),
    "plateau, unknown": with_scheduler(ReduceLROnPlateau, monitor="missing"),
    "plateau, not strict": with_scheduler(
        lambda o: {"scheduler": ReduceLROnPlateau(o), "monitor": "missing", "strict": False}
    ),
    "said to be on plateau": with_scheduler(
        lambda o: {"scheduler": Foreign(o), "reduce_on_plateau": True, "monitor": "loss"}
    ),
    "one cycle by epoch": with_scheduler(lambda o: {"scheduler": OneCycleLR(o, 0.1, total_steps=10)}),
    "lambda": with_scheduler(lambda o: LambdaLR(o, lambda epoch: 0.5**epoch)),
    "chained": with_scheduler(lambda o: ChainedScheduler([StepLR(o, 1), ExponentialLR(o, 0.9)])),
    "sequential": with_scheduler(lambda o: SequentialLR(o, [StepLR(o, 1), ExponentialLR(o, 0.9)], [1])),
    "foreign": with_scheduler(Foreign),
    "stateless": with_scheduler(Stateless),
    "a string": lambda module: "adam",
    "an empty dict": lambda module: {},
}


def outcome(R: Any, lab: Any, answer: Callable[[Any], Any], **methods: Any) -> Any:
    """What came of a fit: the schedulers, the learning rates, the error, and the warnings about optimizers."""

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("loss", loss.detach() * 0 + batch_idx)
        if not self.automatic_optimization:
            found = self.optimizers()
            for optimizer in found if isinstance(found, list) else [found]:
                optimizer.step()
        return loss

    kind = lab.classifier(R, configure_optimizers=answer, training_step=training_step, **methods)
    torch.manual_seed(0)
    module = kind()
    module.automatic_optimization = not methods.get("manual", False)
    trainer = R.Trainer(max_epochs=2, limit_train_batches=3, **lab.QUIET)
    error = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            trainer.fit(module, lab.loader())
        except Exception as exception:
            error = type(exception).__name__
    configs = [(c.name, c.interval, c.frequency, c.monitor, c.strict) for c in trainer.lr_scheduler_configs]
    rates = [group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups]
    words = ("lr scheduler", "optimizer", "OneCycle", "ReduceLROnPlateau")
    told = {(w.category.__name__, str(w.message)) for w in said if any(word in str(w.message) for word in words)}
    return {"configs": configs if error is None else None, "rates": rates, "error": error, "warnings": told}


@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
@pytest.mark.parametrize("form", FORMS)
def test_each_form(form: str, manual: bool, lab: Any) -> None:
    ours, theirs = (outcome(R, lab, FORMS[form], manual=manual) for R in (L, lightning))
    assert ours == theirs


def test_a_step_of_its_own_lets_any_scheduler_in(lab: Any) -> None:
    def lr_scheduler_step(self: Any, scheduler: Any, metric: Any) -> None:
        scheduler.step()

    found = [outcome(R, lab, FORMS["foreign"], lr_scheduler_step=lr_scheduler_step) for R in (L, lightning)]
    assert found[0] == found[1]
    assert found[0]["error"] is None and found[0]["rates"] == [0.025]  # stepped after each of two epochs


@pytest.mark.parametrize("empty", [[], ()])
def test_no_optimizer_at_all(empty: Any, lab: Any) -> None:
    module = lab.classifier(L, configure_optimizers=lambda module: empty)()
    with pytest.raises(L.utilities.MisconfigurationException, match="returned no optimizer"):
        L.Trainer(max_epochs=1, **lab.QUIET).fit(module, lab.loader())
