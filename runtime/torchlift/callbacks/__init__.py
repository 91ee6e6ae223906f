"""Callbacks, one file each; a name is imported when it is first used."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__; a test compares it with the files
    from torchlift.callbacks.batch_size_finder import BatchSizeFinder as BatchSizeFinder
    from torchlift.callbacks.callback import Callback as Callback
    from torchlift.callbacks.checkpoint import Checkpoint as Checkpoint
    from torchlift.callbacks.device_stats_monitor import DeviceStatsMonitor as DeviceStatsMonitor
    from torchlift.callbacks.early_stopping import EarlyStopping as EarlyStopping
    from torchlift.callbacks.early_stopping import EarlyStoppingReason as EarlyStoppingReason
    from torchlift.callbacks.finetuning import BackboneFinetuning as BackboneFinetuning
    from torchlift.callbacks.finetuning import BaseFinetuning as BaseFinetuning
    from torchlift.callbacks.gradient_accumulation_scheduler import (
        GradientAccumulationScheduler as GradientAccumulationScheduler,
    )
    from torchlift.callbacks.lambda_function import LambdaCallback as LambdaCallback
    from torchlift.callbacks.lr_finder import LearningRateFinder as LearningRateFinder
    from torchlift.callbacks.lr_monitor import LearningRateMonitor as LearningRateMonitor
    from torchlift.callbacks.model_checkpoint import ModelCheckpoint as ModelCheckpoint
    from torchlift.callbacks.model_summary import ModelSummary as ModelSummary
    from torchlift.callbacks.on_exception_checkpoint import OnExceptionCheckpoint as OnExceptionCheckpoint
    from torchlift.callbacks.prediction_writer import BasePredictionWriter as BasePredictionWriter
    from torchlift.callbacks.prediction_writer import WriteInterval as WriteInterval
    from torchlift.callbacks.progress.progress_bar import ProgressBar as ProgressBar
    from torchlift.callbacks.progress.progress_bar import get_standard_metrics as get_standard_metrics
    from torchlift.callbacks.progress.rich_progress import RichProgressBar as RichProgressBar
    from torchlift.callbacks.progress.rich_progress import RichProgressBarTheme as RichProgressBarTheme
    from torchlift.callbacks.progress.tqdm_progress import Tqdm as Tqdm
    from torchlift.callbacks.progress.tqdm_progress import TQDMProgressBar as TQDMProgressBar
    from torchlift.callbacks.pruning import ModelPruning as ModelPruning
    from torchlift.callbacks.rich_model_summary import RichModelSummary as RichModelSummary
    from torchlift.callbacks.spike import SpikeDetection as SpikeDetection
    from torchlift.callbacks.stochastic_weight_avg import StochasticWeightAveraging as StochasticWeightAveraging
    from torchlift.callbacks.throughput_monitor import ThroughputMonitor as ThroughputMonitor
    from torchlift.callbacks.timer import Timer as Timer
    from torchlift.callbacks.weight_averaging import EMAWeightAveraging as EMAWeightAveraging
    from torchlift.callbacks.weight_averaging import WeightAveraging as WeightAveraging

__getattr__, __dir__ = lazy_exports(__name__)
