"""Checkpoints written in the background, while training goes on."""

import contextlib
import copy
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from torchlift.checkpoint_io import CheckpointIO, TorchCheckpointIO


class AsyncCheckpointIO(CheckpointIO):
    """Copies a checkpoint to the CPU, and lets another thread write the copy.

    One checkpoint at most is being written: the next save waits for it, so that memory holds one copy and no more. What
    is removed is removed in its turn: the file that a new one replaces goes when the new one is on the disk, and stays
    when that could not be written. An error comes out at the next save, load, or at the end of the run.

    https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.plugins.io.AsyncCheckpointIO.html

    Args:
        checkpoint_io: what writes; files of ``torch.save`` by default.
    """

    def __init__(self, checkpoint_io: CheckpointIO | None = None) -> None:
        self.checkpoint_io = checkpoint_io or TorchCheckpointIO()
        self._executor: ThreadPoolExecutor | None = None
        self._under_way: list[Future[None]] = []
        self._error: BaseException | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write `checkpoint` as it is now; returns when its copy is made and the last one is written.

        Raises:
            Exception: what was under way could not be written.
        """
        self._finish()
        options = {} if storage_options is None else {"storage_options": storage_options}
        copied = staged(checkpoint)
        self._submit(lambda: self.checkpoint_io.save_checkpoint(copied, path, **options))

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        self._finish()
        return self.checkpoint_io.load_checkpoint(path, map_location=map_location, weights_only=weights_only)

    def remove_checkpoint(self, path: str | Path) -> None:
        if self._executor is None:
            self.checkpoint_io.remove_checkpoint(path)
        else:
            self._submit(lambda: self.checkpoint_io.remove_checkpoint(path))

    def teardown(self) -> None:
        """Wait for what is under way.

        Raises:
            Exception: it could not be written.
        """
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True)
        self._finish()
        self.checkpoint_io.teardown()

    def _submit(self, work: Callable[[], None]) -> None:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._under_way.append(self._executor.submit(self._unless_failed, work))

    def _unless_failed(self, work: Callable[[], None]) -> None:
        if self._error is not None:
            return  # what was to be replaced stays
        try:
            work()
        except BaseException as error:
            self._error = error

    def _finish(self) -> None:
        while self._under_way:  # removals too: an error that is taken out must not let them go on
            self._under_way.pop(0).result()
        if self._error is not None:
            error, self._error = self._error, None
            raise error


def staged(checkpoint: Any) -> Any:
    """A copy that later changes do not reach, on the CPU. Tensors that share memory share it in the copy."""
    copies: dict[tuple, Tensor] = {}

    def copied(value: Any) -> Any:
        if isinstance(value, Tensor):
            key = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
            if key not in copies or not value.numel():
                copies[key] = value.detach().to("cpu", copy=True)
            return copies[key]
        if type(value) in (list, tuple):
            return type(value)(map(copied, value))
        if isinstance(value, Mapping) and hasattr(value, "items"):
            pairs = [(key, copied(one)) for key, one in value.items()]
            if type(value) is dict:
                return dict(pairs)
            with contextlib.suppress(TypeError):
                return type(value)(pairs)  # type: ignore[call-arg]
        with contextlib.suppress(Exception):  # what cannot be copied is written as it is then
            return copy.deepcopy(value)
        return value

    return copied(checkpoint)
