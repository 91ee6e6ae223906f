"""More of the same: manual optimization, overridden steps, several loaders, logging in every form, the other entry
points. Each experiment runs on torchlift and on real lightning and must do the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, IterableDataset

# -- manual optimization ----------------------------------------------------------------------------------------------


def gan(L: Any, toggles: bool, closures: bool = False, raw: bool = False) -> type:
    """Two networks, two optimizers, stepped in turn; the second scheduler by hand."""

    class GAN(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.make = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6))
            self.judge = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(), nn.Dropout(0.1), nn.Linear(8, 1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, _ = batch
            first, second = self.optimizers(use_pl_optimizer=not raw)
            noise = torch.randn(len(x), 3)

            def update(optimizer: Any, loss: Callable[[], torch.Tensor], name: str) -> None:
                def closure() -> torch.Tensor:
                    value = loss()
                    optimizer.zero_grad()
                    self.manual_backward(value)
                    self.log(name, value, prog_bar=True, on_epoch=True)
                    return value

                if closures:
                    optimizer.step(closure=closure)
                else:
                    closure()
                    self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")
                    optimizer.step()

            if toggles:
                self.toggle_optimizer(first)
            update(first, lambda: -self.judge(self.make(noise)).mean(), "make")
            if toggles:
                self.untoggle_optimizer(first)
                self.toggle_optimizer(second)
            update(second, lambda: (self.judge(self.make(noise).detach()) - self.judge(x)).mean(), "judge")
            if toggles:
                self.untoggle_optimizer(second)
            if batch_idx % 2:
                self.lr_schedulers().step()
            return {"loss": torch.tensor(1.0), "seen": len(x)} if batch_idx % 2 else None

        def configure_optimizers(self) -> Any:
            first = torch.optim.Adam(self.make.parameters(), lr=0.01)
            second = torch.optim.SGD(self.judge.parameters(), lr=0.1)
            return [first, second], [StepLR(second, 1, 0.9)]

    return GAN


@pytest.mark.parametrize("max_steps", [-1, 9])
@pytest.mark.parametrize("closures", [False, True])
@pytest.mark.parametrize("toggles", [False, True])
def test_manual_optimization(differential: Any, lab: Any, toggles: bool, closures: bool, max_steps: int) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        module = lab.recording(gan(L, toggles, closures), observed)()
        callbacks = [lab.recording_callback(L, observed, metrics=True)]
        trainer = L.Trainer(**lab.QUIET, max_epochs=3, max_steps=max_steps, callbacks=callbacks)
        trainer.fit(module, lab.loader())
        return module, trainer, trainer.global_step

    steps = differential.same(experiment).result
    assert steps == (42 if max_steps == -1 else 10)


def test_raw_optimizers_do_not_count(differential: Any, lab: Any) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        module = gan(L, toggles=False, raw=True)()
        trainer = L.Trainer(**lab.QUIET, max_epochs=2)
        trainer.fit(module, lab.loader())
        return module, trainer, trainer.global_step

    assert differential.same(experiment).result == 0


def test_manual_backward_hands_its_arguments_on(differential: Any, lab: Any) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        loss = self.loss(batch)
        optimizer.zero_grad()
        self.manual_backward(loss, retain_graph=True)
        self.manual_backward(loss, gradient=torch.tensor(0.5))
        optimizer.step()

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(L, training_step=training_step), observed)()
        module.automatic_optimization = False
        trainer = L.Trainer(**lab.QUIET, max_epochs=1)
        trainer.fit(module, lab.loader())
        return module, trainer, None

    differential.same(experiment)


# -- overridden steps -------------------------------------------------------------------------------------------------


def optimizer_step(self: Any, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
    for group in optimizer.param_groups:
        group["lr"] = 0.01 * (batch_idx + 1)
    if batch_idx % 3 != 2:
        optimizer.step(closure=optimizer_closure)
    else:
        optimizer_closure()  # gradients, but no update
    self.log("lr", optimizer.param_groups[0]["lr"])


def optimizer_zero_grad(self: Any, epoch: int, batch_idx: int, optimizer: Any) -> None:
    optimizer.zero_grad(set_to_none=False)


def backward(self: Any, loss: torch.Tensor) -> None:
    (loss * 2).backward()


def configure_gradient_clipping(
    self: Any, optimizer: Any, gradient_clip_val: Any, gradient_clip_algorithm: Any
) -> None:
    self.clip_gradients(optimizer, gradient_clip_val=0.01, gradient_clip_algorithm="value")


def lr_scheduler_step(self: Any, scheduler: Any, metric: Any) -> None:
    scheduler.step(epoch=self.current_epoch)


def with_scheduler(self: Any) -> Any:
    optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
    return [optimizer], [StepLR(optimizer, 1, 0.5)]


def stops_early(self: Any, batch: Any, batch_idx: int) -> int | None:
    return -1 if batch_idx == 2 else None


def skips_some(self: Any, batch: Any, batch_idx: int) -> Any:
    return None if batch_idx % 2 else self.loss(batch)


def returns_a_dict(self: Any, batch: Any, batch_idx: int) -> Any:
    return {"loss": self.loss(batch), "size": len(batch[0]), "batch_idx": batch_idx}


def asks_to_stop(self: Any, batch: Any, batch_idx: int) -> Any:
    if self.global_step == 4:
        self.trainer.should_stop = True
    return self.loss(batch)


def takes_the_batch_only(self: Any, batch: Any) -> Any:
    return self.loss(batch)


def takes_other_names(self: Any, data: Any, number: int) -> Any:
    return self.loss(data) * (1 + number)


OVERRIDES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "optimizer_step": ({"optimizer_step": optimizer_step}, {"max_epochs": 2}),
    "optimizer_step, accumulated": (
        {"optimizer_step": optimizer_step},
        {"max_epochs": 1, "accumulate_grad_batches": 2},
    ),
    "optimizer_step, clipped": ({"optimizer_step": optimizer_step}, {"max_epochs": 1, "gradient_clip_val": 0.2}),
    "optimizer_zero_grad": ({"optimizer_zero_grad": optimizer_zero_grad}, {"max_epochs": 2}),
    "backward": ({"backward": backward}, {"max_epochs": 2}),
    "configure_gradient_clipping": ({"configure_gradient_clipping": configure_gradient_clipping}, {"max_epochs": 2}),
    "lr_scheduler_step": (
        {"lr_scheduler_step": lr_scheduler_step, "configure_optimizers": with_scheduler},
        {"max_epochs": 3},
    ),
    "on_train_batch_start returns -1": (
        {"on_train_batch_start": stops_early, "configure_optimizers": with_scheduler},
        {"max_epochs": 3},
    ),
    "training_step returns None": (
        {"training_step": skips_some, "configure_optimizers": with_scheduler},
        {"max_epochs": 2},
    ),
    "training_step returns a dict": ({"training_step": returns_a_dict}, {"max_epochs": 2}),
    "a dict, accumulated": ({"training_step": returns_a_dict}, {"max_epochs": 2, "accumulate_grad_batches": 2}),
    "should_stop": ({"training_step": asks_to_stop}, {"max_epochs": 3}),
    "should_stop before min_epochs": ({"training_step": asks_to_stop}, {"max_epochs": 4, "min_epochs": 3}),
    "should_stop before min_steps": ({"training_step": asks_to_stop}, {"max_epochs": 4, "min_steps": 10}),
    "should_stop before the end of validation": (
        {"training_step": asks_to_stop},
        {"max_epochs": 3, "check_val_every_n_epoch": 2},
    ),
    "a step without the index": ({"training_step": takes_the_batch_only}, {"max_epochs": 1}),
    "a step with other names": ({"training_step": takes_other_names}, {"max_epochs": 1}),
}


@pytest.mark.parametrize("case", OVERRIDES)
def test_overridden_methods(differential: Any, lab: Any, case: str) -> None:
    methods, options = OVERRIDES[case]

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(L, **methods), observed)()
        callbacks = [lab.recording_callback(L, observed, metrics=True)]
        trainer = L.Trainer(**lab.QUIET, **options, callbacks=callbacks)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        return module, trainer, None

    differential.same(experiment)


def test_an_optimizer_of_unknown_kind_gets_the_closure(differential: Any, lab: Any) -> None:
    """What it does with the closure is its own business: here the gradient is taken at two points."""

    class TwoPoints(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with torch.enable_grad():
                closure()
            with torch.no_grad():
                for group in self.param_groups:
                    for parameter in group["params"]:
                        parameter.add_(parameter.grad, alpha=0.01)
            with torch.enable_grad():
                loss = closure()
            super().step()
            return loss

    methods = {"configure_optimizers": lambda self: TwoPoints(self.parameters(), lr=0.05)}

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(L, **methods), observed)()
        trainer = L.Trainer(**lab.QUIET, max_epochs=2)
        trainer.fit(module, lab.loader())
        return module, trainer, None

    differential.same(experiment)


def test_a_hook_before_the_optimizers_step_sees_the_same(differential: Any, lab: Any) -> None:
    """torch's own hooks on optimizers: when they run relative to the gradients is kept."""

    def configure(self: Any) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
        weight = self.net[0].weight
        optimizer.register_step_pre_hook(
            lambda *_: self.seen.append(None if weight.grad is None else weight.grad.sum().item())
        )
        return optimizer

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.classifier(L, configure_optimizers=configure)()
        module.seen = []
        trainer = L.Trainer(**lab.QUIET, max_epochs=2)
        trainer.fit(module, lab.loader())
        return module, trainer, module.seen

    assert len(differential.same(experiment).result) == 14


# -- loaders ----------------------------------------------------------------------------------------------------------


class Stream(IterableDataset):
    """Rows drawn as they are asked for, without a length."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.rows):
            yield torch.randn(6), torch.randint(0, 3, ())


class Sized:
    """A sized iterable that makes its loader at the first batch."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        yield from self.loader


class Short(Sized):
    """It promises more batches than it has."""

    def __len__(self) -> int:
        return len(self.loader) + 3


LOADERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], dict[str, Any]]] = {
    "iterable without length": (
        lambda lab: DataLoader(Stream(14), batch_size=4),
        lambda lab: DataLoader(Stream(6), batch_size=4),
        {},
    ),
    "iterable, limited": (
        lambda lab: DataLoader(Stream(14), batch_size=4),
        lambda lab: None,
        {"limit_train_batches": 2},
    ),
    "iterable, validated every batch": (
        lambda lab: DataLoader(Stream(14), batch_size=4),
        lambda lab: lab.loader(10, shuffle=False),
        {"val_check_interval": 2},
    ),
    "a lazy iterable": (lambda lab: Sized(lab.loader()), lambda lab: Sized(lab.loader(10)), {}),
    "a loader shorter than it says": (lambda lab: Short(lab.loader()), lambda lab: lab.loader(10, shuffle=False), {}),
    "iterable, overfitted": (
        lambda lab: DataLoader(Stream(14), batch_size=4),
        lambda lab: DataLoader(Stream(6), batch_size=4),
        {"overfit_batches": 2},
    ),
    "batch_size=None": (
        lambda lab: DataLoader([tuple(lab.dataset()[:])], batch_size=None),
        lambda lab: DataLoader([tuple(lab.dataset()[:])], batch_size=None),
        {},
    ),
    "drop_last": (lambda lab: lab.loader(drop_last=True), lambda lab: None, {}),
    "several validation loaders": (
        lambda lab: lab.loader(),
        lambda lab: [lab.loader(10), lab.loader(6, shuffle=False)],
        {},
    ),
    "several validation loaders, limited": (
        lambda lab: lab.loader(),
        lambda lab: [lab.loader(10), lab.loader(6, shuffle=False)],
        {"limit_val_batches": 1},
    ),
    "no validation loader": (lambda lab: lab.loader(), lambda lab: None, {}),
}


@pytest.mark.parametrize("case", LOADERS)
def test_loaders(differential: Any, lab: Any, case: str) -> None:
    train, val, options = LOADERS[case]

    def validation_step(self: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        self.log("val_loss", self.loss(batch), prog_bar=True)
        self.log("val_step", float(batch_idx), on_step=True)

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(L, validation_step=validation_step), observed)()
        callbacks = [lab.recording_callback(L, observed, metrics=True)]
        trainer = L.Trainer(**lab.QUIET, max_epochs=3, **options, callbacks=callbacks)
        trainer.fit(module, train(lab), val(lab))
        sizes = [trainer.num_training_batches, trainer.num_val_batches, trainer.num_sanity_val_batches]
        return module, trainer, [*sizes, type(trainer.train_dataloader), type(trainer.val_dataloaders)]

    differential.same(experiment)


@pytest.mark.parametrize("mode", [None, "min_size", "max_size", "max_size_cycle"])
@pytest.mark.parametrize("kind", ["list", "dict"])
def test_several_training_loaders(differential: Any, lab: Any, kind: str, mode: str | None) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        parts = list(batch.values()) if isinstance(batch, dict) else batch
        losses = [self.loss(part) for part in parts if part is not None and len(part[0]) > 1]
        return sum(losses)

    def experiment(L: Any, observed: Any) -> Any:
        from lightning.pytorch.utilities import CombinedLoader as Theirs

        from torchlift.utilities import CombinedLoader as Ours

        loaders: Any = [lab.loader(26), lab.loader(10)]
        if kind == "dict":
            loaders = dict(zip("ab", loaders))
        if mode is not None:
            loaders = (Theirs if L is lab.RUNTIMES["lightning"] else Ours)(loaders, mode)
        module = lab.recording(lab.classifier(L, training_step=training_step), observed)()
        trainer = L.Trainer(**lab.QUIET, max_epochs=2)
        trainer.fit(module, loaders)
        return module, trainer, trainer.num_training_batches

    differential.same(experiment)


def test_a_list_of_batches_is_several_loaders(differential: Any, lab: Any) -> None:
    """Lightning takes a list for several loaders; so do we."""

    def experiment(L: Any, observed: Any) -> Any:
        module, trainer = lab.classifier(L)(), L.Trainer(**lab.QUIET, max_epochs=1)
        with pytest.raises(Exception) as raised:
            trainer.fit(module, [tuple(lab.dataset()[:8]), tuple(lab.dataset()[8:16])])
        return module, trainer, type(raised.value).__name__

    differential.same(experiment)


# -- data modules -----------------------------------------------------------------------------------------------------


def data_module(L: Any, lab: Any) -> type:
    class Data(L.LightningDataModule):
        def prepare_data(self) -> None:
            pass

        def setup(self, stage: str) -> None:
            self.train_set, self.val_set = torch.utils.data.random_split(lab.dataset(36), [26, 10])

        def train_dataloader(self) -> Any:
            return DataLoader(self.train_set, batch_size=4, shuffle=True)

        def val_dataloader(self) -> Any:
            return DataLoader(self.val_set, batch_size=4)

        def test_dataloader(self) -> Any:
            return DataLoader(self.val_set, batch_size=5)

        def predict_dataloader(self) -> Any:
            return DataLoader(self.val_set, batch_size=3)

        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return [batch[0] + 1, batch[1]]

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return [batch[0] * 2, batch[1]]

    return Data


def test_data_module_through_all_entry_points(differential: Any, lab: Any) -> None:
    def test_step(self: Any, batch: Any, batch_idx: int) -> Any:
        self.log_dict({"test_loss": self.loss(batch), "half": 0.5}, prog_bar=True)

    def predict_step(self: Any, batch: Any, batch_idx: int) -> Any:
        return self.net(batch[0])

    def experiment(L: Any, observed: Any) -> Any:
        cls = lab.recording(lab.classifier(L, test_step=test_step, predict_step=predict_step), observed)
        module, data = cls(), lab.recording(data_module(L, lab), observed, "data")()
        callbacks = [lab.recording_callback(L, observed, metrics=True)]
        trainer = L.Trainer(**lab.QUIET, max_epochs=2, callbacks=callbacks)
        before = trainer.validate(module, datamodule=data, verbose=False)
        trainer.fit(module, datamodule=data)
        after = trainer.validate(module, datamodule=data, verbose=False)
        tested = trainer.test(module, data, verbose=False)
        predicted = trainer.predict(module, datamodule=data)
        return (
            module,
            trainer,
            [before, after, tested, predicted, trainer.num_test_batches, trainer.num_predict_batches],
        )

    before, after, tested, predicted, *_ = differential.same(experiment).result
    assert set(before[0]) == set(after[0]) == {"val_loss"}
    assert set(tested[0]) == {"test_loss", "half"}
    assert [len(one) for one in predicted] == [3, 3, 3, 1]


def test_entry_points_with_several_loaders(differential: Any, lab: Any) -> None:
    def test_step(self: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
        self.log("test_loss", self.loss(batch))
        self.log("apart", self.loss(batch), on_step=True, on_epoch=True)

    def on_test_epoch_end(self: Any) -> None:
        self.log("at_end", 3.0)

    def predict_step(self: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
        return {"scores": self.net(batch[0]), "where": (batch_idx, dataloader_idx)}

    methods = {"test_step": test_step, "on_test_epoch_end": on_test_epoch_end, "predict_step": predict_step}

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(L, **methods), observed)()
        trainer = L.Trainer(**lab.QUIET, callbacks=[lab.recording_callback(L, observed, metrics=True)])
        loaders = [lab.loader(10, shuffle=False), lab.loader(6, shuffle=False)]
        tested = trainer.test(module, loaders, verbose=False)
        predicted = trainer.predict(module, loaders)
        nothing = trainer.predict(module, loaders, return_predictions=False)
        return module, trainer, [tested, predicted, nothing]

    tested, predicted, nothing = differential.same(experiment).result
    assert [sorted(one) for one in tested] == [
        ["apart_epoch/dataloader_idx_0", "at_end", "test_loss/dataloader_idx_0"],
        ["apart_epoch/dataloader_idx_1", "at_end", "test_loss/dataloader_idx_1"],
    ]
    assert [len(one) for one in predicted] == [3, 2]
    assert nothing is None


def test_fit_twice_goes_on(differential: Any, lab: Any) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(L), observed)()
        trainer = L.Trainer(**lab.QUIET, max_epochs=2)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        first = (trainer.current_epoch, trainer.global_step)
        trainer.fit_loop.max_epochs = 4
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        return module, trainer, [first, trainer.current_epoch, trainer.global_step]

    assert differential.same(experiment).result == [(2, 14), 4, 28]


# -- logging ----------------------------------------------------------------------------------------------------------


def logs_everything(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = self.loss(batch)
    self.log("default", loss)
    self.log("both", loss, on_step=True, on_epoch=True, prog_bar=True)
    self.log("epoch", loss, on_step=False, on_epoch=True)
    self.log("largest", loss, on_epoch=True, reduce_fx="max")
    self.log("smallest", loss, on_epoch=True, reduce_fx=torch.min)
    self.log("total", loss, on_step=False, on_epoch=True, reduce_fx="sum")
    self.log("weighted", loss, on_epoch=True, batch_size=batch_idx + 1)
    self.log("double", loss.double(), on_epoch=True)
    self.log("half", loss.bfloat16(), on_epoch=True)
    self.log("whole", batch_idx, on_epoch=True)
    self.log("tensor of ints", torch.tensor([batch_idx]), on_epoch=True)
    self.log("number", 0.1, on_epoch=True)
    self.log("hidden", loss, logger=False, prog_bar=True)
    if batch_idx % 2 == 0:
        self.log("sometimes", loss, on_epoch=True, prog_bar=True)
    self.log_dict({"a": loss, "b": 2 * loss}, prog_bar=True, on_epoch=True)
    return loss


def logs_at(name: str, **options: Any) -> Callable[..., None]:
    def hook(self: Any, *args: Any) -> None:
        self.log(f"in {name}", float(self.trainer.fit_loop.epoch_loop.batch_progress.current.ready), **options)

    return hook


STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_validation_batch_start",
    "on_validation_batch_end",
)
EPOCH_HOOKS = (
    "on_train_start",
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_epoch_end",
)


@pytest.mark.parametrize("observing", [True, False], ids=["observed", "unobserved"])
@pytest.mark.parametrize("interval", [1.0, 2])
def test_everything_logged_everywhere(differential: Any, lab: Any, interval: int | float, observing: bool) -> None:
    """Metrics are the same whether or not somebody reads them on the way."""
    methods = {name: logs_at(name, prog_bar=True) for name in (*STEP_HOOKS, *EPOCH_HOOKS)}
    methods["training_step"] = logs_everything

    def validation_step(self: Any, batch: Any, batch_idx: int) -> None:
        loss = self.loss(batch)
        self.log("val", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("default", loss)

    methods["validation_step"] = validation_step

    def experiment(L: Any, observed: Any) -> Any:
        module = lab.classifier(L, **methods)()
        callbacks = [lab.recording_callback(L, observed, metrics=True)] if observing else []
        trainer = L.Trainer(**lab.QUIET, max_epochs=3, val_check_interval=interval, callbacks=callbacks)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        return module, trainer, None

    differential.same(experiment)


WRONG_LOGS: dict[str, Callable[[Any, torch.Tensor], None]] = {
    "two elements": lambda self, loss: self.log("x", torch.ones(2)),
    "a string": lambda self, loss: self.log("x", "high"),
    "a nested dictionary": lambda self, loss: self.log("x", {"a": {"b": 1}}),
    "never": lambda self, loss: self.log("x", loss, on_step=False, on_epoch=False),
    "other arguments the second time": lambda self, loss: (self.log("x", loss), self.log("x", loss, prog_bar=True)),
    "an unknown reduction": lambda self, loss: self.log("x", loss, on_epoch=True, reduce_fx="median"),
    "the loader's index in the name": lambda self, loss: self.log("x/dataloader_idx_0", loss),
}


@pytest.mark.parametrize("case", WRONG_LOGS)
def test_wrong_logs(differential: Any, lab: Any, case: str) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        WRONG_LOGS[case](self, loss)
        return loss

    def experiment(L: Any, observed: Any) -> Any:
        module, trainer = lab.classifier(L, training_step=training_step)(), L.Trainer(**lab.QUIET, max_epochs=1)
        with pytest.raises(Exception) as raised:
            trainer.fit(module, lab.loader())
        return module, trainer, [type(raised.value).__name__, trainer.interrupted]

    differential.same(experiment)


def test_what_loggers_get(differential: Any, lab: Any) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        from lightning.pytorch.loggers import Logger as Theirs

        from torchlift.loggers import Logger as Ours

        class Memory(Theirs if L is lab.RUNTIMES["lightning"] else Ours):  # type: ignore[misc]
            name = version = "memory"

            def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
                observed.events.append(("hyperparameters", lab.told(params)))

            def log_metrics(self, metrics: Any, step: int | None = None) -> None:
                observed.events.append(("metrics", lab.told(metrics), step))

            def save(self) -> None:
                observed.events.append(("save",))

            def finalize(self, status: str) -> None:
                observed.events.append(("finalize", status))

        def init(self: Any, rate: float = 0.5, *, depth: int = 2) -> None:
            base.__init__(self)
            self.save_hyperparameters({"rate": rate, "depth": depth})

        base = lab.classifier(L, training_step=logs_everything, on_train_epoch_end=logs_at("the end"))
        module = type("WithOptions", (base,), {"__init__": init})()
        options = {**lab.QUIET, "logger": [Memory()], "log_every_n_steps": 3}
        trainer = L.Trainer(**options, max_epochs=3, val_check_interval=0.5, accumulate_grad_batches=2)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        trainer.validate(module, lab.loader(10, shuffle=False), verbose=False)
        return module, trainer, None

    assert len(differential.same(experiment).events) > 20


@pytest.mark.parametrize("observing", [True, False], ids=["observed", "unobserved"])
def test_torchmetrics_objects(differential: Any, lab: Any, observing: bool) -> None:
    """Logged as they are: the step's value, the epoch's own reduction, and the reset between epochs."""
    torchmetrics = pytest.importorskip("torchmetrics")

    def experiment(L: Any, observed: Any) -> Any:
        class Measured(lab.classifier(L)):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.mean, self.largest = torchmetrics.MeanMetric(), torchmetrics.MaxMetric()
                self.both = torchmetrics.MetricCollection([torchmetrics.MeanMetric(), torchmetrics.SumMetric()])

            def training_step(self, batch: Any, batch_idx: int) -> Any:
                loss = self.loss(batch)
                self.mean(loss)
                self.log("mean", self.mean, on_step=True, on_epoch=True, prog_bar=True)
                self.largest.update(loss)
                self.log("largest", self.largest, on_step=False, on_epoch=True)
                return loss

            def validation_step(self, batch: Any, batch_idx: int) -> Any:
                self.both.update(self.loss(batch))
                self.log_dict(self.both)

        module = Measured()
        callbacks = [lab.recording_callback(L, observed, metrics=True)] if observing else []
        trainer = L.Trainer(**lab.QUIET, max_epochs=3, callbacks=callbacks)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        modes = [one.training for one in module.modules()]  # the hash of a metric changes
        return module, trainer, (modes, {n: v.requires_grad for n, v in trainer.callback_metrics.items()})

    differential.same(experiment)


def test_a_metric_that_the_module_does_not_hold(differential: Any, lab: Any) -> None:
    torchmetrics = pytest.importorskip("torchmetrics")

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        metric = torchmetrics.MeanMetric()
        metric.update(1.0)
        self.log("mean", metric, on_epoch=True)
        return self.loss(batch)

    def experiment(L: Any, observed: Any) -> Any:
        module, trainer = lab.classifier(L, training_step=training_step)(), L.Trainer(**lab.QUIET, max_epochs=1)
        with pytest.raises(Exception, match="attribute") as raised:
            trainer.fit(module, lab.loader())
        return module, trainer, type(raised.value).__name__

    differential.same(experiment)
