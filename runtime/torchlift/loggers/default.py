"""The logger of a Trainer that was given none."""

from __future__ import annotations

import importlib.util
import os

from torchlift.loggers.logger import Logger

__all__ = ["default_logger"]


def default_logger(save_dir: str) -> Logger:
    """What ``Trainer(logger=True)`` means: TensorBoard where it is installed, otherwise CSV.

    In a SLURM batch job the job's number is the version, so that a job that is requeued goes on in its own folder.
    """
    if importlib.util.find_spec("tensorboard"):
        from torchlift.loggers.tensorboard import TensorBoardLogger

        return TensorBoardLogger(save_dir, version=_slurm_job())
    from torchlift.loggers.csv_logs import CSVLogger

    return CSVLogger(save_dir)


def _slurm_job() -> int | None:
    job, name = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_JOB_NAME")
    return int(job) if job and job.isdigit() and name not in ("bash", "interactive") else None
