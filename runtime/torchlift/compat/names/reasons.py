"""Why a name of Lightning's can be imported from ``torchlift.compat`` but not used."""

PRIVATE = "this is an inner part of Lightning that torchlift has no counterpart of."
LATER = "torchlift does not have this yet."
DISTRIBUTED = (
    "torchlift does not train on more than one device yet. On one, leave `strategy` out or use `strategy='auto'`."
)
FABRIC = (
    "torchlift has no Fabric. A loop of your own runs in plain PyTorch, or in a `LightningModule` with a `Trainer`."
)
CLI = "torchlift has no LightningCLI yet. Build the model, the data module and the `Trainer` in the script."
LOGGER = (
    "torchlift does not have this logger yet. `CSVLogger` and `TensorBoardLogger` are there, or derive from `Logger`."
)
QUANTIZED = (
    "torchlift does not have this precision. Use '32-true', '64-true', '16-mixed', 'bf16-mixed' or a '-true' half."
)
TPU = "torchlift does not run on TPUs."
APPS = "the apps of Lightning are no part of training, and torchlift does not have them."
