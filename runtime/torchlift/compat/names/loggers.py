"""``lightning.pytorch.loggers``."""

from torchlift.compat.names.reasons import LOGGER, PRIVATE

HERE: dict[str, dict[str, str]] = {}

NOT_HERE = {
    "lightning.pytorch.loggers.comet": {LOGGER: "CometLogger"},
    "lightning.pytorch.loggers.litlogger": {LOGGER: "LitLogger"},
    "lightning.pytorch.loggers.mlflow": {LOGGER: "MLFlowLogger", PRIVATE: "_get_resolve_tags"},
    "lightning.pytorch.loggers.neptune": {LOGGER: "NeptuneLogger"},
    "lightning.pytorch.loggers.utilities": {PRIVATE: "_scan_checkpoints _version _log_hyperparams"},
    "lightning.pytorch.loggers.wandb": {LOGGER: "WandbLogger"},
}
