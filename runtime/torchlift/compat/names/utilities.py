"""``lightning.pytorch.utilities``: mostly at the same path."""

from torchlift.compat.names.reasons import DISTRIBUTED, LATER, PRIVATE

HERE = {
    "lightning.pytorch.utilities": {
        "torchlift.compat.small": "disable_possible_user_warnings is_shared_filesystem LightningEnum",
        "torchlift.utilities.throughput": "measure_flops",
    },
    "lightning.pytorch.utilities.memory": {"torchlift.compat.small": "get_model_size_mb"},
    "lightning.pytorch.utilities.signature_utils": {"torchlift.compat.small": "is_param_in_hook_signature"},
    "lightning.pytorch.utilities.imports": {},
    "lightning.pytorch.utilities.testing": {"torchlift.compat.skipping": "_runif_reasons=runif_reasons"},
    "lightning.pytorch.utilities.testing._runif": {"torchlift.compat.skipping": "_runif_reasons=runif_reasons"},
    "lightning.pytorch.utilities.warnings": {"torchlift.utilities.exceptions": "PossibleUserWarning"},
    "lightning.pytorch.utilities.model_helpers": {
        "torchlift.compat.small": "get_torchvision_model",
        "torchlift.utilities.classmethods": "_restricted_classmethod=only_on_the_class",
    },
    "lightning.pytorch.utilities.data": {"torchlift.utilities.rank_zero": "warning_cache=_said"},
    "lightning.pytorch.utilities.compile": {"torchlift.utilities.compile": "_maybe_unwrap_optimized=unwrapped"},
    "lightning.pytorch.utilities.combined_loader": {
        "torchlift.utilities.combined_loader": "_LITERAL_SUPPORTED_MODES=Mode _SUPPORTED_MODES=MODES"
        " _MaxSize=MaxSize _MaxSizeCycle=MaxSizeCycle _MinSize=MinSize _Sequential=Sequential"
    },
}

NOT_HERE = {
    "lightning.pytorch.utilities": {PRIVATE: "argparse_utils"},
    "lightning.pytorch.utilities._pytree": {PRIVATE: "_tree_flatten tree_unflatten"},
    "lightning.pytorch.utilities.argparse": {PRIVATE: "_gpus_arg_default"},
    "lightning.pytorch.utilities.consolidate_checkpoint": {PRIVATE: "_format_checkpoint"},
    "lightning.pytorch.utilities.data": {
        PRIVATE: "_get_dataloader_init_args_and_kwargs _is_dataloader_shuffled _update_dataloader",
    },
    "lightning.pytorch.utilities.deepspeed": {
        DISTRIBUTED: "convert_zero_checkpoint_to_fp32_state_dict ds_checkpoint_dir"
    },
    "lightning.pytorch.utilities.enums": {PRIVATE: "_FaultTolerantMode"},
    "lightning.pytorch.utilities.exceptions": {PRIVATE: "_augment_message"},
    "lightning.pytorch.utilities.model_helpers": {
        PRIVATE: "_ModuleMode",
    },
    "lightning.pytorch.utilities.model_summary": {DISTRIBUTED: "DeepSpeedSummary"},
    "lightning.pytorch.utilities.parsing": {
        PRIVATE: "_get_init_args",
        LATER: "collect_init_args get_init_args parse_class_init_keys save_hyperparameters",
    },
    "lightning.pytorch.utilities.model_registry": {LATER: "download_model_from_registry find_model_local_ckpt_path"},
    "lightning.pytorch.utilities.model_summary.model_summary_deepspeed": {
        DISTRIBUTED: "DeepSpeedLayerSummary DeepSpeedSummary deepspeed_param_size"
    },
    "lightning.pytorch.utilities.upgrade_checkpoint": {LATER: "main"},
}
