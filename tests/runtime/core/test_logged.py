"""What ``self.log`` takes in and gives back, where Lightning's tests of hooks and metrics do not reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import torchlift as L
from torchlift.utilities.exceptions import MisconfigurationException


class Module(L.LightningModule):
    """One weight; `log` is what ``training_step`` does with the module and the batch before it returns the loss."""

    def __init__(self, log: Any = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.log_it = log

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.log_it is not None:
            self.log_it(self, batch)
        return self.weight * batch.mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer_of(lab: Any, folder: Path, **options: Any) -> Any:
    return L.Trainer(**{**lab.QUIET, "max_epochs": 1, "default_root_dir": folder, **options})


def loader(length: int = 4) -> Any:
    return torch.utils.data.DataLoader(torch.arange(1.0, length + 1))


@pytest.mark.parametrize("on_epoch", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_logged_value_is_a_copy_of_its_kind(lab: Any, tmp_path: Path, dtype: torch.dtype, on_epoch: bool) -> None:
    """What happens to the tensor later changes nothing; below float32 it becomes float32, as in Lightning."""

    def log(module: Any, batch: Any) -> None:
        value = (module.weight * batch / 3).sum().to(dtype)
        expected.append(value.detach().clone())
        module.log("value", value, on_step=True, on_epoch=on_epoch)
        with torch.no_grad():
            value += 100

    expected: list[Any] = []
    name = "value_step" if on_epoch else "value"
    trainer = trainer_of(lab, tmp_path)
    trainer.fit(Module(log), loader())
    logged = trainer.callback_metrics[name]
    assert logged.dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
    assert torch.equal(logged, expected[-1].to(logged.dtype)) and not logged.requires_grad


@pytest.mark.parametrize("value", [3, True, torch.tensor(3), torch.tensor([3.0]), torch.tensor([[3]])])
def test_whole_numbers_and_single_elements_become_scalars(lab: Any, tmp_path: Path, value: Any) -> None:
    trainer = trainer_of(lab, tmp_path)
    trainer.fit(Module(lambda module, batch: module.log("value", value)), loader())
    logged = trainer.callback_metrics["value"]
    assert logged.dtype is torch.float32 and logged.shape == () and logged == float(value)


def test_a_run_resumed_by_the_same_trainer_logs_into_what_was_restored(lab: Any, tmp_path: Path) -> None:
    """The mean of an epoch that is taken up in its middle counts all of its batches."""

    class Saving(L.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 1:
                trainer.save_checkpoint(tmp_path / "middle.ckpt")

    def log(module: Any, batch: Any) -> None:
        module.log("mean", batch.mean(), on_step=False, on_epoch=True)

    trainer = trainer_of(lab, tmp_path, callbacks=[Saving()])
    trainer.fit(Module(log), loader())
    assert trainer.callback_metrics["mean"] == 2.5
    trainer.fit(Module(log), loader(), ckpt_path=tmp_path / "middle.ckpt")
    assert trainer.callback_metrics["mean"] == 2.5


@pytest.mark.parametrize(
    "hook", ["on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer", "prepare_data"]
)
def test_hooks_that_may_not_log_say_so(lab: Any, tmp_path: Path, hook: str) -> None:
    def log(self: Any, *args: Any) -> Any:
        self.log("value", 1.0)

    module = type("Logging", (Module,), {hook: log})()
    with pytest.raises(MisconfigurationException, match=rf"You can't `self.log\(\)` inside `{hook}`"):
        trainer_of(lab, tmp_path).fit(module, loader())


def test_a_metric_that_no_module_holds(lab: Any, tmp_path: Path) -> None:
    from torchmetrics import MeanMetric

    with pytest.raises(MisconfigurationException, match="fix this by setting an attribute for the metric in your"):
        trainer_of(lab, tmp_path).fit(Module(lambda module, batch: module.log("value", MeanMetric())), loader())


@pytest.mark.parametrize("compute_groups", [True, False])
def test_a_collection_hands_out_its_members_as_lightning_asks(lab: Any, tmp_path: Path, compute_groups: bool) -> None:
    """Without copies of the state only where members share one."""
    from torchmetrics import MeanMetric, MetricCollection

    asked: list[Any] = []

    class Collection(MetricCollection):
        def items(self, keep_base: bool = False, copy_state: bool = True) -> Any:
            asked.append((keep_base, copy_state))
            return super().items(keep_base, copy_state)

    def log(module: Any, batch: Any) -> None:
        asked.clear()
        module.metrics.update(batch)
        asked.clear()
        module.log_dict(module.metrics, on_step=False, on_epoch=True)
        seen.extend(asked)

    seen: list[Any] = []
    module = Module(log)
    module.metrics = Collection({"a": MeanMetric(), "b": MeanMetric()}, compute_groups=compute_groups)
    trainer = trainer_of(lab, tmp_path)
    trainer.fit(module, loader())
    assert set(seen) == {(False, not compute_groups)}
    assert trainer.callback_metrics["a"] == trainer.callback_metrics["b"] == 2.5
