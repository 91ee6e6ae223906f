"""Save a checkpoint when a run ends in an exception.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.OnExceptionCheckpoint.html
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from torchlift.callbacks.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["OnExceptionCheckpoint"]


class OnExceptionCheckpoint(Checkpoint):
    """Writes ``dirpath/filename.ckpt`` when a run fails, Ctrl-C included, and removes it when a later run succeeds.

    ``fit`` goes on from it when it is called without a ``ckpt_path``.

    Args:
        dirpath: folder; not optional, because an exception can come before a run's own folder is known.
        filename: without extension.

    Raises:
        ValueError: ``filename`` is empty.
    """

    FILE_EXTENSION = ".ckpt"
    resumes_fit = True
    save_on_exception = True

    def __init__(self, dirpath: str | os.PathLike[str], filename: str = "on_exception") -> None:
        if not filename:
            raise ValueError("OnExceptionCheckpoint needs a filename: The filename cannot be empty")
        self.dirpath = dirpath
        self.filename = filename

    @property
    def ckpt_path(self) -> str:
        """Where the checkpoint lies."""
        return os.path.join(self.dirpath, self.filename + self.FILE_EXTENSION)

    def _find_last_checkpoints(self, trainer: Trainer) -> set[str]:
        return {self.ckpt_path}

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        trainer.save_checkpoint(self.ckpt_path)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        trainer.strategy.remove_checkpoint(self.ckpt_path)
