"""``lightning.pytorch.callbacks``: mostly at the same path."""

from torchlift.compat.names.reasons import LATER, PRIVATE

HERE: dict[str, dict[str, str]] = {}

NOT_HERE = {
    "lightning.pytorch.callbacks": {
        LATER: "BackboneFinetuning BaseFinetuning BatchSizeFinder EMAWeightAveraging LearningRateFinder ModelPruning"
        " SpikeDetection StochasticWeightAveraging ThroughputMonitor WeightAveraging"
    },
    "lightning.pytorch.callbacks.batch_size_finder": {LATER: "BatchSizeFinder"},
    "lightning.pytorch.callbacks.device_stats_monitor": {PRIVATE: "_prefix_metric_keys"},
    "lightning.pytorch.callbacks.finetuning": {LATER: "BackboneFinetuning BaseFinetuning multiplicative"},
    "lightning.pytorch.callbacks.lr_finder": {LATER: "LearningRateFinder"},
    "lightning.pytorch.callbacks.progress.rich_progress": {
        PRIVATE: "CustomBarColumn CustomInfiniteTask CustomProgress CustomTimeColumn BatchesProcessedColumn"
        " MetricsTextColumn ProcessingSpeedColumn"
    },
    "lightning.pytorch.callbacks.pruning": {LATER: "ModelPruning"},
    "lightning.pytorch.callbacks.spike": {LATER: "SpikeDetection"},
    "lightning.pytorch.callbacks.stochastic_weight_avg": {LATER: "StochasticWeightAveraging"},
    "lightning.pytorch.callbacks.throughput_monitor": {LATER: "ThroughputMonitor"},
    "lightning.pytorch.callbacks.weight_averaging": {LATER: "EMAWeightAveraging WeightAveraging"},
}
