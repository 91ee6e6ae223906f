"""Flags of Lightning's that say what the machine has, such as ``_IS_WINDOWS`` and ``_TORCH_GREATER_EQUAL_2_4``.

They are facts, so they are worked out from their names, in whichever of Lightning's modules they are asked for.
"""

import importlib.metadata
import importlib.util
import operator
import platform
import re
import sys

_COMPARED = re.compile(r"_(?P<package>[A-Z_]+?)_(?P<how>GREATER_EQUAL|EQUAL|LESS_EQUAL|LESS)_(?P<version>\d+(_\d+)*)")
_AVAILABLE = re.compile(r"_(?P<package>[A-Z_]+)_AVAILABLE")
_HOW = {"GREATER_EQUAL": operator.ge, "EQUAL": operator.eq, "LESS_EQUAL": operator.le, "LESS": operator.lt}
_MODULE = {
    "COMET": "comet_ml",
    "JSONARGPARSE_SIGNATURES": "jsonargparse",
    "MLFLOW_SYNCHRONOUS": "mlflow",
    "NUMPY": "numpy",
    "SKLEARN": "sklearn",
    "TENSORBOARDX": "tensorboardX",
    "TORCH_TRT": "torch_tensorrt",
    "XLA": "torch_xla",
}


def flag(name: str) -> bool:
    """The value of the flag `name`.

    Raises:
        KeyError: that is no such flag.
    """
    if name == "_IS_WINDOWS":
        return platform.system() == "Windows"
    if name == "_IS_INTERACTIVE":
        return hasattr(sys, "ps1") or bool(sys.flags.interactive)
    if name == "_KINETO_AVAILABLE":
        import torch

        return torch.profiler.kineto_available()
    if match := _COMPARED.fullmatch(name):
        return compare(match["package"], match["how"], match["version"].replace("_", "."))
    if match := _AVAILABLE.fullmatch(name):
        package = match["package"]
        return _is_installed(_MODULE.get(package, package.lower()))
    raise KeyError(name)


def _is_installed(module: str) -> bool:
    # What stands in `sys.modules` need not have been found by anyone: a stand-in of a test has no spec.
    return sys.modules.get(module) is not None or importlib.util.find_spec(module) is not None


def compare(package: str, how: str, wanted: str) -> bool:
    """Whether the release of `package` (``"PYTHON"``, ``"TORCH"``...) is `how` (``"LESS"``...) than `wanted`.

    Numbers count as far as both have them: 2.13.0 equals 2.13. A package that is not installed is nothing of all this.
    """
    if package == "PYTHON":
        version = ".".join(map(str, sys.version_info[:3]))
    else:
        try:
            version = importlib.metadata.version(package.lower())
        except importlib.metadata.PackageNotFoundError:
            return False
    here, asked = _release(version), _release(wanted)
    return _HOW[how](here[: len(asked)], asked[: len(here)])


def _release(version: str) -> list[int]:
    """``"2.13.0+cpu"`` is ``[2, 13, 0]``."""
    match = re.match(r"\d+(\.\d+)*", version)
    return [int(part) for part in match[0].split(".")] if match else []
