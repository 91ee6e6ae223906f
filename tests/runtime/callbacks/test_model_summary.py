"""The summary of a module: the numbers are Lightning's, and making it disturbs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.utilities.model_summary import summarize as oracle
from lightning.pytorch.utilities.model_summary.model_summary import get_human_readable_count
from torch import nn

from torchlift.callbacks import ModelSummary
from torchlift.utilities.model_summary import readable_count, summarize


class Net(nn.Module):
    """Nested, with a frozen part, a part in eval mode, dropout, a shared layer and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.BatchNorm1d(8))
        self.head = nn.Linear(8, 2, dtype=torch.float64)
        self.unused = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(5))
        self.body[0].requires_grad_(False)
        self.body[2].eval()

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.body(x).double()), x


def lightnings(net: nn.Module) -> Any:
    import lightning

    class Module(lightning.LightningModule):
        pass

    module = Module()
    module.__dict__["_modules"], module.__dict__["_parameters"] = net._modules, net._parameters
    module.forward = net.forward  # type: ignore[method-assign]
    if hasattr(net, "example_input_array"):
        module.example_input_array = net.example_input_array
    return module


@pytest.mark.parametrize("depth", [1, 2, -1])
@pytest.mark.parametrize("example", [False, True])
def test_the_numbers_are_lightnings(depth: int, example: bool) -> None:
    net = Net()
    if example:
        net.example_input_array = torch.ones(3, 4)
    ours, theirs = summarize(net, depth), oracle(lightnings(net), depth)
    columns = {name: cells for name, cells in theirs._get_summary_data() if name not in (" ", "FLOPs")}
    for name, cells in columns.items():
        # below the first level Lightning counts nested parameters twice and so finds none left over
        rows = len(cells) if depth == 1 else len(ours.layers) - 1
        assert [cell.strip() for cell in cells] == ours.columns[name][:rows], name
    assert ours.total_parameters == theirs.total_parameters
    assert ours.trainable_parameters == theirs.trainable_parameters
    assert (ours.train_modules, ours.eval_modules) == tuple(theirs.total_training_modes.values())


@given(st.integers(0, 10**16))
def test_counts_read_as_lightnings(number: int) -> None:
    assert readable_count(number) == get_human_readable_count(number).strip()


def test_the_size_counts_the_bytes_of_each_type() -> None:
    assert summarize(nn.Linear(1000, 1000, bias=False, dtype=torch.float64)).model_size == 8.0


def test_modes_gradients_hooks_and_random_numbers_are_left_as_they_were() -> None:
    net = Net()
    net.example_input_array = torch.ones(3, 4)
    before = [(m.training, len(m._forward_hooks)) for m in net.modules()], torch.get_rng_state()
    mean = net.body[2].running_mean.clone()
    summarize(net, -1)
    assert [(m.training, len(m._forward_hooks)) for m in net.modules()] == before[0]
    assert torch.equal(torch.get_rng_state(), before[1]) and torch.equal(net.body[2].running_mean, mean)
    assert all(p.grad is None for p in net.parameters())


def test_a_parameter_whose_shape_is_not_known_yet_counts_as_nothing() -> None:
    assert summarize(nn.Sequential(nn.LazyLinear(3), nn.Linear(2, 2))).total_parameters == 6


@pytest.mark.parametrize("name", ["ModelSummary", "RichModelSummary"])
def test_it_goes_to_standard_error(
    harness: Any, kind: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning.pytorch.callbacks import ModelSummary as Theirs

    own = harness.callback_class(kind, name)
    callback = own() if kind == "torchlift" else type(name, (own, Theirs), {})()
    harness.run(kind, [callback], tmp_path, max_epochs=1, enable_model_summary=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "0 | layer | Linear | 2      | train" in err and "\x1b" not in err
    assert "2         Total params" in err


def test_depth_zero_shows_nothing(harness: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ModelSummary(max_depth=0).on_fit_start(None, None)  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match="max_depth=-2"):
        summarize(nn.Linear(1, 1), -2)
