"""``lightning.pytorch.loops`` and ``.overrides``: Lightning's own insides, where torchlift is made otherwise."""

from torchlift.compat.names.reasons import DISTRIBUTED, PRIVATE

HERE: dict[str, dict[str, str]] = {}

NOT_HERE = {
    "lightning.pytorch.loops": {
        PRIVATE: "_EvaluationLoop _FitLoop _Loop _PredictionLoop _TrainingEpochLoop _AutomaticOptimization"
        " _ManualOptimization"
    },
    "lightning.pytorch.loops.evaluation_loop": {PRIVATE: "_EvaluationLoop"},
    "lightning.pytorch.loops.fetchers": {
        PRIVATE: "_DataFetcher _DataLoaderIterDataFetcher _PrefetchDataFetcher _DataFetcherWrapper"
    },
    "lightning.pytorch.loops.fit_loop": {PRIVATE: "_FitLoop"},
    "lightning.pytorch.loops.loop": {PRIVATE: "_Loop"},
    "lightning.pytorch.loops.optimization": {PRIVATE: "_AutomaticOptimization _ManualOptimization"},
    "lightning.pytorch.loops.optimization.automatic": {PRIVATE: "Closure ClosureResult _AutomaticOptimization"},
    "lightning.pytorch.loops.optimization.closure": {PRIVATE: "AbstractClosure OutputResult"},
    "lightning.pytorch.loops.optimization.manual": {PRIVATE: "ManualResult _ManualOptimization"},
    "lightning.pytorch.loops.prediction_loop": {PRIVATE: "_PredictionLoop"},
    "lightning.pytorch.loops.progress": {
        PRIVATE: "_BaseProgress _BatchProgress _OptimizerProgress _ProcessedTracker _Progress _ReadyCompletedTracker"
        " _SchedulerProgress _StartedTracker"
    },
    "lightning.pytorch.loops.training_epoch_loop": {PRIVATE: "_TrainingEpochLoop"},
    "lightning.pytorch.loops.utilities": {PRIVATE: "_no_grad_context _is_max_limit_reached _select_data_fetcher"},
    "lightning.pytorch.overrides.distributed": {
        DISTRIBUTED: "UnrepeatedDistributedSampler UnrepeatedDistributedSamplerWrapper _IndexBatchSamplerWrapper"
    },
}
