"""Rates: what Throughput computes, what its callback logs, and the peaks of devices."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from torchlift.utilities.chips import CUDA_FLOPS, chip_of
from torchlift.utilities.throughput import Throughput, measure_flops


@pytest.mark.parametrize("world_size", [1, 3])
def test_rates_are_lightnings(world_size: int) -> None:
    from lightning.fabric.utilities.throughput import Throughput as Theirs

    options: Any = {"available_flops": 1e3, "world_size": world_size, "window_size": 3, "separator": "|"}
    ours, theirs = Throughput(**options), Theirs(**options)
    for step in range(1, 6):
        for one in (ours, theirs):
            one.update(time=step * 0.7, batches=step, samples=step * 4, lengths=step * 40, flops=100)
        expected = theirs.compute()
        if world_size > 1 and "batches_per_sec" in expected:
            assert expected["batches_per_sec"] == pytest.approx(expected["device|batches_per_sec"] * world_size)
        assert ours.compute() == pytest.approx(expected)
    ours.reset()
    with pytest.raises(IndexError):
        ours.compute()


def test_totals_that_do_not_grow_or_do_not_fit_are_refused() -> None:
    throughput = Throughput(window_size=2)
    throughput.update(time=1.0, batches=1, samples=2)
    with pytest.raises(ValueError, match="Expected the value to increase"):
        throughput.update(time=1.0, batches=2, samples=4)
    with pytest.raises(ValueError, match="greater or equal than batches"):
        throughput.update(time=2.0, batches=5, samples=4)
    with pytest.raises(ValueError, match="greater or equal than samples"):
        throughput.update(time=3.0, batches=6, samples=7, lengths=2)


def test_operations_of_forward_and_backward_passes() -> None:
    with torch.device("meta"):
        model, x = torch.nn.Linear(32, 2), torch.randn(4, 32)
    forward = measure_flops(model, lambda: model(x))
    assert forward == 2 * 4 * 32 * 2
    assert measure_flops(model, lambda: model(x), torch.Tensor.sum) == 2 * forward


def test_peaks_are_lightnings(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.fabric.utilities import throughput as theirs

    assert {chip: CUDA_FLOPS[chip] for chip in theirs._CUDA_FLOPS} == {
        chip: pytest.approx(peaks) for chip, peaks in theirs._CUDA_FLOPS.items()
    }
    names = [
        "Tesla V100-SXM2-32GB",
        "NVIDIA A100-PCIE-40GB",
        "NVIDIA GeForce RTX 3090",
        "NVIDIA GeForce RTX 4080 SUPER",
    ]
    names += ["Tesla T4", "NVIDIA H100 PCIe", "NVIDIA H100 80GB HBM3", "NVIDIA A10G", "NVIDIA L4", "NVIDIA A6000"]
    names += ["Quadro RTX 5000 with Max-Q Design", "NVIDIA TITAN RTX", "NVIDIA GeForce RTX 3080 Ti", "NVIDIA A40"]
    for name in names:
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        chip = chip_of(name.lower())
        assert (
            chip and theirs.get_available_flops(torch.device("cuda"), torch.float16) == CUDA_FLOPS[chip][torch.float16]
        )
    assert chip_of("nvidia h200") == "h200" and chip_of("some other card") is None


def rows_of(kind: str, harness: Any, root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Any]:
    """What the loggers got, by a clock that goes one second further at every look."""
    lightning = harness.runtime(kind)
    base = lightning.pytorch.loggers.CSVLogger

    class Rows(base):  # type: ignore[misc,valid-type]
        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            rows.append((step, dict(metrics)))

        def save(self) -> None:
            pass

    rows: list[Any] = []
    monitor = harness.callback_class(kind, "ThroughputMonitor")(
        batch_size_fn=len, length_fn=lambda batch: 3 * len(batch), window_size=3
    )
    ticks = iter(range(10_000))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    harness.run(kind, [monitor], root, {"x": [0.5] * 3}, logger=Rows(root), **options)
    return [row for row in rows if any("/time" in name for name in row[1])]


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 2, "batches": 5},
        {"max_epochs": 2, "batches": 5, "accumulate_grad_batches": 2},
        {"max_epochs": 1, "batches": 6, "val_check_interval": 2, "log_every_n_steps": 2},
    ],
    ids=["plain", "accumulating", "validating inside"],
)
def test_the_rows_of_lightning(
    options: dict[str, Any], harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = rows_of("lightning", harness, tmp_path, monkeypatch, **options)
    ours = rows_of("torchlift", harness, tmp_path, monkeypatch, **options)
    assert len(ours) > 2 and ours == theirs
