"""Norms of gradients."""

import torch
from torch import nn


def grad_norm(module: nn.Module, norm_type: float | int | str, group_separator: str = "/") -> dict[str, torch.Tensor]:
    """Return the norm of each parameter's gradient and the norm of all of them.

    Args:
        module: its parameters that have a gradient count.
        norm_type: the p of the p-norm, ``"inf"`` included; positive.
        group_separator: stands between the first part of the keys and the parameter's name.

    Raises:
        ValueError: `norm_type` is not positive.
    """
    order = float(norm_type)
    if order <= 0:
        raise ValueError(f"`norm_type` must be a positive number or 'inf' (infinity norm). Got {norm_type}")
    norms = {
        f"grad_{order}_norm{group_separator}{name}": parameter.grad.data.norm(order)
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    if norms:
        norms[f"grad_{order}_norm_total"] = torch.tensor(list(norms.values())).norm(order)
    return norms
