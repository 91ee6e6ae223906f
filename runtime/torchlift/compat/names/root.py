"""``lightning``, ``lightning.pytorch``, its demos and its serving."""

from torchlift.compat.names.reasons import APPS, FABRIC

_MAIN = {
    "torchlift.callback": "Callback",
    "torchlift.compat.paths": "__version__=LIGHTNING_VERSION",
    "torchlift.datamodule": "LightningDataModule",
    "torchlift.module": "LightningModule",
    "torchlift.trainer": "Trainer",
    "torchlift.utilities.seed": "seed_everything",
}

HERE = {
    "lightning": _MAIN,
    "lightning.pytorch": {**_MAIN, "torchlift.compat.small": "cli_lightning_logo"},
}

NOT_HERE = {
    "lightning": {FABRIC: "Fabric", APPS: "LightningApp LightningFlow LightningWork"},
}
