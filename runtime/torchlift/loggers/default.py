"""The logger of a Trainer that was given none."""

from __future__ import annotations

import os

from torchlift.loggers.logger import Logger
from torchlift.utilities.rank_zero import warn_once

__all__ = ["default_logger"]


def default_logger(save_dir: str) -> Logger:
    """What ``Trainer(logger=True)`` means: TensorBoard where it is installed, otherwise CSV.

    In a SLURM batch job the job's number is the version, so that a job that is requeued goes on in its own folder.
    """
    from torchlift.loggers.tensorboard import TensorBoardLogger, writer_package

    if writer_package():
        return TensorBoardLogger(save_dir, version=_slurm_job())
    from torchlift.loggers.csv_logs import CSVLogger

    warn_once(
        "`logger=True` will use `CSVLogger` as the default logger, because neither `tensorboard` nor `tensorboardX` is"
        " found. Please `pip install tensorboard` for TensorBoard's files, or say `Trainer(logger=CSVLogger(...))`."
    )
    return CSVLogger(save_dir)


def _slurm_job() -> int | None:
    job, name = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_JOB_NAME")
    return int(job) if job and job.isdigit() and name not in ("bash", "interactive") else None
