"""Methods that look like hooks and are none: they would never be called, and nothing would say so."""

import difflib
import re
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from torchlift.hooks import is_overridden
from torchlift.utilities.rank_zero import warn_once

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

REMOVED = {
    "on_batch_start": "on_train_batch_start",
    "on_batch_end": "on_train_batch_end",
    "on_epoch_start": "on_train_epoch_start",
    "on_epoch_end": "on_train_epoch_end",
    "on_init_start": "setup",
    "on_init_end": "setup",
    "on_pretrain_routine_start": "on_fit_start",
    "on_pretrain_routine_end": "on_fit_start",
    "training_step_end": "training_step",
    "validation_step_end": "validation_step",
    "test_step_end": "test_step",
}
"""Hooks of Lightning 1, and where their code goes in Lightning 2."""

_HOOK = re.compile(r"on_\w+|configure_\w+|\w+_step|\w+_dataloader|prepare_data|setup|teardown|transfer_batch_to_device")
_ALIKE = 0.9  # one letter too many or too few in a name of a dozen; "on_train_end" and "on_test_end" are less alike


def warn_of_dead_hooks(trainer: "Trainer", module: "LightningModule") -> None:
    """Name the methods that one meant as hooks and misspelled, or that Lightning 2 calls no longer."""
    for holder in (module, trainer.datamodule, *trainer.callbacks):
        for name in _own_methods(holder):
            if name in REMOVED:
                warn_once(
                    f"`{type(holder).__name__}.{name}` is never called: Lightning 2 has no such hook. Put what it does"
                    f" into `{REMOVED[name]}`."
                )
            elif meant := _meant(name, holder):
                warn_once(
                    f"`{type(holder).__name__}.{name}` is never called: there is no hook of this name. Did you mean"
                    f" `{meant}`?"
                )


def _own_methods(holder: Any) -> Iterator[str]:
    """The public methods that the user's own classes add to those of torchlift's."""
    known = {name for cls in type(holder).__mro__ if _is_ours(cls) for name in vars(cls)}
    for cls in type(holder).__mro__:
        if _is_ours(cls) or cls.__module__.startswith("torch."):
            continue
        for name, value in vars(cls).items():
            if isinstance(value, FunctionType) and not name.startswith("_") and name not in known:
                yield name


def _meant(name: str, holder: Any) -> str | None:
    """The hook whose name this nearly is, unless that one is there as well: then this one may be a part of it."""
    bases = [cls for cls in type(holder).__mro__ if _is_ours(cls)]
    hooks = {hook for cls in bases for hook in vars(cls) if _HOOK.fullmatch(hook)}
    for hook in difflib.get_close_matches(name, hooks, n=1, cutoff=_ALIKE):
        base = next(cls for cls in bases if hook in vars(cls))
        if not is_overridden(hook, holder, base):
            return hook
    return None


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "torchlift"
