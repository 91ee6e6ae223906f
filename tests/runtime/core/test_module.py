"""Modules and data modules asked outside and inside of a run: the same answers as real lightning's."""

from __future__ import annotations

import warnings
from typing import Any

import lightning
import numpy
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import torchlift as L
from torchlift.utilities.model_helpers import is_overridden
from torchlift.utilities.parameter_tying import find_shared_parameters, set_shared_parameters
from torchlift.utilities.parsing import lightning_getattr, lightning_hasattr, lightning_setattr

ASKED = [
    "module.trainer",
    "module.fabric",
    "module.device_mesh",
    "module.logger",
    "module.loggers",
    "module.current_epoch",
    "module.global_step",
    "module.global_rank",
    "module.on_gpu",
    "module.strict_loading",
    "module.example_input_array",
    "module.hparams",
    "module.hparams_initial",
    "module.optimizers()",
    "module.lr_schedulers()",
    "module.print('x')",
    "module.log('a', 1)",
    "module.log('a', [1])",
    "module.log('a', {'b': {'c': 1}})",
    "module.log_dict({'a': 1})",
    "module.manual_backward(torch.ones(1))",
    "module.clip_gradients(None)",
    "module.all_gather(torch.ones(1))",
    "module.train_dataloader()",
    "module.predict_step(torch.ones(1, 6))",
    "module.load_from_checkpoint('x')",
    "module.half().dtype",
    "module.to(torch.bfloat16).dtype",
    "module.to('meta').device",
    "setattr(module, 'dtype', torch.float)",
    "R.LightningModule()(1)",
    "R.LightningModule().training_step(1, 2)",
    "R.LightningModule().validation_step(1, 2)",
    "R.LightningModule().configure_optimizers()",
    "R.LightningModule(1)",
    "R.LightningDataModule('taken', and_='ignored').train_dataloader()",
    "R.LightningDataModule().state_dict()",
    "R.LightningDataModule().name",
    "R.LightningDataModule().prepare_data_per_node",
    "str(R.LightningDataModule())",
]


@pytest.mark.parametrize("question", ASKED)
def test_without_a_trainer(question: str, lab: Any) -> None:
    def answered(R: Any) -> Any:
        torch.manual_seed(0)
        module = lab.classifier(R, forward=lambda self, x: self.net(x).sum() * 0)().eval()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                answer = lab.told(eval(question, {"module": module, "R": R, "torch": torch}))
            except Exception as error:
                answer = type(error).__name__
        return answer, sorted(str(one.message) for one in said)

    assert answered(L) == answered(lightning)


def test_gathering_in_one_process(lab: Any) -> None:
    data = {"t": torch.ones(2, 3), "n": [1, 2.5, True], "a": numpy.ones(2), "other": ("text", None)}

    def gathered(R: Any) -> Any:
        found = []

        def on_train_start(self: Any) -> None:
            found.append(lab.told(self.all_gather(data)))
            grown = self.all_gather(torch.ones(2, requires_grad=True), sync_grads=True)
            found.append(grown.requires_grad)

        R.Trainer(fast_dev_run=True, **lab.QUIET).fit(lab.classifier(R, on_train_start=on_train_start)(), lab.loader())
        return found

    assert gathered(L) == gathered(lightning)


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(range(3))


def test_a_data_module_describes_itself() -> None:
    def described(R: Any) -> Any:
        class Data(R.LightningDataModule):
            def train_dataloader(self) -> Any:
                return [DataLoader(self.rows, batch_size=2), DataLoader(Stream())]

            def val_dataloader(self) -> Any:
                return DataLoader(self.rows)

            def test_dataloader(self) -> Any:
                return range(3)

        data = Data()
        before = str(data)
        data.rows = TensorDataset(torch.ones(5))
        return before, str(data)

    assert described(L) == described(lightning)

    class Named(L.LightningDataModule):
        def train_dataloader(self) -> Any:
            return {"a": DataLoader(range(3)), "b": DataLoader(range(4))}

    assert "{Train dataloader: 1. size=3 ; 2. size=4}" in str(Named())  # where Lightning raises AttributeError


def test_whose_data_hook_counts(lab: Any) -> None:
    """The data module's where it has one; a wrapper around the base's is none."""

    def told(R: Any) -> Any:
        seen: list[str] = []

        def hook(owner: str, name: str) -> Any:
            def run(self: Any, batch: Any, *rest: Any) -> Any:
                seen.append(f"{owner}.{name}")
                return batch

            return run

        class Data(R.LightningDataModule):
            transfer_batch_to_device = hook("data", "move")
            on_after_batch_transfer = hook("data", "after")

            def train_dataloader(self) -> Any:
                return lab.loader()

        module = lab.classifier(
            R, on_before_batch_transfer=hook("module", "before"), on_after_batch_transfer=hook("module", "after")
        )()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            R.Trainer(fast_dev_run=True, **lab.QUIET).fit(module, datamodule=Data())
        return seen, sorted(str(one.message) for one in said if "You have overridden" in str(one.message))

    assert told(L) == told(lightning)


def test_what_is_overridden() -> None:
    class Module(L.LightningModule):
        def training_step(self, batch: Any, batch_idx: int) -> None: ...

    module = Module()
    assert is_overridden("training_step", module) and not is_overridden("validation_step", module)
    assert not is_overridden("training_step", None)
    with pytest.raises(ValueError, match="Expected a parent"):
        is_overridden("training_step", object())


def test_attributes_in_all_places() -> None:
    class Module(L.LightningModule):
        def __init__(self, rate: float) -> None:
            super().__init__()
            self.save_hyperparameters()

    class Data(L.LightningDataModule):
        def __init__(self, size: int = 4) -> None:
            super().__init__()
            self.save_hyperparameters()

    module, trainer = Module(0.5), L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert lightning_getattr(module, "rate") == 0.5 and not lightning_hasattr(module, "size")
    module.trainer, trainer.datamodule = trainer, Data()
    lightning_setattr(module, "size", 8)
    assert (lightning_getattr(module, "size"), trainer.datamodule.hparams.size) == (8, 8)
    for ask in (lightning_getattr, lambda m, name: lightning_setattr(m, name, 1)):
        with pytest.raises(AttributeError, match="neither stored in the model namespace"):
            ask(module, "nowhere")


def test_shared_parameters_stay_shared() -> None:
    net = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2), "c": torch.nn.Linear(2, 2)})
    net["b"].weight = net["a"].weight
    shared = find_shared_parameters(net)
    assert shared == lightning.pytorch.utilities.find_shared_parameters(net) == [["a.weight", "b.weight"]]
    net["b"].weight = torch.nn.Parameter(torch.zeros(2, 2))
    assert set_shared_parameters(net, shared) is net and net["b"].weight is net["a"].weight
    assert find_shared_parameters(net["c"]) == []


class FakeFabric:
    """What a module asks of Fabric."""

    global_rank = local_rank = 0
    logger, loggers = "logger", ["logger"]

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def backward(self, loss: Any, **kwargs: Any) -> None:
        self.calls.append(("backward", kwargs))

    def log_dict(self, metrics: Any) -> None:
        self.calls.append(dict(metrics))

    def clip_gradients(self, module: Any, optimizer: Any, **kwargs: Any) -> None:
        self.calls.append(kwargs)


def test_a_module_that_fabric_runs() -> None:
    outer, fabric = L.LightningModule(), FakeFabric()
    outer.inner = inner = L.LightningModule()
    outer.fabric = fabric
    assert inner.fabric.calls is fabric.calls and (inner.logger, inner.loggers) == ("logger", ["logger"])
    inner.manual_backward(torch.ones(1), retain_graph=True)
    inner.log("a", 1)
    inner.log("b", 1, logger=False)
    inner.log_dict({"c": 2.0})
    inner.clip_gradients(None, 0.5, "value")
    inner.clip_gradients(None, 0.5, "norm")
    with pytest.raises(ValueError, match="cannot be logged"):
        inner.log_dict({"d": "text"})
    assert fabric.calls == [
        ("backward", {"retain_graph": True}),
        {"a": 1},
        {"c": 2.0},
        {"clip_val": 0.5},
        {"max_norm": 0.5},
    ]
    assert inner.trainer.global_rank == 0
    with pytest.raises(AttributeError, match="not available when using Fabric"):
        _ = inner.trainer.nothing
