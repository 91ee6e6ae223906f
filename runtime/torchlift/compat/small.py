"""Small functions of Lightning's that nothing here needs, for code that imports them."""

import contextlib
import inspect
import os
import socket
import tempfile
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from torchlift.utilities.combined_loader import sized_len
from torchlift.utilities.data import has_iterable_dataset
from torchlift.utilities.enums import LowercaseEnum
from torchlift.utilities.exceptions import PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn
from torchlift.utilities.seed import seed_everything

PATH = str | Path


class LightningEnum(LowercaseEnum):
    """A string enumeration that can be made of a string in any case."""

    @classmethod
    def from_str(cls, value: str) -> "LightningEnum":
        for member in cls:
            if value.lower() in (member.name.lower(), member.value.lower()):
                return member
        raise ValueError(f"Invalid match: expected one of {[member.value for member in cls]}, but got {value}.")


def disable_possible_user_warnings(module: str = "") -> None:
    """Ignore warnings of the category ``PossibleUserWarning`` that come from `module`, or from anywhere."""
    warnings.filterwarnings("ignore", module=module, category=PossibleUserWarning)


def reset_seed() -> None:
    """Seed again with what ``seed_everything`` was given before, if it was called at all."""
    if seed := os.environ.get("PL_GLOBAL_SEED"):
        seed_everything(int(seed), workers=os.environ.get("PL_SEED_WORKERS") == "1", verbose=False)


def is_shared_filesystem(strategy: Any, path: PATH | None = None, timeout: int = 3) -> bool:
    """Whether all processes see the same files at `path`: one process always does."""
    return True


def has_len(loader: object) -> bool:
    """Whether `loader` has a length; warns where that length is 0, or may be wrong for an iterable dataset."""
    length = sized_len(loader)
    if length == 0:
        rank_zero_warn(f"`{type(loader).__name__}` returned 0 length. Please make sure this was your intention.")
    if length is not None and has_iterable_dataset(loader):
        rank_zero_warn(
            "Your `IterableDataset` has `__len__` defined. In combination with multi-process data loading (when"
            " num_workers > 1), `__len__` could be inaccurate if each worker is not configured independently to avoid"
            " having duplicate data."
        )
    return length is not None


def is_param_in_hook_signature(
    hook_fx: Callable[..., Any], param: str, explicit: bool = False, min_args: int | None = None
) -> bool:
    """Whether a method takes `param`: by name, in ``*args`` (unless `explicit`), or as one of `min_args` arguments."""
    found = inspect.getfullargspec(getattr(hook_fx, "__wrapped__", hook_fx))
    own = found.args[1:]
    return (
        param in own
        or (not explicit and found.varargs is not None)
        or (isinstance(min_args, int) and len(own) >= min_args)
    )


def get_model_size_mb(model: torch.nn.Module) -> float:
    """The size of the model's saved state, in megabytes of 10^6 bytes."""
    path = os.path.join(tempfile.gettempdir(), f"{uuid.uuid4().hex}.pt")
    try:
        torch.save(model.state_dict(), path)
        return os.path.getsize(path) / 1e6
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def find_free_network_port() -> int:
    """A port of this machine that nothing listens on just now."""
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


def distributed_is_initialized() -> bool:
    """Whether this process has joined a process group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def destroy_dist_connection() -> None:
    """Leave the process group, if there is one."""
    if distributed_is_initialized():
        torch.distributed.destroy_process_group()


def cli_lightning_logo() -> None:
    """Print a line where Lightning prints its picture."""
    print("\nLightning's names, torchlift's runtime\n")


def get_torchvision_model(model_name: str, **kwargs: Any) -> torch.nn.Module:
    """torchvision's model of that name.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
    """
    from torchvision import models  # type: ignore[import-not-found]

    return models.get_model(model_name, **kwargs)
