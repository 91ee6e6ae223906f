"""The summary of a module: the numbers are Lightning's, and making it disturbs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.utilities.model_summary import ModelSummary as Theirs
from lightning.pytorch.utilities.model_summary.model_summary import get_human_readable_count as oracle_count
from torch import nn

from torchlift.callbacks import ModelSummary
from torchlift.utilities.model_summary import UNKNOWN_SIZE, get_human_readable_count, parse_batch_shape, summarize


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
@pytest.mark.parametrize("example", [None, torch.ones(3, 4), [torch.ones(3, 4)], {"x": torch.ones(3, 4)}])
def test_the_table_is_lightnings(depth: int, example: Any) -> None:
    net = Net()
    if example is not None:
        net.example_input_array = example
    ours, theirs = summarize(net, depth), Theirs(lightnings(net), depth)
    for (name, cells), (their_name, expected) in zip(ours._get_summary_data(), theirs._get_summary_data(), strict=True):
        if name == "FLOPs":
            continue  # Lightning looks them up by the class's name, which the wrapper of the oracle changes
        # below the first level Lightning counts nested parameters twice and so finds none left over
        assert (name, cells[: len(expected)]) == (their_name, expected)
        assert len(cells) == len(ours.layer_names) + 1
    for attribute in ("total_parameters", "trainable_parameters", "total_training_modes", "model_size", "total_flops"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert ours.in_sizes == theirs.in_sizes and ours.out_sizes == theirs.out_sizes
    if depth == 1 and example is None:
        assert str(ours) == str(theirs)


def test_the_operations_of_each_layer_add_up() -> None:
    net = Net()
    net.example_input_array = torch.ones(3, 4)
    counts = {name: sum(by_operator.values()) for name, by_operator in summarize(net, -1).flop_counts.items()}
    assert counts["body.0"] == 2 * 3 * 4 * 8 and counts["head"] == 2 * 3 * 8 * 2 and counts["unused"] == 0
    assert summarize(net).total_flops == counts["body.0"] + counts["head"]


@pytest.mark.parametrize("depth", [0, 1, -1])
def test_what_no_layer_holds_is_other_parameters(depth: int) -> None:
    columns = dict(summarize(Net(), depth)._get_summary_data())
    assert columns["Name"][-1] == "other params"
    assert columns["Params"][-1].strip() == ("91" if depth == 0 else "5")


def test_sizes_of_what_is_no_tensor_are_unknown() -> None:
    assert parse_batch_shape([torch.ones(2), {"a": 1}, (torch.ones(1, 3),)]) == [[2], UNKNOWN_SIZE, [[1, 3]]]


@given(st.integers(0, 10**16))
def test_counts_read_as_lightnings(number: int) -> None:
    assert get_human_readable_count(number) == oracle_count(number)


def test_modes_gradients_and_hooks_are_left_as_they_were() -> None:
    net = Net()
    net.example_input_array = torch.ones(3, 4)
    before = [(m.training, len(m._forward_hooks)) for m in net.modules()]
    mean = net.body[2].running_mean.clone()
    summarize(net, -1)
    assert [(m.training, len(m._forward_hooks)) for m in net.modules()] == before
    assert torch.equal(net.body[2].running_mean, mean)
    assert all(p.grad is None for p in net.parameters())


def test_a_parameter_whose_shape_is_not_known_yet_counts_as_nothing() -> None:
    summary = summarize(nn.Sequential(nn.LazyLinear(3), nn.Linear(2, 2)))
    assert summary.total_parameters == 6


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
    for depth in (-2, "all"):
        with pytest.raises(ValueError, match="`max_depth` can be -1, 0 or > 0"):
            summarize(nn.Linear(1, 1), depth)  # type: ignore[arg-type]


def test_an_overridden_summarize_gets_what_lightnings_gets(harness: Any, tmp_path: Path) -> None:
    seen = []
    for kind in ("lightning", "torchlift"):
        base = harness.callback_class(kind, "RichModelSummary")

        class Mine(base):  # type: ignore[misc, valid-type]
            @staticmethod
            def summarize(summary_data: Any, *args: Any, **kwargs: Any) -> None:
                seen.append((summary_data, args, kwargs))

        harness.run(kind, [Mine(max_depth=2, colour="red")], tmp_path, max_epochs=1, enable_model_summary=True)
    assert len(seen) == 2 and seen[0] == seen[1]


def test_rich_draws_on_standard_error_or_where_its_console_was_directed(capsys: pytest.CaptureFixture[str]) -> None:
    import io

    import rich

    from torchlift.callbacks import RichModelSummary

    summary = summarize(Net())
    arguments = (summary._get_summary_data(), 91, 51, 0.5, {"train": 1, "eval": 2}, 7)
    RichModelSummary.summarize(*arguments)
    out, err = capsys.readouterr()
    assert out == "" and "Total FLOPs: 7" in err and "body" in err
    console, before = rich.get_console(), dict(vars(rich.get_console()))
    try:
        console.file = io.StringIO()
        RichModelSummary.summarize(*arguments)
        assert "Total FLOPs: 7" in console.file.getvalue() and capsys.readouterr() == ("", "")
    finally:
        vars(console).update(before)
