"""``lightning.pytorch.loggers``."""

from torchlift.compat.names.reasons import LOGGER, PRIVATE

HERE = {
    "lightning.fabric.loggers.csv_logs": {"torchlift.loggers.csv_logs": "_ExperimentWriter=ExperimentWriter"},
    "lightning.pytorch.loggers.csv_logs": {"torchlift.loggers.csv_logs": "_ExperimentWriter=ExperimentWriter"},
    "lightning.pytorch.loggers.utilities": {
        "torchlift.defaults": "_log_hyperparams=log_hyperparameters",
        "torchlift.loggers._third_party": "_scan_checkpoints=scan_checkpoints _version=joined_version",
    },
}

NOT_HERE = {
    "lightning.pytorch.loggers.comet": {LOGGER: "CometLogger"},
    "lightning.pytorch.loggers.litlogger": {LOGGER: "LitLogger"},
    "lightning.pytorch.loggers.mlflow": {LOGGER: "MLFlowLogger", PRIVATE: "_get_resolve_tags"},
    "lightning.pytorch.loggers.neptune": {LOGGER: "NeptuneLogger"},
    "lightning.pytorch.loggers.wandb": {LOGGER: "WandbLogger"},
}
