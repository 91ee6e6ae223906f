"""A module is served for one request before training starts, and training goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import torchlift
from torchlift.demos import BoringModel
from torchlift.serve import ServableModule, ServableModuleValidator
from torchlift.utilities.exceptions import MisconfigurationException


class Served(BoringModel, ServableModule):
    answer: Any = [0, 1]

    def configure_payload(self) -> dict[str, Any]:
        return {"body": {"x": list(range(32))}}

    def configure_serialization(self) -> tuple[dict[str, Callable], dict[str, Callable]]:
        return {"x": lambda numbers: torch.tensor(numbers, dtype=torch.float)}, {"output": torch.Tensor.tolist}

    def serve_step(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        assert not self.training and not torch.is_grad_enabled() and x.shape == (32,)
        torch.randn(3)  # training must not notice
        self.layer.weight.zero_()
        return {"output": torch.tensor([0, 1])}

    def configure_response(self) -> dict[str, Any]:
        return {"output": self.answer}


def fit(module: Any, *callbacks: Any) -> torchlift.Trainer:
    torch.manual_seed(3)
    trainer = torchlift.Trainer(
        fast_dev_run=3,
        accelerator="cpu",
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    return trainer


def test_a_module_is_served_and_training_does_not_notice() -> None:
    torch.manual_seed(1)
    served = Served()
    torch.manual_seed(1)
    alone = Served()
    check = ServableModuleValidator(port=0)
    assert check.successful is None
    fit(served, check)
    fit(alone)
    assert check.resp is not None and check.resp.json() == {"output": [0, 1]}
    assert check.state_dict() == {"successful": True, "optimization": None, "server": "fastapi"}
    assert served.training
    for name, weight in served.state_dict().items():
        assert torch.equal(weight, alone.state_dict()[name])


def test_another_answer_than_expected_ends_the_run() -> None:
    class Wrong(Served):
        answer = [1, 0]

    with pytest.raises(MisconfigurationException, match=r"expected response .*\[1, 0\].* doesn't match .*\[0, 1\]"):
        fit(Wrong(), ServableModuleValidator(port=0))


def test_a_module_that_fails_is_shown_with_its_traceback_or_let_go() -> None:
    class Fails(Served):
        def serve_step(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
            raise ValueError("no model here")

    with pytest.raises(MisconfigurationException, match=r"(?s)isn't servable.*no model here"):
        fit(Fails(), ServableModuleValidator(port=0))
    check = ServableModuleValidator(port=0, exit_on_failure=False)
    fit(Fails(), check)
    assert check.successful is False


def test_what_cannot_be_served_is_named() -> None:
    class NoBody(Served):
        def configure_payload(self) -> dict[str, Any]:
            return {"x": 1}

    with pytest.raises(TypeError, match="should be subclass of ServableModule"):
        fit(BoringModel(), ServableModuleValidator(port=0))
    with pytest.raises(MisconfigurationException, match='field named "body"'):
        fit(NoBody(), ServableModuleValidator(port=0))
    with pytest.raises(NotImplementedError, match="optimization onnx"):
        ServableModuleValidator(optimization="onnx")
    with pytest.raises(NotImplementedError, match="Only the fastapi server"):
        ServableModuleValidator(server="torchserve")
