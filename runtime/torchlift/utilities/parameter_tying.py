"""Parameters that one module has under several names."""

from typing import Any

from torch import nn

__all__ = ["find_shared_parameters", "set_shared_parameters"]


def find_shared_parameters(module: nn.Module) -> list[list[str]]:
    """The full names of each parameter that has more than one."""
    names: dict[nn.Parameter, list[str]] = {}
    for prefix, one in module.named_modules(remove_duplicate=False):
        for name, parameter in one._parameters.items():
            if parameter is not None:
                names.setdefault(parameter, []).append(f"{prefix}.{name}" if prefix else name)
    return [shared for shared in names.values() if len(shared) > 1]


def set_shared_parameters(module: nn.Module, shared_params: list[list[str]]) -> nn.Module:
    """Make the names of each group stand for one parameter again: the one that the first name has.

    Args:
        module: is changed.
        shared_params: what :func:`find_shared_parameters` gave, for instance before moving to another device.
    """
    for first, *others in shared_params:
        parameter = _get(module, first)
        for name in others:
            holder, _, attribute = name.rpartition(".")
            setattr(_get(module, holder), attribute, parameter)
    return module


def _get(module: nn.Module, path: str) -> Any:
    found: Any = module
    for name in path.split(".") if path else ():
        found = getattr(found, name)
    return found
