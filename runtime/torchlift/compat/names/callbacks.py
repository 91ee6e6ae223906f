"""``lightning.pytorch.callbacks``: mostly at the same path."""

from torchlift.compat.names.reasons import PRIVATE

HERE: dict[str, dict[str, str]] = {}

NOT_HERE = {
    "lightning.pytorch.callbacks.device_stats_monitor": {PRIVATE: "_prefix_metric_keys"},
    "lightning.pytorch.callbacks.progress.rich_progress": {
        PRIVATE: "CustomBarColumn CustomInfiniteTask CustomProgress CustomTimeColumn BatchesProcessedColumn"
        " MetricsTextColumn ProcessingSpeedColumn"
    },
}
