"""TorchScript, ONNX and compiled modules."""

from __future__ import annotations

import copy
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import torchlift as L
from torchlift.utilities.compile import from_compiled, to_uncompiled


class Net(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.layer(x))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = self.layer(batch).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["script", "trace"])
def test_torchscript(method: str, tmp_path: Path) -> None:
    module, x = Net(), torch.randn(3, 4)
    module.example_input_array = x
    script = module.to_torchscript(tmp_path / "net.pt", method=method)
    assert module.training and not script.training
    expected = module.layer(x)  # no dropout
    assert torch.equal(script(x), expected)
    assert torch.equal(torch.jit.load(tmp_path / "net.pt")(x), expected)
    # Torch's own functions too, also inside another module; and once it belongs to a trainer.
    module.eval()
    compiled = torch.jit.script(module) if method == "script" else torch.jit.trace(nn.Sequential(module).eval(), x)
    assert torch.equal(compiled(x), expected)
    L.Trainer(accelerator="cpu", fast_dev_run=True, enable_progress_bar=False).fit(
        module, DataLoader(torch.randn(2, 4))
    )
    module.to_torchscript()


def test_torchscript_is_deprecated_and_wants_what_it_needs() -> None:
    with pytest.warns(DeprecationWarning, match="has been deprecated"), pytest.raises(ValueError, match="'script' or"):
        Net().to_torchscript(method="other")
    with pytest.warns(DeprecationWarning), pytest.raises(ValueError, match=r"`example_inputs` or `model\.example"):
        Net().to_torchscript(method="trace")
    module = Net().train()
    with pytest.warns(DeprecationWarning), pytest.raises(RuntimeError):
        module.to_torchscript(method="trace", example_inputs=torch.randn(3, 5))
    assert module.training  # as before, though it failed


def test_traced_inputs_go_through_the_data_hooks() -> None:
    class Doubling(Net):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            seen.append(dataloader_idx)
            return batch[:, :4]

    seen: list[int] = []
    with pytest.warns(DeprecationWarning):
        Doubling().to_torchscript(method="trace", example_inputs=torch.randn(3, 8))
    assert seen == [0]


def test_onnx(tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(ValueError, match="neither `input_sample` nor"):
        _with(monkeypatch, "onnx").to_onnx(tmp_path / "net.onnx")
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"`Net.to_onnx\(\)` requires `onnx` to be installed"):
        Net().to_onnx(tmp_path / "net.onnx", torch.randn(1, 4))
    with pytest.raises(ModuleNotFoundError, match=r"`Net\.to_tensorrt` requires `torch_tensorrt` to be installed"):
        Net().to_tensorrt()


def _with(monkeypatch: Any, package: str) -> Net:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == package or None)
    return Net()


@pytest.mark.filterwarnings("ignore")
def test_onnx_files(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    module, x = Net(), torch.randn(1, 4)
    module.to_onnx(tmp_path / "net.onnx", x, dynamo=False)
    memory = BytesIO()
    module.example_input_array = x
    module.to_onnx(memory, dynamo=False)
    assert module.training
    for model in (onnx.load(tmp_path / "net.onnx"), onnx.load_from_string(memory.getvalue())):
        assert {node.op_type for node in model.graph.node} >= {"Gemm"}


graphs: list[Any] = []


def counting(graph: Any, inputs: Any) -> Any:
    graphs.append(graph)
    return graph.forward


def test_a_compiled_module_runs_compiled() -> None:
    graphs.clear()
    torch.manual_seed(0)
    plain = Net()
    compiled = torch.compile(copy.deepcopy(plain), backend=counting)
    rows, weights = torch.randn(6, 4), []
    for module in (plain, compiled):
        trainer = L.Trainer(
            accelerator="cpu",
            max_epochs=2,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, DataLoader(rows))
        weights.append({name: value.clone() for name, value in trainer.lightning_module.state_dict().items()})
        assert set(trainer.callback_metrics) == {"loss"}
    # One graph for twelve batches: what `self.log` counts is not in it.
    assert len(graphs) == 1
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])

    inner = compiled._orig_mod
    assert hasattr(inner.training_step, "_torchdynamo_orig_callable")
    duplicate = pickle.loads(pickle.dumps(inner))
    assert duplicate._compiler_ctx is None and "training_step" not in vars(duplicate)
    assert to_uncompiled(compiled) is inner
    assert not hasattr(inner.training_step, "_torchdynamo_orig_callable") and inner._compiler_ctx is None


def test_a_compiled_default_step_is_no_step() -> None:
    compiled = torch.compile(Net(), backend="eager")
    trainer = L.Trainer(accelerator="cpu", enable_progress_bar=False)
    with pytest.raises(L.utilities.MisconfigurationException, match="No `validation_step"):
        trainer.validate(compiled, DataLoader(torch.randn(2, 4)))


def test_what_is_not_compiled() -> None:
    with pytest.raises(ValueError, match="required to be a `OptimizedModule`"):
        from_compiled(Net())
    with pytest.raises(ValueError, match="expected to be a compiled LightningModule"):
        from_compiled(torch.compile(nn.Linear(1, 1), backend="eager"))
    with pytest.raises(ValueError, match="required to be a compiled LightningModule"):
        to_uncompiled(Net())
    with pytest.raises(ValueError, match="must either be an instance of OptimizedModule or LightningModule"):
        to_uncompiled(nn.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="should be a LightningModule, found Linear"):
        to_uncompiled(torch.compile(nn.Linear(1, 1), backend="eager"))


def test_a_module_of_the_other_runtime_is_named() -> None:
    import lightning

    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(TypeError, match=r"`lightning\.pytorch` object .* to a `torchlift` Trainer"):
        trainer.fit(lightning.LightningModule())  # type: ignore[arg-type]
