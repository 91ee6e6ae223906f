"""Event files that TensorBoard reads, written with ``torch.utils.tensorboard``.

Reference: https://lightning.ai/docs/pytorch/stable/extensions/generated/lightning.pytorch.loggers.TensorBoardLogger.html
"""

from __future__ import annotations

import importlib.util
import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from torchlift.loggers._folder import FolderLogger, write_hparams
from torchlift.loggers.logger import as_dict, rank_zero_experiment, with_prefix
from torchlift.utilities.cloud_io import exists, is_local
from torchlift.utilities.rank_zero import rank_zero_only, rank_zero_warn

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["TensorBoardLogger"]


class TensorBoardLogger(FolderLogger):
    """Writes event files and ``hparams.yaml`` into ``save_dir/name/version_N[/sub_dir]``.

    Args:
        save_dir: folder of all experiments.
        name: folder of this one; None or empty for none.
        version: a number N, a text that names the folder itself, or None for the first number that is free.
        log_graph: also record the graph, traced with the module's ``example_input_array``.
        default_hp_metric: record a metric ``hp_metric`` of -1 with hyperparameters that come without a metric; the
            HParams page shows none without one.
        prefix: stands before each metric's name, with a dash.
        sub_dir: folder within the version, for the event files.
        **kwargs: of ``torch.utils.tensorboard.SummaryWriter`` (``max_queue``, ``flush_secs``, ...).

    Raises:
        ModuleNotFoundError: tensorboard is not installed.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        log_graph: bool = False,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise ModuleNotFoundError(
                "TensorBoardLogger needs tensorboard: pip install tensorboard, or use CSVLogger, which needs nothing."
            )
        super().__init__(save_dir, name, version, prefix)
        self._log_graph = log_graph
        self._default_hp_metric = default_hp_metric
        self._sub_dir = None if sub_dir is None else os.fspath(sub_dir)
        self._kwargs = kwargs
        self.hparams: dict[str, Any] = {}

    @property
    def sub_dir(self) -> str | None:
        """Folder within the version."""
        return self._sub_dir

    @property
    def log_dir(self) -> str:
        folder = super().log_dir if self.sub_dir is None else os.path.join(super().log_dir, self.sub_dir)
        return os.path.expanduser(os.path.expandvars(folder))

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """The SummaryWriter, made when it is first asked for: ``logger.experiment.add_image(...)``."""
        if self._experiment is None:
            from torch.utils.tensorboard import SummaryWriter

            if is_local(self.root_dir):
                os.makedirs(self.root_dir, exist_ok=True)
            self._experiment = SummaryWriter(log_dir=self.log_dir, **self._kwargs)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record scalars; a dictionary becomes one chart with a line for each key.

        Raises:
            ValueError: a value is no number.
        """
        for name, value in with_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items():
            if isinstance(value, dict):
                self.experiment.add_scalars(name, value, step)
                continue
            try:
                self.experiment.add_scalar(name, value.item() if isinstance(value, Tensor) else value, step)
            except Exception as error:
                raise ValueError(
                    f"TensorBoardLogger cannot log {name!r}: {value!r} is neither a number, a tensor of one element, "
                    "nor a dictionary of these."
                ) from error

    @rank_zero_only
    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: Any = None,
        step: int | None = None,
    ) -> None:
        """Record hyperparameters and, for the HParams page, the metrics (or the one metric) they led to."""
        from torch.utils.tensorboard.summary import hparams

        plain = as_dict(params)
        self.hparams.update(plain)
        if metrics is None:
            metrics = {"hp_metric": -1} if self._default_hp_metric else {}
        elif not isinstance(metrics, dict):
            metrics = {"hp_metric": metrics}
        if metrics:
            self.log_metrics(metrics, step)
            writer = self.experiment._get_file_writer()
            for summary in hparams({name: _cell(value) for name, value in _flat(plain).items()}, metrics):
                writer.add_summary(summary, step)

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        if not self._log_graph:
            return
        inputs = getattr(model, "example_input_array", None) if input_array is None else input_array
        if not isinstance(inputs, Tensor | tuple):
            rank_zero_warn(
                "The graph was not logged: set self.example_input_array in the module to a tensor, or to a tuple of "
                f"forward's positional arguments (it is {type(inputs).__name__})."
            )
            return
        from torchlift.utilities.apply import move_data_to_device

        device = next((parameter.device for parameter in model.parameters()), None)
        self.experiment.add_graph(model, inputs if device is None else move_data_to_device(inputs, device))

    @rank_zero_only
    def save(self) -> None:
        self.experiment.flush()
        if not exists(os.path.join(self.log_dir, self.NAME_HPARAMS_FILE)):
            write_hparams(self.log_dir, self.hparams)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is not None or status == "success":
            self.save()
            self.experiment.close()


def _flat(params: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested hyperparameters under names such as ``"model/width"``."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        key = f"{path}/{name}" if path else str(name)
        if is_dataclass(value) and not isinstance(value, type):
            value = asdict(value)
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            value = dict(enumerate(value))
        flat |= _flat(as_dict(value), key) if isinstance(value, Mapping | Namespace) else {key: value}
    return flat


def _cell(value: Any) -> Any:
    """What the HParams page can show: a number, text, or a tensor of at most one dimension."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    if isinstance(value, Tensor) and value.ndim == 1:
        return value
    return value if type(value) in (bool, int, float, str) else str(value)
