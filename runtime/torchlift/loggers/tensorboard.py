"""Event files that TensorBoard reads, written with ``torch.utils.tensorboard`` (or else with tensorboardX).

Reference: https://lightning.ai/docs/pytorch/stable/extensions/generated/lightning.pytorch.loggers.TensorBoardLogger.html
"""

from __future__ import annotations

import importlib.util
import os
from argparse import Namespace
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from torchlift.loggers._folder import FolderLogger
from torchlift.loggers.logger import rank_zero_experiment
from torchlift.utilities.cloud_io import exists
from torchlift.utilities.hparams_file import save_hparams_to_yaml
from torchlift.utilities.logger import add_prefix, convert_params, flatten_dict, sanitize_params
from torchlift.utilities.rank_zero import rank_zero_only, rank_zero_warn

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["TensorBoardLogger"]


class TensorBoardLogger(FolderLogger):
    """Writes event files and ``hparams.yaml`` into ``save_dir/name/version_N[/sub_dir]``.

    Args:
        save_dir: folder of all experiments, local or a URL; ``~`` and ``$NAME`` are expanded.
        name: folder of this one; None or empty for none.
        version: a number N, a text that names the folder itself, or None for the first number that is free.
        log_graph: also record the graph, traced with the module's ``example_input_array``.
        default_hp_metric: record a metric ``hp_metric`` of -1 with hyperparameters that come without a metric; the
            HParams page shows none without one.
        prefix: stands before each metric's name, with a dash.
        sub_dir: folder within the version, for the event files.
        **kwargs: of ``torch.utils.tensorboard.SummaryWriter`` (``max_queue``, ``flush_secs``, ...).

    Raises:
        ModuleNotFoundError: neither tensorboard nor tensorboardX is installed.
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
        if not writer_package():
            raise ModuleNotFoundError(
                "Neither `tensorboard` nor `tensorboardX` is available, and TensorBoardLogger writes with one of them:"
                " pip install tensorboard, or use CSVLogger, which needs nothing."
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
            self._experiment = _writers().SummaryWriter(log_dir=self.log_dir, **self._kwargs)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record scalars; a dictionary becomes one chart with a line for each key.

        Raises:
            ValueError: a value is no number.
        """
        for name, value in add_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items():
            if isinstance(value, dict):
                self.experiment.add_scalars(name, value, step)
                continue
            try:
                self.experiment.add_scalar(name, value.item() if isinstance(value, Tensor) else value, step)
            except Exception as error:
                raise ValueError(
                    f"In the metric {name!r} you tried to log {value!r} which is currently not supported."
                    " Try a dict or a scalar/tensor."
                ) from error

    @rank_zero_only
    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: Any = None,
        step: int | None = None,
    ) -> None:
        """Record hyperparameters and, for the HParams page, the metrics (or the one metric) they led to."""
        plain = convert_params(params)
        self.hparams.update(plain)
        if metrics is None:
            metrics = {"hp_metric": -1} if self._default_hp_metric else {}
        elif not isinstance(metrics, dict):
            metrics = {"hp_metric": metrics}
        if metrics:
            self.log_metrics(metrics, step)
            cells = {name: _cell(value) for name, value in sanitize_params(flatten_dict(plain)).items()}
            writer = self.experiment._get_file_writer()
            for summary in _writers().summary.hparams(cells, metrics):
                writer.add_summary(summary, step)

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        if not self._log_graph:
            return
        inputs = getattr(model, "example_input_array", None) if input_array is None else input_array
        if inputs is None:
            rank_zero_warn(
                "Could not log computational graph to TensorBoard: The `model.example_input_array` attribute is not set"
                " or `input_array` was not given."
            )
        elif not isinstance(inputs, Tensor | tuple):
            rank_zero_warn(
                "Could not log computational graph to TensorBoard: The `input_array` or `model.example_input_array` has"
                f" type {type(inputs)} which can't be traced by TensorBoard. Make it a tuple of the positional"
                " arguments of the model's `forward()`."
            )
        else:
            from torchlift.module import LightningModule

            if isinstance(model, LightningModule):
                inputs = model._transferred(inputs)
            self.experiment.add_graph(model, inputs)

    @rank_zero_only
    def save(self) -> None:
        self.experiment.flush()
        path = os.path.join(self.log_dir, self.NAME_HPARAMS_FILE)
        if not exists(path) and exists(self.log_dir):
            save_hparams_to_yaml(path, self.hparams)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is not None or status == "success":
            self.save()
            self.experiment.close()


def writer_package() -> str | None:
    """The installed package that writes event files, the one that torch itself knows first."""
    return next((name for name in ("tensorboard", "tensorboardX") if importlib.util.find_spec(name)), None)


def _writers() -> ModuleType:
    """The module with ``SummaryWriter`` and ``summary.hparams``."""
    if writer_package() == "tensorboard":
        import torch.utils.tensorboard as writers
    else:
        import tensorboardX as writers  # type: ignore[import-not-found,no-redef]
    return writers


def _cell(value: Any) -> Any:
    """The HParams page shows no tensor of more than one dimension."""
    return str(value) if isinstance(value, Tensor) and value.ndim > 1 else value
