"""What changes while a run is under way is followed as in Lightning: methods, callbacks, optimizers, the end."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from torch import Tensor


def fit(lab: Any, L: Any, methods: dict[str, Any], callbacks: Any = (), **options: Any) -> Any:
    module = lab.classifier(L, **methods)()
    trainer = L.Trainer(**{**lab.QUIET, "max_epochs": 3, "limit_val_batches": 2, **options}, callbacks=list(callbacks))
    trainer.fit(module, lab.loader(), lab.loader(shuffle=False))
    return module, trainer, None


def halve(module: Any) -> None:
    for parameter in module.parameters():
        parameter.grad.mul_(0.5)


REPLACEMENTS: dict[str, Any] = {
    "training_step": lambda self, batch, batch_idx: self.loss(batch) * 3,
    "validation_step": lambda self, batch, batch_idx: self.log("new_val_loss", self.loss(batch)),
    "on_after_backward": halve,
    "configure_gradient_clipping": lambda self, optimizer, *args, **kwargs: halve(self),
    "optimizer_zero_grad": lambda self, epoch, batch_idx, optimizer: None,
    "on_after_batch_transfer": lambda self, batch, dataloader_idx: [batch[0] * 2, batch[1]],
    "optimizer_step": lambda self, epoch, batch_idx, optimizer, closure: (closure(), self.zero_grad()),
    "on_train_batch_end": lambda self, outputs, batch, batch_idx: self.log("end", outputs["loss"]),
}


@pytest.mark.parametrize("moment", ["on_train_start", "on_train_epoch_start", "on_train_batch_start"])
@pytest.mark.parametrize("name", REPLACEMENTS)
def test_a_method_put_on_the_module_holds_from_there_on(lab: Any, differential: Any, name: str, moment: str) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        def replace(self: Any, trainer: Any, module: Any, *args: Any) -> None:
            if trainer.current_epoch == (moment != "on_train_start") and name not in vars(module):
                setattr(module, name, types.MethodType(REPLACEMENTS[name], module))

        callback = type("Replacing", (L.Callback,), {moment: replace})()
        return fit(lab, L, {}, [callback], val_check_interval=3)

    differential.same(experiment)


def test_training_step_may_replace_itself_and_go_back(lab: Any, differential: Any) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Tensor:
        if batch_idx == 2:
            self.training_step = self.second_step
        return self.loss(batch)

    def second_step(self: Any, batch: Any, batch_idx: int) -> Tensor:
        if batch_idx == 5:
            del self.training_step
        return -self.loss(batch)

    methods = {"training_step": training_step, "second_step": second_step}
    differential.same(lambda L, observed: fit(lab, L, methods))


@pytest.mark.parametrize("how", ["append", "assign", "remove"])
@pytest.mark.parametrize(
    "moment",
    ["on_train_epoch_start", "on_validation_start", "on_validation_end", "on_train_epoch_end"],
)
def test_callbacks_come_and_go(lab: Any, differential: Any, moment: str, how: str) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        def halve_gradients(self: Any, trainer: Any, module: Any) -> None:
            halve(module)

        late = type("Late", (lab.recording_callback(L, observed).__class__,), {"on_after_backward": halve_gradients})()

        def change(self: Any, trainer: Any, module: Any) -> None:
            if (
                trainer.current_epoch != 1
                or trainer.sanity_checking
                or (late in trainer.callbacks) != (how == "remove")
            ):
                return
            if how == "append":
                trainer.callbacks.append(late)
            elif how == "assign":
                trainer.callbacks = [*trainer.callbacks, late]
            else:
                trainer.callbacks.remove(late)

        changing = type("Changing", (L.Callback,), {moment: change})()
        # In front, so that neither runtime is inside the list where it changes.
        given = [late, changing] if how == "remove" else [changing]
        return fit(lab, L, {}, given, val_check_interval=3)

    found = differential.run(experiment)
    ours, theirs = found["torchlift"], found["lightning"]
    assert ours.weights == theirs.weights
    # At the very moment of the change the two may differ on whether the callback still hears of it.
    strip = [event for event in ours.events if event[1] != moment]
    assert strip == [event for event in theirs.events if event[1] != moment]


@pytest.mark.parametrize("moment", ["on_train_epoch_start", "on_train_batch_end"])
def test_another_optimizer_midway(lab: Any, differential: Any, moment: str) -> None:
    def change(self: Any, *args: Any) -> None:
        if self.global_step == 7:
            self.trainer.optimizers = [torch.optim.SGD(self.parameters(), lr=0.1)]

    differential.same(lambda L, observed: fit(lab, L, {moment: change}))


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_step_put_on_the_optimizer_gets_the_closure(lab: Any, differential: Any, scheduled: bool) -> None:
    def configure_optimizers(self: Any) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        inner = optimizer.step

        def step(self: Any, closure: Any) -> Any:
            loss = closure()
            halve_all = [group["params"] for group in self.param_groups]
            for parameter in halve_all[0]:
                parameter.grad.mul_(0.5)
            inner()
            return loss

        optimizer.step = types.MethodType(step, optimizer)
        if not scheduled:
            return optimizer
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    differential.same(lambda L, observed: fit(lab, L, {"configure_optimizers": configure_optimizers}))


@pytest.mark.parametrize(
    "moment",
    ["training_step", "on_train_batch_start", "on_before_zero_grad", "on_train_batch_end", "validation_step"],
)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_stop_iteration_ends_the_epoch_whoever_raises_it(
    lab: Any, differential: Any, moment: str, accumulate: int
) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        inner = getattr(lab.classifier(L), moment)

        def stop(self: Any, batch: Any, *args: Any) -> Any:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls % 5 == 0:
                raise StopIteration
            return inner(self, batch, *args)

        if moment.endswith("_step"):

            def stop(self: Any, batch: Any, batch_idx: int, first: Any = stop) -> Any:
                return first(self, batch, batch_idx)

        callback = lab.recording_callback(L, observed, metrics=True)
        return fit(lab, L, {moment: stop}, [callback], val_check_interval=4, accumulate_grad_batches=accumulate)

    assert differential.same(experiment).events


@pytest.mark.parametrize("moment", ["on_train_batch_start", "on_train_batch_end", "on_train_epoch_start"])
def test_gradients_that_somebody_turned_off_are_on_in_the_step(lab: Any, differential: Any, moment: str) -> None:
    def turn_off(self: Any, *args: Any) -> None:
        torch.set_grad_enabled(False)

    try:
        differential.same(lambda L, observed: fit(lab, L, {moment: turn_off}))
    finally:
        torch.set_grad_enabled(True)


def test_a_loss_changed_in_place_by_a_hook_is_not_the_one_differentiated(lab: Any, differential: Any) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Tensor:
        self.kept = self.loss(batch) * 1
        return self.kept

    methods = {"training_step": training_step, "on_before_backward": lambda self, loss: self.kept.mul_(2)}

    def experiment(L: Any, observed: Any) -> Any:
        return fit(lab, L, methods, [lab.recording_callback(L, observed)])

    differential.same(experiment)


@pytest.mark.parametrize("at", [0, 4])
def test_what_a_batch_that_is_left_out_logged_counts_for_nothing(lab: Any, differential: Any, at: int) -> None:
    def on_train_batch_start(self: Any, batch: Any, batch_idx: int) -> int | None:
        self.log("seen", float(self.current_epoch * 10 + batch_idx))
        return -1 if batch_idx == at else None

    differential.same(lambda L, observed: fit(lab, L, {"on_train_batch_start": on_train_batch_start}))


def test_stop_iteration_in_manual_optimization_ends_the_step(lab: Any, differential: Any) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> None:
        optimizer, loss = self.optimizers(), self.loss(batch)
        optimizer.zero_grad()
        self.manual_backward(loss)
        if batch_idx == 3:
            raise StopIteration
        optimizer.step()
        self.log("stepped", loss)

    def experiment(L: Any, observed: Any) -> Any:
        methods = {"training_step": training_step, "automatic_optimization": False}
        return fit(lab, L, methods, [lab.recording_callback(L, observed, metrics=True)])

    assert differential.same(experiment).events
