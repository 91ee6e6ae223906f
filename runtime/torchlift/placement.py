"""Where and how a run computes: the accelerator, its device, the strategy, the precision and the plugins.

Each question has one function; ``place`` asks them in Lightning's order and puts the answers into the strategy.
"""

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch

from torchlift import fallback
from torchlift.accelerators import Accelerator, AcceleratorRegistry, CUDAAccelerator, MPSAccelerator
from torchlift.checkpoint_io import CheckpointIO
from torchlift.precision import Precision, make_precision, precision_name
from torchlift.strategies import SingleDeviceStrategy, Strategy, StrategyRegistry
from torchlift.strategies.registry import SEVERAL_DEVICES
from torchlift.utilities.exceptions import MisconfigurationException, PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn

LATER = (
    "This release uses one device; several come with a later one. Set `devices=1` and `strategy='auto'`, or run this"
    " code on the real Lightning by changing its import line."
)


def place(
    accelerator: str | Accelerator,
    strategy: str | Strategy,
    devices: list[int] | str | int,
    num_nodes: int,
    precision: int | str | None,
    plugins: Any,
) -> Strategy:
    """The strategy of a Trainer with these arguments, with accelerator, precision and checkpoint IO in it.

    Raises:
        MisconfigurationException: something is not there, is given twice, or is not done by this runtime.
        ValueError: a name that means nothing, or a precision given twice.
        TypeError: `devices` is of a type that means nothing.
    """
    if fallback.is_on():
        accelerator, strategy, devices, num_nodes = fallback.fall_back(accelerator, strategy, devices, num_nodes)
    _check_names(strategy, accelerator)
    name = None if precision is None else precision_name(precision)
    own = sort_plugins(plugins)
    if Precision in own and name is not None:
        raise ValueError(f"Received both `precision={name}` and `plugins={own[Precision]}`. Choose one.")
    if isinstance(strategy, Strategy):
        accelerator = _merge(strategy, accelerator, own)
    if not isinstance(num_nodes, int) or num_nodes < 1:
        raise ValueError(f"`num_nodes` must be a positive integer, but got {num_nodes}.")
    chosen = choose_accelerator(accelerator, devices)
    placed = _choose_strategy(strategy, chosen, devices, num_nodes)
    placed.accelerator = chosen
    placed.precision_plugin = own.get(Precision) or _choose_precision(name, placed.root_device.type)
    if CheckpointIO in own:
        placed.checkpoint_io = own[CheckpointIO]
    _tell_of_gpus(chosen)
    return placed


def _check_names(strategy: str | Strategy, accelerator: str | Accelerator) -> None:
    if isinstance(strategy, str) and strategy.lower() in SEVERAL_DEVICES and strategy.lower() not in StrategyRegistry:
        raise MisconfigurationException(f"`Trainer(strategy={strategy!r})` is not available. {LATER}")
    known = isinstance(strategy, str) and (strategy.lower() == "auto" or strategy.lower() in StrategyRegistry)
    if not known and not isinstance(strategy, Strategy):
        raise ValueError(
            f"You selected an invalid strategy name: `strategy={strategy!r}`. It must be either a string or an instance"
            f" of `torchlift.strategies.Strategy`. Available names are: auto, {', '.join(StrategyRegistry)}."
        )
    if not isinstance(accelerator, Accelerator) and accelerator not in {"auto", "gpu", *AcceleratorRegistry}:
        raise ValueError(
            f"You selected an invalid accelerator name: `accelerator={accelerator!r}`. Available names are: auto, gpu,"
            f" {', '.join(AcceleratorRegistry)}."
        )


def sort_plugins(plugins: Any) -> dict[type, Any]:
    """The plugins by kind: ``Precision``, ``CheckpointIO``.

    Raises:
        MisconfigurationException: one is of no known kind, or two are of one kind.
    """
    if plugins is None:
        return {}
    given = list(plugins) if isinstance(plugins, Iterable) else [plugins]
    found = [(next((kind for kind in (Precision, CheckpointIO) if isinstance(one, kind)), None), one) for one in given]
    for kind, plugin in found:
        if kind is None:
            raise MisconfigurationException(
                f"Found invalid type for plugin {plugin}. Expected one of: Precision, CheckpointIO."
            )
    counts = Counter(kind.__name__ for kind, _ in found if kind is not None)
    if doubled := [name for name, count in counts.items() if count > 1]:
        raise MisconfigurationException(
            f"Received multiple values for {', '.join(doubled)} flags in `plugins`. Expected one value for each type at"
            " most."
        )
    return {kind: plugin for kind, plugin in found if kind is not None}


def _merge(strategy: Strategy, accelerator: str | Accelerator, plugins: dict[type, Any]) -> str | Accelerator:
    """What a strategy brings along counts as given; returns the accelerator to choose."""
    for brought, kind, what in (
        (strategy._precision_plugin, Precision, "precision"),
        (strategy._checkpoint_io, CheckpointIO, "checkpoint_io"),
    ):
        if brought is not None and kind in plugins:
            raise MisconfigurationException(f"{what} set through both strategy class and plugins, choose one")
        if brought is not None:
            plugins[kind] = brought
    if strategy._accelerator is None:
        kind_of_device = strategy.root_device.type
        return kind_of_device if accelerator == "auto" and kind_of_device in AcceleratorRegistry else accelerator
    if accelerator != "auto" and accelerator is not strategy._accelerator:
        raise MisconfigurationException("accelerator set through both strategy class and accelerator flag, choose one")
    return strategy._accelerator


def choose_accelerator(given: str | Accelerator, devices: Any = "auto") -> Accelerator:
    """What ``Trainer(accelerator=given)`` means on this machine.

    Raises:
        MisconfigurationException: this machine does not have it, or no device of it is asked for.
    """
    if given == "gpu":
        given = _find_gpu()
    elif given == "auto":
        given = next((kind.name() for kind in (CUDAAccelerator, MPSAccelerator) if kind.is_available()), "cpu")
    if devices in ([], 0, "0") and devices is not False:
        name = type(given).__qualname__ if isinstance(given, Accelerator) else given
        raise MisconfigurationException(
            f"`Trainer(devices={devices!r})` value is not a valid input using {name} accelerator."
        )
    accelerator = AcceleratorRegistry.get(given) if isinstance(given, str) else given
    if not accelerator.is_available():
        there = [name for name, entry in AcceleratorRegistry.items() if entry["accelerator"].is_available()]
        raise MisconfigurationException(
            f"`{type(accelerator).__qualname__}` can not run on your system since the accelerator is not available. The"
            " following accelerator(s) is available and can be passed into `accelerator` argument of `Trainer`:"
            f" {there}. This runtime runs on the CPU, on CUDA and on MPS, not on TPUs."
        )
    return accelerator


def _find_gpu() -> str:
    for kind in (MPSAccelerator, CUDAAccelerator):
        if kind.is_available():
            return kind.name()
    raise MisconfigurationException(
        "No supported gpu backend found! This machine has neither CUDA nor MPS; use `accelerator='cpu'` or 'auto'."
    )


def _choose_strategy(strategy: str | Strategy, accelerator: Accelerator, devices: Any, num_nodes: int) -> Strategy:
    if num_nodes > 1:
        raise MisconfigurationException(f"`Trainer(num_nodes={num_nodes})` is not available. {LATER}")
    if not isinstance(strategy, str):
        return strategy
    name = strategy.lower()
    if name not in ("auto", SingleDeviceStrategy.strategy_name):
        return StrategyRegistry.get(name)
    count = 1 if devices == "auto" else devices
    if devices == "auto" and (others := accelerator.auto_device_count()) > 1:
        rank_zero_info(f"This machine has {others} devices of this kind; `devices='auto'` uses the first of them.")
    found = accelerator.get_parallel_devices(accelerator.parse_devices(count))
    if len(found) > 1:
        raise MisconfigurationException(
            f"`Trainer(devices={devices!r})` asks for {len(found)} devices, which is not available. {LATER}"
        )
    return SingleDeviceStrategy(found[0])


def _choose_precision(name: str | None, device_type: str) -> Precision:
    name = name or "32-true"
    if name == "16-mixed" and device_type == "cpu":
        rank_zero_warn(
            "You passed `Trainer(accelerator='cpu', precision='16-mixed')` but AMP with fp16 is not supported on CPU."
            " Using `precision='bf16-mixed'` instead."
        )
        name = "bf16-mixed"
    if name.endswith("-mixed"):
        rank_zero_info(f"Using {'16bit' if name == '16-mixed' else 'bfloat16'} Automatic Mixed Precision (AMP)")
    return make_precision(name, device_type)


def _tell_of_gpus(accelerator: Accelerator) -> None:
    found = next((kind for kind in (CUDAAccelerator, MPSAccelerator) if kind.is_available()), None)
    used = isinstance(accelerator, (CUDAAccelerator, MPSAccelerator))
    there = f"True ({found.name()})" if found else "False"
    rank_zero_info(f"GPU available: {there}, used: {used}")
    if found is not None and not isinstance(accelerator, found):
        rank_zero_warn(
            "GPU available but not used. You can set it by doing `Trainer(accelerator='gpu')`.",
            category=PossibleUserWarning,
        )


def set_torch_flags(deterministic: bool | str | None = None, benchmark: bool | None = None) -> None:
    """Choose deterministic algorithms, and whether cuDNN looks for the fastest ones; ``None`` leaves both alone.

    These settings are torch's own and hold for the process.
    """
    if deterministic and benchmark:
        rank_zero_warn(
            "You passed `deterministic=True` and `benchmark=True`. Note that PyTorch ignores"
            " torch.backends.cudnn.deterministic=True when torch.backends.cudnn.benchmark=True."
        )
    if deterministic and benchmark is None:
        benchmark = False
    if benchmark is not None:
        torch.backends.cudnn.benchmark = benchmark
    if deterministic == "warn":
        torch.use_deterministic_algorithms(True, warn_only=True)
    elif isinstance(deterministic, bool):
        torch.use_deterministic_algorithms(deterministic)
    if deterministic:
        # What makes CUDA's matrix products deterministic: https://docs.nvidia.com/cuda/cublas/#results-reproducibility
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
