"""Trying code for several GPUs on a machine that has none: with ``TORCHLIFT_FALLBACK=1`` a Trainer takes what there is.

Without it, asking for what is not there is an error. Falling back changes an experiment (one process instead of eight,
other batches, other numbers), so it is asked for, and each change is said.
"""

import os
from typing import Any

from torchlift.accelerators import Accelerator, AcceleratorRegistry, CUDAAccelerator, MPSAccelerator
from torchlift.strategies.registry import SEVERAL_DEVICES
from torchlift.utilities.rank_zero import rank_zero_warn

VARIABLE = "TORCHLIFT_FALLBACK"
_ELSEWHERE = {"tpu", "hpu", "ipu", "xla"}


def is_on() -> bool:
    """Whether the environment asks for it."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def fall_back(accelerator: Any, strategy: Any, devices: Any, num_nodes: Any) -> tuple[Any, Any, Any, Any]:
    """What these arguments of a Trainer come down to on one device of this machine."""
    given = {"accelerator": accelerator, "strategy": strategy, "devices": devices, "num_nodes": num_nodes}
    taken = dict(given)
    if not _is_here(accelerator):
        taken["accelerator"] = "cpu"
    if isinstance(strategy, str) and strategy.lower() in SEVERAL_DEVICES:
        taken["strategy"] = "auto"
    if _count(devices) != 1 or taken["accelerator"] != accelerator:
        taken["devices"] = 1
    taken["num_nodes"] = 1
    for name, value in given.items():
        if taken[name] != value and (name, value) != ("devices", "auto"):
            rank_zero_warn(
                f"`Trainer({name}={value!r})` is not available on this machine: falling back to {taken[name]!r}, as"
                f" {VARIABLE} asks. Numbers of such a run say nothing about the real one."
            )
    return taken["accelerator"], taken["strategy"], taken["devices"], taken["num_nodes"]


def _is_here(accelerator: Any) -> bool:
    if accelerator == "gpu":
        return CUDAAccelerator.is_available() or MPSAccelerator.is_available()
    if isinstance(accelerator, str) and accelerator in {*AcceleratorRegistry, *_ELSEWHERE}:
        known = AcceleratorRegistry.get(accelerator) if accelerator in AcceleratorRegistry else None
        return isinstance(known, Accelerator) and known.is_available()
    return True  # "auto" finds what there is; a name that means nothing stays an error


def _count(devices: Any) -> int:
    """How many devices are asked for; 1 for what asks for none in particular."""
    if isinstance(devices, str):
        text = devices.strip()
        if "," in text:
            return len([part for part in text.split(",") if part.strip()])
        return int(text) if text.lstrip("-").isdigit() else 1
    return len(devices) if isinstance(devices, (list, tuple)) else devices
