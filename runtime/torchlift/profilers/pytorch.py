"""Which torch operations each action runs, on the processor and on the GPU.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.profilers.PyTorchProfiler.html
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import EventList, record_function
from torch.profiler import ProfilerAction, ProfilerActivity, tensorboard_trace_handler

from torchlift.profilers.profiler import Profiler
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_warn, warn_once

__all__ = ["PyTorchProfiler", "RegisterRecordFunction"]

_KINETO_AVAILABLE = torch.profiler.kineto_available()

STEPS = ("training_step", "validation_step", "test_step", "predict_step")

DEFAULT_SCHEDULE = torch.profiler.schedule(wait=1, warmup=1, active=3)
"""Records the third to the fifth step of each kind, so that profiling costs little over a whole run."""

_SHORTEST = 5
"""Steps that the default schedule needs."""


class RegisterRecordFunction:
    """Within it, the forward pass of each submodule is labelled with the submodule's class and name.

    ``PyTorchProfiler`` does this by itself; with a profiler of your own: ``with RegisterRecordFunction(model): ...``.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._running: dict[str, list[Any]] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        for name, module in self._model.named_modules():
            if name:
                label = f"[pl][module]{type(module).__module__}.{type(module).__name__}: {name}"
                self._handles.append(module.register_forward_pre_hook(partial(self._begin, label)))
                self._handles.append(module.register_forward_hook(partial(self._end, label)))

    def _begin(self, label: str, module: nn.Module, inputs: Any) -> None:
        record = record_function(label)
        record.__enter__()
        self._running.setdefault(label, []).append(record)

    def _end(self, label: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._running.get(label):  # none when the module was called before the hooks were there
            self._running[label].pop().__exit__(None, None, None)

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


class StepSchedule:
    """A schedule of torch's, counted apart for training, validation, test and predict steps; each runs through once."""

    def __init__(self, schedule: Callable[[int], ProfilerAction]) -> None:
        self._schedule = schedule
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.steps = dict.fromkeys(STEPS, 0)
        self.kind: str | None = None  # of the step that has just ended
        self._finished: set[str] = set()
        self._last: ProfilerAction | None = None

    def __call__(self, _: int) -> ProfilerAction:
        """What torch is to do until the next step ends; its own count of steps, which knows no kinds, is left aside."""
        kind = self.kind
        if kind is None or kind in self._finished:
            return ProfilerAction.NONE
        self.steps[kind] += 1
        action = self._schedule(self.steps[kind])
        if self._last is ProfilerAction.RECORD and action is ProfilerAction.WARMUP:
            action = ProfilerAction.RECORD  # another kind of step begins; torch cannot go back to warming up
        if action is ProfilerAction.RECORD_AND_SAVE:
            self._finished.add(kind)
        self._last = action
        return action


class PyTorchProfiler(Profiler):
    """Records torch's operations with ``torch.profiler``.

    Args:
        dirpath: the folder of the report and of the traces; that of the run by default.
        filename: the report's file, without ``.txt``; by default the report goes to standard error.
        group_by_input_shapes: tell calls apart by the shapes of their inputs; needs ``record_shapes=True``.
        emit_nvtx: instead of recording, mark every operation for NVIDIA's tools.
        export_to_chrome: write a trace that Chrome and TensorBoard show.
        row_limit: rows of the report's table; -1 for all.
        sort_by_key: the column to sort by, one of ``AVAILABLE_SORT_KEYS``.
        record_module_names: label the forward passes of submodules.
        table_kwargs: more arguments of ``torch.autograd.profiler_util.EventList.table``.
        profiler_kwargs: arguments of ``torch.profiler.profile``, such as ``schedule``, ``activities``,
            ``on_trace_ready``, ``record_shapes``; also ``export_to_flame_graph`` and its ``metric``.

    Raises:
        MisconfigurationException: an unknown ``sort_by_key``, or a ``schedule`` that is none.
        KeyError: an argument in ``table_kwargs`` that the table does not take.
    """

    STEP_FUNCTIONS = set(STEPS)
    AVAILABLE_SORT_KEYS = {
        "cpu_time",
        "cuda_time",
        "cpu_time_total",
        "cuda_time_total",
        "cpu_memory_usage",
        "cuda_memory_usage",
        "self_cpu_memory_usage",
        "self_cuda_memory_usage",
        "count",
    }

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        group_by_input_shapes: bool = False,
        emit_nvtx: bool = False,
        export_to_chrome: bool = True,
        row_limit: int = 20,
        sort_by_key: str | None = None,
        record_module_names: bool = True,
        table_kwargs: dict[str, Any] | None = None,
        **profiler_kwargs: Any,
    ) -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        self._group_by_input_shapes = group_by_input_shapes and profiler_kwargs.get("record_shapes", False)
        self._emit_nvtx, self._export_to_chrome = emit_nvtx, export_to_chrome
        self._row_limit, self._record_module_names = row_limit, record_module_names
        self._export_to_flame_graph = profiler_kwargs.get("export_to_flame_graph", False)
        self._metric = profiler_kwargs.get("metric", "self_cpu_time_total")
        self._has_on_trace_ready = "on_trace_ready" in profiler_kwargs
        self._table_kwargs = _checked_table_kwargs(table_kwargs or {})
        self._sort_by_key = sort_by_key or _default_sort_by_key(profiler_kwargs)
        if self._sort_by_key not in self.AVAILABLE_SORT_KEYS:
            raise MisconfigurationException(
                f"Found sort_by_key: {self._sort_by_key}. Should be within {self.AVAILABLE_SORT_KEYS}."
            )
        schedule = _checked_schedule(profiler_kwargs.get("schedule", DEFAULT_SCHEDULE))
        self._is_default_schedule = schedule is DEFAULT_SCHEDULE
        self._schedule = StepSchedule(schedule) if schedule is not None else None
        self._profiler_kwargs = {
            **profiler_kwargs,
            "schedule": self._schedule,
            "activities": profiler_kwargs.get("activities") or _default_activities(),
            "with_stack": profiler_kwargs.get("with_stack", False) or self._export_to_flame_graph,
        }
        self.profiler: Any | None = None
        self.function_events: EventList | None = None
        self._nvtx_range: Any | None = None
        self._register: RegisterRecordFunction | None = None
        self._recording_map: dict[str, record_function] = {}

    # -- actions ------------------------------------------------------------------------------------------------------

    def start(self, action_name: str) -> None:
        """An action begins; the first one begins the recording."""
        if self.profiler is None:
            self._begin()
        if self._lightning_module is not None and self._register is None and self._record_module_names:
            self._register = RegisterRecordFunction(self._lightning_module)
            self._register.__enter__()
        if action_name not in self._recording_map:
            recording = record_function(f"[pl][profile]{action_name}")
            recording.__enter__()
            self._recording_map[action_name] = recording

    def stop(self, action_name: str) -> None:
        """An action ends; the end of a ``*_step`` moves the schedule on."""
        if action_name in self._recording_map:
            self._recording_map.pop(action_name).__exit__(None, None, None)
        kind = next((step for step in STEPS if action_name.endswith(step)), None)
        if kind is not None and isinstance(self.profiler, torch.profiler.profile):
            self._step(kind, action_name)

    def _step(self, kind: str, action_name: str) -> None:
        profiler = self.profiler
        assert profiler is not None
        if self._schedule is not None and self._is_default_schedule and self._number_of_steps(kind) < _SHORTEST:
            warn_once(
                "The PyTorch Profiler default schedule will be overridden as there is not enough steps to properly"
                " record traces."
            )
            self._schedule = None
            profiler.schedule = lambda step: ProfilerAction.RECORD
        if not self._has_on_trace_ready:
            profiler.on_trace_ready = partial(self._export, action_name)
        if self._schedule is not None:
            self._schedule.kind = kind
            profiler.step_num = self._schedule.steps[kind]
        profiler.step()
        profiler.add_metadata("Framework", "pytorch-lightning")

    def _number_of_steps(self, kind: str) -> int | float:
        """How many steps of this kind there are in an epoch; infinite outside of a Trainer's run."""
        if self._lightning_module is None:
            return float("inf")
        trainer = self._lightning_module.trainer
        if kind == "training_step":
            return trainer.num_training_batches
        if kind == "validation_step":
            return sum(trainer.num_val_batches) + sum(trainer.num_sanity_val_batches)
        return sum(trainer.num_test_batches if kind == "test_step" else trainer.num_predict_batches)

    def _export(self, action_name: str, profiler: Any) -> None:
        """Write what was recorded, when the schedule says that it is complete."""
        if self.dirpath is None:
            rank_zero_warn("The PyTorchProfiler failed to export trace as `dirpath` is None")
            return
        if self._export_to_chrome:
            name = self._prepare_filename(action_name=action_name, extension="")
            tensorboard_trace_handler(str(self.dirpath), name)(profiler)
        if self._export_to_flame_graph:
            name = self._prepare_filename(action_name=action_name, extension=".stack")
            os.makedirs(self.dirpath, exist_ok=True)
            profiler.export_stacks(os.path.join(self.dirpath, name), metric=self._metric)

    # -- the recording ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if torch._C._autograd._profiler_enabled():  # one that was never described; torch can run one at a time
            torch._C._autograd._disable_profiler()
        if self._emit_nvtx:
            self._nvtx_range = torch.cuda.profiler.profile()
            self.profiler = self._make(torch.autograd.profiler.emit_nvtx)
            self._nvtx_range.__enter__()
        else:
            self.profiler = self._make(torch.profiler.profile)
        self.profiler.__enter__()

    def _make(self, kind: Any) -> Any:
        known = inspect.signature(kind.__init__).parameters
        return kind(**{name: value for name, value in self._profiler_kwargs.items() if name in known})

    def _end(self) -> None:
        if self.profiler is not None:
            self.profiler.__exit__(None, None, None)
            if not self._emit_nvtx:
                self.function_events = self.profiler.events()
            self.profiler = None
        if self._schedule is not None:
            self._schedule.reset()
        if self._nvtx_range is not None:
            self._nvtx_range.__exit__(None, None, None)
            self._nvtx_range = None
        if self._register is not None:
            self._register.__exit__(None, None, None)
            self._register = None

    def summary(self) -> str:
        """End the recording; the report: a table with one row per operation and action."""
        if not self._profiler_kwargs.get("enabled", True) or self._emit_nvtx:
            return ""
        self._end()
        if not self.function_events:
            return ""
        data = self.function_events.key_averages(group_by_input_shapes=self._group_by_input_shapes)
        table = data.table(sort_by=self._sort_by_key, row_limit=self._row_limit, **self._table_kwargs)
        return self._stats_to_str({"records": table})

    def teardown(self, stage: str | None) -> None:
        self._end()
        for recording in self._recording_map.values():
            recording.__exit__(None, None, None)
        self._recording_map.clear()
        super().teardown(stage=stage)


def _default_activities() -> list[ProfilerActivity]:
    on_cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *on_cuda]


def _default_sort_by_key(profiler_kwargs: dict[str, Any]) -> str:
    activities = profiler_kwargs.get("activities") or _default_activities()
    return "cuda_time_total" if ProfilerActivity.CUDA in activities else "cpu_time_total"


def _checked_schedule(schedule: Any) -> Any:
    if schedule is None:
        return None
    if not callable(schedule):
        raise MisconfigurationException(f"Schedule should be a callable. Found: {schedule}")
    action = schedule(0)
    if not isinstance(action, ProfilerAction):
        raise MisconfigurationException(f"Schedule should return a `torch.profiler.ProfilerAction`. Found: {action}")
    return schedule


def _checked_table_kwargs(table_kwargs: dict[str, Any]) -> dict[str, Any]:
    own = {"sort_by", "row_limit"}
    known = set(inspect.signature(EventList.table).parameters) - {"self"} - own
    for key in table_kwargs:
        if key in own:
            raise KeyError(
                f"Found invalid table_kwargs key: {key}. This is already a positional argument of the Profiler."
            )
        if key not in known:
            raise KeyError(f"Found invalid table_kwargs key: {key}. Should be within {known}.")
    return table_kwargs
