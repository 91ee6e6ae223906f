"""The logged values of an epoch under way, and the states of torchmetrics objects, as plain data for a checkpoint.

Lightning forgets both: the means of an epoch that is resumed in its middle are there those of its second half.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from torchlift.results import Entry, Results

if TYPE_CHECKING:
    from torch import nn

    from torchlift.logged import Logged


def dump_logged(logged: "Logged", results: Results) -> dict[str, Any]:
    """What has been logged: the current metrics, and in `results` what is reduced at the epoch's end."""
    logged._settle()
    return {
        "callback_metrics": dict(logged._callback),
        "logged_metrics": dict(logged._logger),
        "progress_bar_metrics": dict(logged._prog_bar),
        "sent_early": sorted(logged.sent_early),
        "entries": dump_entries(results),
    }


def dump_entries(results: Results) -> list[dict[str, Any]]:
    """The values under way; none of them is changed later, others take their place."""
    return [_dump_entry(key, entry) for key, entry in results.entries.items()]


def restore_logged(logged: "Logged", results: Results, state: dict[str, Any], module: "nn.Module") -> None:
    """Take back what :func:`dump_logged` gave."""
    logged._callback, logged._logger = dict(state["callback_metrics"]), dict(state["logged_metrics"])
    logged._prog_bar, logged.sent_early = dict(state["progress_bar_metrics"]), set(state["sent_early"])
    modules = dict(module.named_modules())
    for kept in state["entries"]:
        entry = _restored_entry(kept, modules)
        if entry is not None:
            results.put((kept["hook"], kept["name"], kept["source"]), entry)


def _dump_entry(key: tuple[str, str, int | None], entry: Entry) -> dict[str, Any]:
    hook, name, source = key
    return {
        "hook": hook,
        "name": name,
        "source": source,
        "fx": entry.fx,
        "reduce": entry.reduce,
        "prog_bar": entry.prog_bar,
        "logger": entry.logger,
        "on_step": entry.on_step,
        "on_epoch": entry.on_epoch,
        "metric_attribute": entry.how[5],
        "add_dataloader_idx": entry.how[6],
        "dataloader_idx": entry.dataloader_idx,
        "is_metric": entry.metric is not None,
        "is_reset": entry.is_reset,
        "value": entry.value,
        "weight": entry.weight,
        "last": last if isinstance(last := entry.of_step(), Tensor) else None,
    }


def _restored_entry(kept: dict[str, Any], modules: dict[str, Any]) -> Entry | None:
    metric = modules.get(kept["metric_attribute"]) if kept["is_metric"] else None
    if kept["is_metric"] and metric is None:
        return None  # held by another attribute now
    names = ("prog_bar", "logger", "on_step", "on_epoch", "reduce", "metric_attribute", "add_dataloader_idx")
    how = tuple(kept[name] for name in names)
    entry = Entry(kept["fx"], kept["name"], kept["reduce"], how, kept["dataloader_idx"], metric)
    for slot in ("value", "weight", "last", "is_reset"):
        setattr(entry, slot, kept[slot])
    return entry


def dump_metrics(module: "nn.Module", left_out: Results, updates: dict[str, int] | None = None) -> dict[str, Any]:
    """The states of the module's torchmetrics objects that hold something.

    Args:
        module: holds them.
        left_out: those logged in it are validation's, which begins anew.
        updates: what :func:`updates_of` said when validation began; those updated since are validation's too.
    """
    theirs = {id(entry.metric) for entry in left_out.entries.values() if entry.metric is not None}
    return {
        name: {"updates": metric._update_count, "states": {key: getattr(metric, key) for key in metric._defaults}}
        for name, metric in _metrics(module)
        if metric._update_count
        and id(metric) not in theirs
        and (updates is None or metric._update_count == updates.get(name))
    }


def updates_of(module: "nn.Module") -> dict[str, int]:
    """How often each torchmetrics object of the module has been updated."""
    return {name: metric._update_count for name, metric in _metrics(module)}


def restore_metrics(module: "nn.Module", states: dict[str, Any]) -> None:
    """Take back what :func:`dump_metrics` gave; objects that are not there any more are left out."""
    for name, metric in _metrics(module):
        if name not in states or states[name]["states"].keys() - metric._defaults.keys():
            continue
        for key, value in states[name]["states"].items():
            moved = [one.to(metric.device) for one in value] if isinstance(value, list) else value.to(metric.device)
            setattr(metric, key, moved)
        metric._update_count, metric._computed = states[name]["updates"], None


def _metrics(module: "nn.Module") -> Iterator[tuple[str, Any]]:
    if "torchmetrics" not in sys.modules:
        return
    from torchmetrics import Metric, MetricCollection

    named = list(module.named_modules())
    for _, found in named:
        if isinstance(found, MetricCollection):
            list(found.values())  # members of one group share a state, which reaches all of them when they are asked
    yield from ((name, found) for name, found in named if isinstance(found, Metric))
