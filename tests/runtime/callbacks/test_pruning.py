"""Pruning: masks, weights and checkpoints are Lightning's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as theirs
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import torchlift
from torchlift.callbacks import ModelPruning
from torchlift.utilities.exceptions import MisconfigurationException


@pytest.mark.parametrize(
    ("method", "arguments", "trainer"),
    [
        ("l1_unstructured", {}, {}),
        ("random_unstructured", {"amount": 0.2, "use_lottery_ticket_hypothesis": False}, {}),
        ("l1_unstructured", {"use_global_unstructured": False, "amount": lambda epoch: 0.1 * epoch}, {}),
        ("l1_unstructured", {"apply_pruning": lambda epoch: epoch > 1, "prune_on_train_epoch_end": False}, {}),
        (prune.L1Unstructured, {"parameter_names": ["weight"], "amount": 3}, {"accumulate_grad_batches": 2}),
        (
            "LN_structured",
            {"use_global_unstructured": False, "parameter_names": ["weight"], "pruning_dim": 0, "pruning_norm": 1},
            {},
        ),
        ("l1_unstructured", {"resample_parameters": True, "make_pruning_permanent": False}, {}),
    ],
)
def test_weights_and_checkpoints_are_lightnings(
    harness: Any, method: Any, arguments: dict[str, Any], trainer: dict[str, Any], tmp_path: Path
) -> None:
    options = {"batch_norm": "structured" not in str(method).lower() or "unstructured" in str(method).lower()}
    compared = harness.compare_net(
        tmp_path, lambda kind: [kind("ModelPruning")(method, **arguments)], options, **trainer
    )
    kept = [{name for name, _ in one.lightning_module.named_buffers() if "mask" in name} for one in compared]
    assert kept[0] == kept[1] and bool(kept[1]) is (arguments.get("make_pruning_permanent") is False)
    weights = nn.utils.parameters_to_vector(compared[1].lightning_module.parameters())
    assert kept[1] or (weights == 0).float().mean() > 0.05


def test_checkpoints_load_without_the_callback_while_training_keeps_its_masks(harness: Any, tmp_path: Path) -> None:
    names = []

    class Spy(torchlift.Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            names.append(hasattr(module.head, "weight_orig"))

    save = torchlift.callbacks.ModelCheckpoint(tmp_path / "kept", save_top_k=-1, monitor="epoch")
    trained = harness.run_net("torchlift", [ModelPruning("l1_unstructured"), Spy(), save], tmp_path, max_epochs=3)
    assert names == [False, True, True] and not hasattr(trained.lightning_module.head, "weight_orig")
    for path in save.best_k_models:
        state = torch.load(path, weights_only=True)["state_dict"]
        assert state.keys() == trained.lightning_module.state_dict().keys()


def test_the_winning_ticket_begins_where_the_module_began(harness: Any, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    class Spy(torchlift.Callback):
        def setup(self, trainer: Any, module: Any, stage: str) -> None:
            seen["first"] = module.head.weight.detach().clone()

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            seen["after"] = module.head.weight_orig.detach().clone(), module.head.weight_mask.clone()

    pruning = ModelPruning("l1_unstructured", parameter_names=["weight"], amount=0.5)
    harness.run_net("torchlift", [pruning, Spy()], tmp_path, max_epochs=1)
    weights, mask = seen["after"]
    assert torch.equal(weights, seen["first"]) and 0 < mask.sum() < mask.numel()


@pytest.mark.parametrize("verbose", [1, 2])
def test_it_reports_what_lightnings_reports(
    harness: Any, tmp_path: Path, verbose: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: dict[str, list[str]] = {"lightning": [], "torchlift": []}
    for kind, name in (("lightning", "lightning.pytorch.callbacks.pruning"), ("torchlift", "torchlift")):
        monkeypatch.setattr(logging.getLogger(name), "info", lines[kind].append)
        logging.getLogger(name).setLevel(logging.INFO)
        callback = harness.callback_class(kind, "ModelPruning")("l1_unstructured", verbose=verbose, amount=0.3)
        harness.run_net(kind, [callback], tmp_path, max_epochs=2)
    reports = [[line for line in told if line.startswith("Applied")] for told in lines.values()]
    assert reports[0] == reports[1] and len(reports[0]) == 2 * (1 if verbose == 1 else 7)


def test_chosen_parameters_are_looked_up_as_in_lightning() -> None:
    def found(lightning: Any, pruning: Any, *choice: Any) -> Any:
        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.LayerNorm(2)))
                self.plain = nn.Linear(2, 1, bias=False)

        module = Module()
        pairs = pruning.sanitize_parameters_to_prune(
            module, [(module.plain, "weight")] if choice == (0,) else (), *choice[1:]
        )
        return [(type(inner).__name__, name) for inner, name in pairs]

    for choice in ((), (0,), (1, ["bias"]), (1, ["weight"])):
        expected = found(theirs, theirs.callbacks.ModelPruning, *choice)
        assert found(torchlift, ModelPruning, *choice) == expected and expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pruning_fn": "magic"}, "isn't available in PyTorch's built-in functions"),
        ({"pruning_fn": 3}, "is expected to be a str in"),
        ({"pruning_fn": "random_structured"}, "the `pruning_dim` should be provided"),
        ({"pruning_fn": "ln_structured", "pruning_dim": 0}, "the `pruning_norm` should be provided"),
        ({"pruning_fn": "random_structured", "pruning_dim": 0}, "is supported with `use_global_unstructured=True`"),
        ({"pruning_fn": prune.RandomUnstructured, "use_global_unstructured": False}, "currently only supported with"),
        ({"parameter_names": ["scale"]}, "`parameter_names` name: scale isn't in"),
        ({"amount": "much"}, "an int, a float or Callable"),
        ({"verbose": 3}, r"must be any of \(0, 1, 2\)"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        ModelPruning(**({"pruning_fn": "l1_unstructured"} | arguments))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([(nn.Linear(1, 1), "weight")], "Found missing modules"),
        ([("net", "weight")], "either be list of tuple with 2 elements"),
        ("net.weight", "either be list of tuple with 2 elements"),
    ],
)
def test_parameters_that_are_not_there_are_refused(parameters: Any, message: str) -> None:
    class Module(torchlift.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(1, 1)

    module = Module()
    with pytest.raises(MisconfigurationException, match=message):
        ModelPruning.sanitize_parameters_to_prune(module, parameters)
    with pytest.raises(MisconfigurationException, match=r"missing parameters: \['scale'\]"):
        ModelPruning.sanitize_parameters_to_prune(module, [(module.net, "scale")])
