"""``lightning.pytorch.core``."""

from torchlift.compat.names.reasons import PRIVATE

HERE = {
    "lightning.pytorch.core.saving": {
        "torchlift.utilities.hparams_file": "load_hparams_from_yaml save_hparams_to_yaml",
    },
    "lightning.pytorch.core.optimizer": {
        "torchlift.optim": "_configure_optimizers=parse _configure_schedulers_automatic_opt=automatic_configs"
        " _configure_schedulers_manual_opt=manual_configs _init_optimizers_and_lr_schedulers=configure"
        " _MockOptimizer=NoOptimizer"
    },
    "lightning.pytorch.core": {
        "torchlift.datamodule": "LightningDataModule",
        "torchlift.module": "LightningModule",
    },
    "lightning.pytorch.core.mixins": {"torchlift.hparams": "HyperparametersMixin"},
    "lightning.pytorch.core.hooks": {"torchlift.module_hooks": "CheckpointHooks=ModelHooks"},
}

NOT_HERE = {
    "lightning.pytorch.core.optimizer": {
        "torchlift.optim": "_configure_optimizers=parse _configure_schedulers_automatic_opt=automatic_configs"
        " _configure_schedulers_manual_opt=manual_configs _init_optimizers_and_lr_schedulers=configure"
        " _MockOptimizer=NoOptimizer"
    },
    "lightning.pytorch.core.datamodule": {PRIVATE: "_DataModuleFromDatasets"},
    "lightning.pytorch.core.module": {PRIVATE: "_TrainerFabricShim"},
    "lightning.pytorch.core.saving": {
        PRIVATE: "_load_from_checkpoint _load_state _default_map_location"
        " load_hparams_from_tags_csv save_hparams_to_tags_csv"
    },
}
