"""The rim of checkpointing: where the files lie, what they are called, and how they are written, linked and removed."""

from __future__ import annotations

import os
import shutil
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from torchlift.callbacks._checkpoint_name import first_free, format_name
from torchlift.callbacks.checkpoint import Checkpoint
from torchlift.utilities.cloud_io import entries, exists, get_filesystem, is_local

if TYPE_CHECKING:
    from torchlift.trainer import Trainer


class CheckpointFiles(Checkpoint):
    """A folder of checkpoints with templated names. When to save and what to keep is decided by the subclass.

    In a run of several processes rank 0 alone looks at the disk, and all ranks learn what it saw; they save together.
    """

    CHECKPOINT_JOIN_CHAR = "-"
    CHECKPOINT_EQUALS_CHAR = "="
    CHECKPOINT_NAME_LAST = "last"
    FILE_EXTENSION = ".ckpt"
    STARTING_VERSION = 1

    best_k_models: dict[str, Tensor]
    last_model_path: str
    save_last: bool | Literal["link"] | None

    def __init__(
        self,
        dirpath: str | os.PathLike[str] | None,
        filename: str | None,
        auto_insert_metric_name: bool,
        enable_version_counter: bool,
        save_weights_only: bool,
    ) -> None:
        path = os.fspath(dirpath) if dirpath else None
        local = path is not None and is_local(path)
        self.dirpath = os.path.realpath(os.path.expanduser(path)) if path and local else path
        self.filename = filename
        self.auto_insert_metric_name = auto_insert_metric_name
        self.save_weights_only = save_weights_only
        self._enable_version_counter = enable_version_counter
        self._last_checkpoint_saved = ""
        self._last_global_step_saved = 0  # nothing to save before the first step
        self._replaced: list[tuple[str, str]] = []  # files to remove, each with its successor

    def format_checkpoint_name(
        self, metrics: dict[str, Any], filename: str | None = None, ver: int | None = None, prefix: str | None = None
    ) -> str:
        """The path of a checkpoint taken at these metrics (``epoch`` and ``step`` among them), version ``ver``.

        >>> ModelCheckpoint(filename="{epoch:02d}-{loss:.2f}").format_checkpoint_name({"epoch": 3, "loss": 0.125})
        'epoch=03-loss=0.12.ckpt'
        """
        name = self._format_checkpoint_name(filename or self.filename, metrics, prefix, self.auto_insert_metric_name)
        version = "" if ver is None else f"{self.CHECKPOINT_JOIN_CHAR}v{ver}"
        name += version + self.FILE_EXTENSION
        return os.path.join(self.dirpath, name) if self.dirpath else name

    def _format_checkpoint_name(
        self,
        filename: str | None,
        metrics: dict[str, Any],
        prefix: str | None = None,
        auto_insert_metric_name: bool = True,
    ) -> str:
        join = self.CHECKPOINT_JOIN_CHAR
        name = format_name(filename or "", metrics, auto_insert_metric_name, join, self.CHECKPOINT_EQUALS_CHAR)
        return name if prefix is None else f"{prefix}{join}{name}"

    def file_exists(self, filepath: str, trainer: Trainer) -> bool:
        """Whether rank 0 sees a file at ``filepath``; the same answer on every rank."""
        seen = trainer.is_global_zero and exists(filepath)
        return trainer.strategy.reduce_boolean_decision(seen, all=False)

    def to_yaml(self, filepath: str | os.PathLike[str] | None = None) -> None:
        """Write ``best_k_models`` as YAML to ``filepath``, by default ``best_k_models.yaml`` among the checkpoints."""
        from torchlift.utilities.yaml import dump

        path = filepath or os.path.join(self.dirpath or "", "best_k_models.yaml")
        text = dump({name: score.item() for name, score in self.best_k_models.items()})
        if is_local(path):
            Path(path).write_text(text, encoding="utf-8")
        else:
            get_filesystem(path).write_text(os.fspath(path), text)

    def _free_path(self, trainer: Trainer, metrics: dict[str, Tensor], keep: str, filename: str | None = None) -> str:
        """The path to save to: a new version where the name is taken, unless by ``keep``, which may be overwritten."""
        if not self._enable_version_counter:
            return self.format_checkpoint_name(metrics, filename)
        return first_free(
            name=lambda version: self.format_checkpoint_name(metrics, filename, version),
            taken=lambda path: path != keep and self.file_exists(path, trainer),
            start=self.STARTING_VERSION,
        )

    def _resolve_dirpath(self, trainer: Trainer) -> str:
        if self.dirpath is not None:
            return self.dirpath
        if not trainer.loggers:
            return os.path.join(trainer.default_root_dir, "checkpoints")
        logger = trainer.loggers[0]
        root = logger.save_dir if logger.save_dir is not None else trainer.default_root_dir
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        return os.path.join(root, str(logger.name), version, "checkpoints")

    def _find_last_checkpoints(self, trainer: Trainer) -> set[str]:
        """The paths of every ``last`` checkpoint, whatever its version, in the folder of this run."""
        folder = self._resolve_dirpath(trainer)
        found = (name for name in entries(folder) if name.startswith(self.CHECKPOINT_NAME_LAST))
        return {os.path.join(folder, name) for name in found if name.endswith(self.FILE_EXTENSION)}

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        trainer.save_checkpoint(filepath, self.save_weights_only)
        self._last_global_step_saved = trainer.global_step
        self._last_checkpoint_saved = filepath
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(weakref.proxy(self))

    @staticmethod
    def _link_checkpoint(trainer: Trainer, filepath: str, linkpath: str) -> None:
        """Make ``linkpath`` lead to ``filepath``; it never leads nowhere in between."""
        if trainer.is_global_zero and os.path.abspath(filepath) != os.path.abspath(linkpath):
            if os.path.isdir(linkpath) and not os.path.islink(linkpath):
                shutil.rmtree(linkpath)  # a sharded checkpoint, which a link cannot replace in one move
            new = f"{linkpath}.new"
            Path(new).unlink(missing_ok=True)
            try:
                os.symlink(os.path.relpath(filepath, os.path.dirname(linkpath)), new)
            except OSError:  # a file system or a Windows account without links
                shutil.copy(filepath, new)
            os.replace(new, linkpath)
        trainer.strategy.barrier()

    def _move_link(self, trainer: Trainer, linkpath: str, previous: str, current: str) -> None:
        """If ``linkpath`` leads to ``previous``, which is about to go, let it lead to ``current``."""
        if trainer.strategy.broadcast(os.path.islink(linkpath) and os.path.realpath(linkpath) == previous):
            self._link_checkpoint(trainer, current, linkpath)

    def _resumed_last(self, trainer: Trainer) -> str:
        """The ``last`` checkpoint that this run goes on from, which is ours to replace; empty if it was another file.

        The run's first checkpoint does not know yet that a link called ``last`` is about to lead to it.
        """
        resumed = str(trainer.ckpt_path or "")
        return resumed if resumed in self._find_last_checkpoints(trainer) else ""

    def _remove_replaced(self, trainer: Trainer) -> None:
        """Remove the files that have a successor, once no ``last`` checkpoint names them any more."""
        while self._replaced:
            previous, current = self._replaced[0]
            if self.save_last == "link" and self.last_model_path:
                self._move_link(trainer, self.last_model_path, previous, current)
            if self._should_remove_checkpoint(trainer, previous, current):
                self._remove_checkpoint(trainer, previous)
            del self._replaced[0]

    def _should_remove_checkpoint(self, trainer: Trainer, previous: str, current: str) -> bool:
        """Whether `previous`, which `current` replaces, goes; files of others and the one resumed from stay."""
        if previous == current:
            return False
        if not is_local(previous):
            return True
        path = Path(previous).absolute()
        resumed = trainer.ckpt_path is not None and path == Path(trainer.ckpt_path).absolute()
        return not resumed and Path(self.dirpath or "").absolute() in path.parents

    def _remove_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        trainer.strategy.remove_checkpoint(filepath)
