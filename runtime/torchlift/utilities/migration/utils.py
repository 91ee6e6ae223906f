"""Bring a checkpoint to the present form, and read the classes that old ones hold."""

import contextlib
import importlib
import logging
import pickle
from collections.abc import Iterator
from typing import Any

from torchlift.checkpoint_errors import LIGHTNING_VERSION, release, warn_if_newer
from torchlift.utilities.migration.migration import _migration_index

Checkpoint = dict[str, Any]
logger = logging.getLogger(__name__)


def migrate_checkpoint(
    checkpoint: Checkpoint, target_version: str | None = None
) -> tuple[Checkpoint, dict[str, list[str]]]:
    """Apply to `checkpoint`, in place, what has changed since the version that wrote it.

    Args:
        checkpoint: with its version under ``pytorch-lightning_version``.
        target_version: stop behind this one.

    Returns:
        The checkpoint, and by version the names of the changes.
    """
    version = _get_version(checkpoint)
    if warn_if_newer(version):
        return checkpoint, {}
    applied = {}
    for changed, functions in _migration_index().items():
        if release(version) >= release(changed):
            continue
        if target_version is not None and release(changed) > release(target_version):
            continue
        for function in functions:
            checkpoint = function(checkpoint)
        applied[changed] = [function.__name__ for function in functions]
    if version != LIGHTNING_VERSION:
        _set_legacy_version(checkpoint, version)
    _set_version(checkpoint, LIGHTNING_VERSION)
    return checkpoint, applied


def _pl_migrate_checkpoint(checkpoint: Checkpoint, checkpoint_path: Any = None) -> Checkpoint:
    """:func:`migrate_checkpoint`, which says so where it changed something."""
    before = _get_version(checkpoint)
    checkpoint, applied = migrate_checkpoint(checkpoint)
    if applied and checkpoint_path is not None:
        logger.info(
            f"Lightning automatically upgraded your loaded checkpoint from v{before} to v{_get_version(checkpoint)}."
            f" The file {checkpoint_path} is as it was; a checkpoint that is saved from here on has the new form."
        )
    return checkpoint


def _get_version(checkpoint: Checkpoint) -> str:
    version: str = checkpoint["pytorch-lightning_version"]
    return version


def _set_version(checkpoint: Checkpoint, version: str) -> None:
    checkpoint["pytorch-lightning_version"] = version


def _set_legacy_version(checkpoint: Checkpoint, version: str) -> None:
    """The version that wrote the file, through all migrations."""
    checkpoint.setdefault("legacy_pytorch-lightning_version", version)


class _RedirectingUnpickler(pickle._Unpickler):
    """Finds Lightning's classes, which old checkpoints hold, in this package."""

    def find_class(self, module: str, name: str) -> Any:
        for theirs in ("pytorch_lightning", "lightning.pytorch"):
            if module == theirs or module.startswith(f"{theirs}."):
                with contextlib.suppress(ImportError, AttributeError):
                    return getattr(importlib.import_module("torchlift" + module.removeprefix(theirs)), name)
        return super().find_class(module, name)


@contextlib.contextmanager
def pl_legacy_patch() -> Iterator[None]:
    """Within it ``torch.load(weights_only=False)`` reads checkpoints that hold classes of old versions."""
    before = pickle.Unpickler
    pickle.Unpickler = _RedirectingUnpickler  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        pickle.Unpickler = before  # type: ignore[misc]
