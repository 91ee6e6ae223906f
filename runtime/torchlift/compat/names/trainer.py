"""``lightning.pytorch.trainer``, ``.tuner``, ``.profilers`` and ``.cli``."""

from torchlift.compat.names.reasons import CLI, LATER, PRIVATE, TPU

HERE = {
    "lightning.pytorch.trainer.connectors.data_connector": {
        "torchlift.data": "_DataLoaderSource=Source",
        "torchlift.data_checks": "_check_dataloader_iterable=check_iterable _worker_check=check_workers",
        "torchlift.utilities.rank_zero": "warning_cache=_said",
    },
    "lightning.pytorch.trainer": {
        "torchlift.trainer": "Trainer",
        "torchlift.utilities.seed": "seed_everything",
    },
    "lightning.pytorch.trainer.connectors": {},
}

NOT_HERE = {
    "lightning.pytorch.cli": {
        CLI: "LightningCLI LightningArgumentParser SaveConfigCallback instantiate_class ArgsType OptimizerCallable"
        " LRSchedulerCallable LRSchedulerTypeTuple LRSchedulerTypeUnion ReduceLROnPlateau LRScheduler"
    },
    "lightning.pytorch.trainer.call": {
        PRIVATE: "_call_and_handle_interrupt _call_callback_hooks _call_lightning_module_hook"
    },
    "lightning.pytorch.trainer.configuration_validator": {
        PRIVATE: "_verify_loop_configurations __verify_eval_loop_configuration __verify_train_val_loop_configuration"
    },
    "lightning.pytorch.trainer.connectors.accelerator_connector": {PRIVATE: "_AcceleratorConnector _set_torch_flags"},
    "lightning.pytorch.trainer.connectors.callback_connector": {
        PRIVATE: "_CallbackConnector _validate_callbacks_list _configure_external_callbacks"
    },
    "lightning.pytorch.trainer.connectors.checkpoint_connector": {PRIVATE: "_CheckpointConnector"},
    "lightning.pytorch.trainer.connectors.data_connector": {
        PRIVATE: "_DataConnector _DataHookSelector _request_dataloader"
    },
    "lightning.pytorch.trainer.connectors.logger_connector": {PRIVATE: "_LoggerConnector"},
    "lightning.pytorch.trainer.connectors.logger_connector.fx_validator": {PRIVATE: "_FxValidator"},
    "lightning.pytorch.trainer.connectors.logger_connector.logger_connector": {PRIVATE: "_LoggerConnector"},
    "lightning.pytorch.trainer.connectors.logger_connector.result": {
        PRIVATE: "_Metadata _ResultCollection _ResultMetric _Sync warning_cache"
    },
    "lightning.pytorch.trainer.connectors.signal_connector": {PRIVATE: "_SignalConnector _HandlersCompose"},
    "lightning.pytorch.tuner": {LATER: "Tuner"},
    "lightning.pytorch.tuner.tuning": {LATER: "Tuner"},
    "lightning.pytorch.tuner.lr_finder": {LATER: "_LRFinder _LinearLR _ExponentialLR"},
    "lightning.pytorch.tuner.batch_size_scaling": {PRIVATE: "_scale_batch_size"},
    "lightning.pytorch.profilers": {
        LATER: "AdvancedProfiler PassThroughProfiler Profiler PyTorchProfiler SimpleProfiler",
        TPU: "XLAProfiler",
    },
    "lightning.pytorch.profilers.advanced": {LATER: "AdvancedProfiler"},
    "lightning.pytorch.profilers.base": {LATER: "PassThroughProfiler"},
    "lightning.pytorch.profilers.profiler": {LATER: "Profiler"},
    "lightning.pytorch.profilers.pytorch": {
        LATER: "PyTorchProfiler RegisterRecordFunction ScheduleWrapper warning_cache"
    },
    "lightning.pytorch.profilers.simple": {LATER: "SimpleProfiler"},
    "lightning.pytorch.profilers.xla": {TPU: "XLAProfiler"},
}
