"""Freezing and unfreezing: parameters, groups, learning rates and resumed runs are Lightning's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import callbacks as theirs
from torch import nn

import torchlift
from torchlift.callbacks import BackboneFinetuning, BaseFinetuning
from torchlift.utilities.exceptions import MisconfigurationException


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


class Owner(nn.Module):
    """Has a parameter of its own beside a child's."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.child = nn.Linear(2, 2)


MODULES = {
    "one": lambda: nn.Linear(2, 2),
    "nested": lambda: nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.ReLU())),
    "lists": lambda: [nn.Linear(1, 1), [nn.Sequential(nn.BatchNorm1d(2)), nn.Linear(2, 1)]],
    "dictionary": lambda: nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Sequential(nn.BatchNorm2d(3))}),
    "owner": Owner,
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_found_and_frozen_as_in_lightning(name: str) -> None:
    modules = MODULES[name]()
    flat = BaseFinetuning.flatten_modules(modules)
    assert flat == theirs.BaseFinetuning.flatten_modules(modules)
    for train_bn in (True, False):
        states = []
        for kind in (theirs.BaseFinetuning, BaseFinetuning):
            kind.make_trainable(modules)
            kind.freeze(modules, train_bn=train_bn)
            states.append(
                [(p.requires_grad, getattr(m, "track_running_stats", None)) for m in flat for p in m.parameters(False)]
            )
            for requires_grad in (True, False):
                pairs = [k.filter_params(modules, train_bn, requires_grad) for k in (theirs.BaseFinetuning, kind)]
                assert list(map(id, pairs[0])) == list(map(id, pairs[1]))
        assert states[0] == states[1]


@pytest.mark.parametrize(
    ("arguments", "net"),
    [
        ({"unfreeze_backbone_at_epoch": 1}, {}),
        ({"unfreeze_backbone_at_epoch": 2, "train_bn": False, "backbone_initial_lr": 0.03}, {"adam": True}),
        ({"unfreeze_backbone_at_epoch": 1, "should_align": False, "backbone_initial_ratio_lr": 0.9}, {}),
        ({"unfreeze_backbone_at_epoch": 0, "lambda_func": lambda epoch: 1 + epoch / 10}, {"scheduler": True}),
    ],
)
def test_weights_rates_and_checkpoints_are_lightnings(
    harness: Any, arguments: dict[str, Any], net: dict[str, Any], tmp_path: Path
) -> None:
    _, ours = harness.compare_net(tmp_path, lambda kind: [kind("BackboneFinetuning")(**arguments)], net)
    assert len(ours.optimizers[0].param_groups) == 2


@pytest.mark.parametrize("crash_at", [1, 3])
def test_a_resumed_run_has_the_groups_that_were_added(harness: Any, tmp_path: Path, crash_at: int) -> None:
    """Unfrozen in epoch 2; the run ends before or after, and goes on to what the whole run gives.

    Lightning's does so in the first case; in the second its backbone has its group back, and stays frozen.
    """
    last = {}
    for kind in ("lightning", "torchlift"):
        for crash, path in ((crash_at, None), (None, tmp_path / kind / "last.ckpt")):
            finetune = harness.callback_class(kind, "BackboneFinetuning")(unfreeze_backbone_at_epoch=2)
            save = harness.callback_class(kind, "ModelCheckpoint")(tmp_path / kind, save_last=True)
            options = {"crash_at": crash, "adam": True}
            trained = harness.run_net(kind, [finetune, save], tmp_path, options, ckpt_path=path and str(path))
        last[kind] = trained
    last["whole"] = harness.run_net(
        "torchlift", [BackboneFinetuning(unfreeze_backbone_at_epoch=2)], tmp_path, {"adam": True}
    )
    rates = [[group["lr"] for group in one.optimizers[0].param_groups] for one in last.values()]
    assert rates[0] == rates[1] == rates[2] and len(rates[0]) == 2
    weights = {kind: dict(one.lightning_module.state_dict()) for kind, one in last.items()}
    assert same(weights["whole"], weights["torchlift"])
    assert same(weights["lightning"], weights["torchlift"]) is (crash_at == 1)


@pytest.mark.parametrize("train_bn", [True, False])
def test_a_resumed_run_freezes_and_tracks_what_the_interrupted_one_did(tmp_path: Path, train_bn: bool) -> None:
    class Mine(BaseFinetuning):
        def freeze_before_training(self, pl_module: Any) -> None:
            self.freeze(pl_module, train_bn=train_bn)

        def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
            self.make_trainable(pl_module[1])

    def module() -> nn.Sequential:
        return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2))

    def told(net: nn.Sequential) -> Any:
        return [p.requires_grad for p in net.parameters()], [net[index].track_running_stats for index in (1, 2)]

    first, second = module(), module()
    callback, resumed = Mine(), Mine()
    trainer: Any = SimpleNamespace(optimizers=[torch.optim.SGD(first.parameters(), 0.1)], current_epoch=0)
    callback.setup(trainer, first, "fit")  # type: ignore[arg-type]
    callback.on_train_epoch_start(trainer, first)  # type: ignore[arg-type]
    trainer.optimizers = [torch.optim.SGD(second.parameters(), 0.1)]
    resumed.setup(trainer, second, "fit")  # type: ignore[arg-type]
    resumed.load_state_dict(callback.state_dict())
    resumed.on_fit_start(trainer, second)  # type: ignore[arg-type]
    assert told(first) == told(second) == ([False, False, True, True, train_bn, train_bn], [True, train_bn])


def test_parameters_the_optimizer_has_are_skipped_with_a_warning() -> None:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.SGD([layer.weight], 0.1)
    with pytest.warns(UserWarning, match="Did you init your optimizer in"):
        BaseFinetuning.unfreeze_and_add_param_group(layer, optimizer)
    assert optimizer.param_groups[1]["params"] == [layer.bias]
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.01)


def test_another_parameter_of_equal_values_is_not_skipped() -> None:
    first, second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)  # ones and zeros, both
    optimizer = torch.optim.SGD(first.parameters(), 0.1)
    BaseFinetuning.unfreeze_and_add_param_group(second, optimizer)
    assert list(map(id, optimizer.param_groups[1]["params"])) == list(map(id, second.parameters()))


def test_a_module_without_a_backbone_is_refused(harness: Any, tmp_path: Path) -> None:
    class Mine(BackboneFinetuning):
        def freeze_before_training(self, pl_module: Any) -> None: ...

    with pytest.raises(MisconfigurationException, match=r"nn\.Module `backbone` attribute"):
        harness.run("torchlift", [Mine()], tmp_path, max_epochs=1)


def test_own_callbacks_freeze_before_the_optimizer_is_made_and_are_called_each_epoch(tmp_path: Path) -> None:
    calls: list[Any] = []

    class Mine(BaseFinetuning):
        def freeze_before_training(self, pl_module: Any) -> None:
            calls.append("freeze")
            self.freeze(pl_module.first)

        def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
            calls.append((epoch, len(optimizer.param_groups[0]["params"])))
            if epoch == 1:
                self.unfreeze_and_add_param_group(pl_module.first, optimizer)

    class Module(torchlift.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(1, 1), nn.Linear(1, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.second(self.first(batch)).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], 0.1)

    module = Module()
    trainer = torchlift.Trainer(
        max_epochs=2, callbacks=[Mine()], logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.ones(2, 1)))
    assert calls == ["freeze", (0, 2), (1, 2)]
    assert module.first.weight.requires_grad and len(trainer.optimizers[0].param_groups) == 2
