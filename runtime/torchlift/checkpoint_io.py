"""Checkpoint files: written so that a kill at any moment leaves the old file or the new one, and read with care."""

import contextlib
import io
import os
import pickle
import re
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, Any

import torch

from torchlift.utilities.atomic import whole_file
from torchlift.utilities.cloud_io import get_filesystem, is_local


def save(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Write `checkpoint` at `path`, whole or not at all, and on the disk when this returns.

    Missing folders are made. How it is written: see ``whole_file``.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    if not is_local(path):
        return _save_to_url(checkpoint, str(path))
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as file:
        torch.save(checkpoint, file)


def _save_to_url(checkpoint: dict[str, Any], url: str) -> None:
    """An object store takes an object whole or not at all."""
    content = io.BytesIO()
    torch.save(checkpoint, content)
    files = get_filesystem(url)
    files.makedirs(url.rpartition("/")[0], exist_ok=True)
    files.pipe(url, content.getvalue())


def load(source: str | Path | IO[bytes], map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        source: a path or an open file.
        map_location: as in ``torch.load``.
        weights_only: ``None`` and ``True`` read tensors and plain containers only, so that a file from a stranger
            runs no code; ``False`` reads everything.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a whole checkpoint, or holds an object that only ``weights_only=False`` reads.
    """
    if isinstance(source, (str, Path)):
        if not (os.path.isfile(source) if is_local(source) else get_filesystem(source).isfile(str(source))):
            raise FileNotFoundError(f"Checkpoint file not found: {source}")
        if not is_local(source):
            with get_filesystem(source).open(str(source), "rb") as file:
                return load(file, map_location, weights_only)
    try:
        with _reads_old_classes() if weights_only is False else contextlib.nullcontext():
            return torch.load(source, map_location=map_location, weights_only=weights_only is not False)
    except pickle.UnpicklingError as error:
        if weights_only is not False and (found := re.search(r"GLOBAL (\S+) was not an allowed", str(error))):
            raise ValueError(
                f"The checkpoint {source} holds an object of `{found[1]}`, which is not read by default, because"
                " reading it can run code. If you trust the file, pass `weights_only=False`, or allow the class with"
                " `torch.serialization.add_safe_globals`."
            ) from error
        raise ValueError(f"The file {source} is not a whole checkpoint: {error}") from error
    except PermissionError:
        raise
    except (RuntimeError, EOFError, OSError, LookupError, UnicodeDecodeError) as error:
        # torch's reader says "Invalid argument" of a cut file, and takes text for the bytes of a pickle.
        raise ValueError(f"The file {source} is not a whole checkpoint: {error}") from error


def _reads_old_classes() -> contextlib.AbstractContextManager[None]:
    from torchlift.utilities.migration import pl_legacy_patch

    return pl_legacy_patch()


def remove(path: str | Path) -> None:
    """Delete a checkpoint: a file, or the folder that a sharded one is. One that is gone already is no error."""
    if not is_local(path):
        if (files := get_filesystem(path)).exists(str(path)):
            files.rm(str(path), recursive=True)
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


class CheckpointIO(ABC):
    """How checkpoints are written, read and deleted; an instance goes into ``Trainer(plugins=...)``.

    https://lightning.ai/docs/pytorch/stable/common/checkpointing_expert.html
    """

    @abstractmethod
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write `checkpoint` at `path`; `storage_options` are those of ``trainer.save_checkpoint``."""

    @abstractmethod
    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read what :meth:`save_checkpoint` wrote."""

    @abstractmethod
    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete what :meth:`save_checkpoint` wrote."""

    def teardown(self) -> None:  # noqa: B027 - most have nothing to finish
        """The run is over: what is under way has to be finished."""


class TorchCheckpointIO(CheckpointIO):
    """Files of ``torch.save``, written whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        if storage_options is not None:
            raise TypeError(
                "`Trainer.save_checkpoint(..., storage_options=...)` with `storage_options` arg is not supported for"
                f" `{type(self).__name__}`. Please implement your custom `CheckpointIO` to define how you'd like to"
                " use `storage_options`."
            )
        save(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load(path, map_location=map_location, weights_only=weights_only)

    def remove_checkpoint(self, path: str | Path) -> None:
        remove(path)
