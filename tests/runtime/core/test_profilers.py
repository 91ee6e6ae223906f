"""Profilers: the actions of Lightning with its counts, reports, and no cost where there is none."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch

import torchlift
from torchlift.profilers import AdvancedProfiler, PassThroughProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from torchlift.utilities.exceptions import MisconfigurationException


def profiled_calls(L: Any, lab: Any, root: Path, manual: bool) -> dict[str, int]:
    """Every action of a fit, with its number of calls."""

    def configure_optimizers(self: Any) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        if manual:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss

    package = "torchlift" if L is torchlift else "lightning.pytorch"
    profiler = importlib.import_module(f"{package}.profilers").SimpleProfiler()
    saver = importlib.import_module(f"{package}.callbacks").ModelCheckpoint(root, every_n_train_steps=3)
    module = lab.classifier(L, configure_optimizers=configure_optimizers, training_step=training_step)()
    module.automatic_optimization = not manual
    flags = lab.QUIET | {"enable_checkpointing": True}
    trainer = L.Trainer(**flags, max_epochs=2, profiler=profiler, callbacks=[saver], default_root_dir=root)
    trainer.fit(module, lab.loader(), lab.loader(8, shuffle=False))
    return {name: len(times) for name, times in profiler.recorded_durations.items()}


@pytest.mark.parametrize("manual", [False, True])
def test_the_actions_of_lightning_with_its_counts(manual: bool, lab: Any, tmp_path: Path) -> None:
    ours, theirs = (profiled_calls(L, lab, tmp_path, manual) for L in lab.RUNTIMES.values())
    moments = {name for name in theirs if name.startswith("[Strategy]") and ".on_" in name}  # empty in both
    fetches = {"[_EvaluationLoop].val_next"}  # ours has the one that finds the end, too
    assert {name: ours.get(name) for name in theirs.keys() - moments - fetches} == {
        name: count for name, count in theirs.items() if name not in moments | fetches
    }
    more = {"setup_train_dataloader", "[Strategy]SingleDeviceStrategy.backward"}  # the latter for `manual_backward`
    assert fetches <= ours.keys() and ours.keys() - theirs.keys() <= more


def test_a_profiler_changes_no_number(lab: Any) -> None:
    weights = []
    for profiler in (None, "simple"):
        torch.manual_seed(1)
        module = lab.classifier(torchlift)()
        trainer = torchlift.Trainer(**lab.QUIET, max_epochs=2, profiler=profiler, gradient_clip_val=0.1)
        trainer.fit(module, lab.loader(), lab.loader(8, shuffle=False))
        weights.append(lab.told(module.state_dict()))
    assert weights[0] == weights[1]


def test_without_a_profiler_nothing_is_wrapped(lab: Any) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        frames.append({frame.filename.rpartition("/")[2] for frame in traceback.extract_stack()})
        return self.loss(batch)

    frames: list[set[str]] = []
    for profiler in (None, "simple"):
        trainer = torchlift.Trainer(**lab.QUIET, fast_dev_run=True, profiler=profiler)
        trainer.fit(lab.classifier(torchlift, training_step=training_step)(), lab.loader())
    assert ["profiling.py" in files for files in frames] == [False, True]
    trainer = torchlift.Trainer(**lab.QUIET)
    assert type(trainer.profiler) is PassThroughProfiler
    with trainer.profiler.profile("mine") as name:
        assert name == "mine"


@pytest.mark.parametrize(
    ("given", "kind"), [("simple", SimpleProfiler), ("ADVANCED", AdvancedProfiler), ("pytorch", PyTorchProfiler)]
)
def test_profilers_by_name(given: str, kind: type) -> None:
    assert type(torchlift.Trainer(profiler=given).profiler) is kind


def test_an_unknown_profiler_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="it can only be one of"):
        torchlift.Trainer(profiler="fast")


def test_reports_go_to_files_by_entry_point(lab: Any, tmp_path: Path) -> None:
    trainer = torchlift.Trainer(
        **lab.QUIET, max_epochs=1, profiler=SimpleProfiler(filename="times"), default_root_dir=tmp_path / "run"
    )
    module = lab.classifier(torchlift)()
    trainer.fit(module, lab.loader())
    trainer.validate(module, lab.loader(shuffle=False))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["fit-times.txt", "validate-times.txt"]
    text = (tmp_path / "run" / "fit-times.txt").read_text()
    assert text.startswith("FIT Profiler Report") and "run_training_epoch" in text and "100 %" in text


def test_a_table_reads_as_lightnings() -> None:
    from lightning.pytorch.profilers import SimpleProfiler as Theirs

    for extended in (True, False):
        tables = []
        for kind in (SimpleProfiler, Theirs):
            profiler: Any = kind(extended=extended)
            profiler.start_time = 0.0
            profiler.recorded_durations.update({"load": [0.5, 0.25], "a much longer action": [4.0]})
            tables.append([line for line in profiler.summary().splitlines() if "Total  " not in line])
            if extended:  # the percentage depends on the clock
                tables[-1] = [line.rpartition("|  ")[0] for line in tables[-1]]
        assert tables[0] == tables[1]


def test_starting_twice_and_stopping_what_never_began() -> None:
    profiler = SimpleProfiler()
    profiler.start("load")
    with pytest.raises(ValueError, match="which has already started"):
        profiler.start("load")
    for other in (profiler, AdvancedProfiler()):
        with pytest.raises(ValueError, match="which was never started"):
            other.stop("save")


def test_an_advanced_profile_of_actions_in_one_another(tmp_path: Path) -> None:
    def outside() -> None:
        pass

    def inside() -> None:
        pass

    profiler = AdvancedProfiler(tmp_path, "report", dump_stats=True)
    with profiler.profile("whole/part"):
        with profiler.profile("inner"):
            inside()
        outside()
    profiler.describe()
    report = (tmp_path / "report.txt").read_text()
    whole, _, inner = report.partition("Profile stats for: inner")
    assert "(outside)" in whole and "(inside)" in inner and "(outside)" not in inner
    assert sorted(path.name for path in tmp_path.glob("*.prof")) == ["report-inner.prof", "report-whole_part.prof"]
    assert copy.deepcopy(profiler).dirpath == tmp_path and pickle.loads(pickle.dumps(profiler)).dump_stats


def test_a_dump_without_a_folder_is_refused() -> None:
    profiler = AdvancedProfiler(dump_stats=True)
    with profiler.profile("load"):
        pass
    with pytest.raises(MisconfigurationException, match="needs a folder"):
        profiler.summary()


def test_torchs_operations_submodules_and_a_trace(lab: Any, tmp_path: Path) -> None:
    profiler = PyTorchProfiler(tmp_path, "ops")
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=1, profiler=profiler, default_root_dir=tmp_path)
    trainer.fit(lab.classifier(torchlift)(), lab.loader(40))
    names = {event.name for event in profiler.function_events or []}
    assert "[pl][profile][Strategy]SingleDeviceStrategy.training_step" in names
    assert "[pl][module]torch.nn.modules.linear.Linear: net.0" in names
    assert "aten::" in (tmp_path / "fit-ops.txt").read_text()
    (trace,) = tmp_path.glob("*training_step*.json")
    assert json.loads(trace.read_text())["traceEvents"]


def test_too_few_steps_for_the_default_schedule_are_all_recorded(lab: Any, tmp_path: Path) -> None:
    from torchlift.utilities import rank_zero

    rank_zero._said.clear()
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=1, profiler="pytorch", default_root_dir=tmp_path)
    with pytest.warns(UserWarning, match="not enough steps to properly record traces"):
        trainer.fit(lab.classifier(torchlift)(), lab.loader(8))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sort_by_key": "beauty"}, MisconfigurationException, "Found sort_by_key: beauty"),
        ({"schedule": 3}, MisconfigurationException, "Schedule should be a callable"),
        ({"schedule": lambda step: None}, MisconfigurationException, "Schedule should return"),
        ({"table_kwargs": {"row_limit": 1}}, KeyError, "already a positional argument"),
        ({"table_kwargs": {"colour": 1}}, KeyError, "Should be within"),
    ],
)
def test_wrong_arguments_of_the_torch_profiler(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        PyTorchProfiler(**arguments)


def test_a_profiler_of_ones_own(lab: Any) -> None:
    class Mine(Profiler):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.seen: list[str] = []

        def start(self, action_name: str) -> None:
            self.open.append(action_name)

        def stop(self, action_name: str) -> None:
            assert self.open.pop() == action_name
            self.seen.append(action_name)

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        with self.trainer.profiler.profile("my part"):
            return self.loss(batch)

    mine = Mine()
    trainer = torchlift.Trainer(**lab.QUIET, max_epochs=1, profiler=mine)
    trainer.fit(lab.classifier(torchlift, training_step=training_step)(), lab.loader())
    assert mine.seen.count("my part") == 7 and not mine.open
