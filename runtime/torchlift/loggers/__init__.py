"""Loggers, one file each; a name is imported when it is first used."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__; a test compares it with the files
    from torchlift.loggers.csv_logs import CSVLogger as CSVLogger
    from torchlift.loggers.csv_logs import ExperimentWriter as ExperimentWriter
    from torchlift.loggers.default import default_logger as default_logger
    from torchlift.loggers.logger import DummyExperiment as DummyExperiment
    from torchlift.loggers.logger import DummyLogger as DummyLogger
    from torchlift.loggers.logger import Logger as Logger
    from torchlift.loggers.logger import rank_zero_experiment as rank_zero_experiment
    from torchlift.loggers.services import CometLogger as CometLogger
    from torchlift.loggers.services import LitLogger as LitLogger
    from torchlift.loggers.services import MLFlowLogger as MLFlowLogger
    from torchlift.loggers.services import NeptuneLogger as NeptuneLogger
    from torchlift.loggers.services import WandbLogger as WandbLogger
    from torchlift.loggers.tensorboard import TensorBoardLogger as TensorBoardLogger

__getattr__, __dir__ = lazy_exports(__name__)
