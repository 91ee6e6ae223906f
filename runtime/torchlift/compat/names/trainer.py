"""``lightning.pytorch.trainer``, ``.tuner``, ``.profilers`` and ``.cli``."""

from torchlift.compat.names.reasons import CLI, PRIVATE, TPU

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
    "lightning.pytorch.trainer.connectors.accelerator_connector": {
        "torchlift.compat.connectors": "_AcceleratorConnector=AcceleratorConnector",
        "torchlift.placement": "_set_torch_flags=set_torch_flags",
    },
    "lightning.pytorch.trainer.connectors.callback_connector": {
        "torchlift.compat.connectors": "_CallbackConnector=CallbackConnector",
        "torchlift.defaults": "_validate_callbacks_list=check_state_keys",
    },
    "lightning.pytorch.tuner.lr_finder": {"torchlift.tuner.lr_finder": "_LRFinder=LRFinder _lr_find=lr_find"},
    "lightning.pytorch.tuner.batch_size_scaling": {
        "torchlift.tuner.batch_size_scaling": "_scale_batch_size=scale_batch_size"
    },
    "lightning.pytorch.profilers.pytorch": {
        "torchlift.profilers.pytorch": "ScheduleWrapper=StepSchedule",
        "torchlift.utilities.rank_zero": "warning_cache=_said",
    },
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
    "lightning.pytorch.trainer.setup": {PRIVATE: "_init_profiler _log_device_info"},
    "lightning.pytorch.tuner.lr_finder": {PRIVATE: "_LinearLR _ExponentialLR"},
    "lightning.pytorch.profilers": {TPU: "XLAProfiler"},
    "lightning.pytorch.profilers.xla": {TPU: "XLAProfiler"},
}
