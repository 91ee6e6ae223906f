"""``lightning.pytorch.utilities``: mostly at the same path."""

from torchlift.compat.names.reasons import LATER, PRIVATE

HERE = {
    "lightning.pytorch.utilities.imports": {},
    "lightning.pytorch.utilities.testing": {"torchlift.compat.skipping": "_runif_reasons=runif_reasons"},
    "lightning.pytorch.utilities.warnings": {"torchlift.utilities.exceptions": "PossibleUserWarning"},
    "lightning.pytorch.utilities.model_helpers": {
        "torchlift.utilities.classmethods": "_restricted_classmethod=only_on_the_class"
    },
    "lightning.pytorch.utilities.parsing": {"torchlift.hparams": "AttributeDict"},
}

NOT_HERE = {
    "lightning.pytorch.utilities": {
        LATER: "argparse_utils disable_possible_user_warnings find_shared_parameters is_picklable is_shared_filesystem"
        " LightningEnum measure_flops rank_zero_deprecation set_shared_parameters suggested_max_num_workers"
    },
    "lightning.pytorch.utilities._pytree": {PRIVATE: "_tree_flatten tree_unflatten"},
    "lightning.pytorch.utilities.argparse": {PRIVATE: "_gpus_arg_default"},
    "lightning.pytorch.utilities.combined_loader": {
        PRIVATE: "_LITERAL_SUPPORTED_MODES _MaxSize _MaxSizeCycle _MinSize _SUPPORTED_MODES _Sequential"
    },
    "lightning.pytorch.utilities.compile": {LATER: "from_compiled to_uncompiled", PRIVATE: "_maybe_unwrap_optimized"},
    "lightning.pytorch.utilities.consolidate_checkpoint": {PRIVATE: "_format_checkpoint"},
    "lightning.pytorch.utilities.data": {
        LATER: "extract_batch_size has_len_all_ranks",
        PRIVATE: "_get_dataloader_init_args_and_kwargs _is_dataloader_shuffled _update_dataloader warning_cache",
    },
    "lightning.pytorch.utilities.deepspeed": {LATER: "convert_zero_checkpoint_to_fp32_state_dict"},
    "lightning.pytorch.utilities.enums": {PRIVATE: "_FaultTolerantMode"},
    "lightning.pytorch.utilities.exceptions": {PRIVATE: "_augment_message"},
    "lightning.pytorch.utilities.memory": {
        LATER: "garbage_collection_cuda get_model_size_mb is_cuda_out_of_memory is_cudnn_snafu is_oom_error"
        " is_out_of_cpu_memory recursive_detach"
    },
    "lightning.pytorch.utilities.migration": {LATER: "migrate_checkpoint pl_legacy_patch"},
    "lightning.pytorch.utilities.migration.utils": {
        LATER: "migrate_checkpoint pl_legacy_patch",
        PRIVATE: "_RedirectingUnpickler _get_version _pl_migrate_checkpoint _set_legacy_version _set_version",
    },
    "lightning.pytorch.utilities.model_helpers": {
        LATER: "get_torchvision_model is_overridden",
        PRIVATE: "_ModuleMode",
    },
    "lightning.pytorch.utilities.model_summary": {
        LATER: "DeepSpeedSummary LayerSummary get_formatted_model_size get_human_readable_count parse_batch_shape"
    },
    "lightning.pytorch.utilities.model_summary.model_summary": {
        LATER: "LEFTOVER_PARAMS_NAME NOT_APPLICABLE LayerSummary"
    },
    "lightning.pytorch.utilities.parameter_tying": {LATER: "find_shared_parameters set_shared_parameters"},
    "lightning.pytorch.utilities.parsing": {
        PRIVATE: "_get_init_args",
        LATER: "clean_namespace collect_init_args get_init_args is_picklable lightning_getattr lightning_hasattr"
        " lightning_setattr parse_class_init_keys save_hyperparameters",
    },
    "lightning.pytorch.utilities.signature_utils": {LATER: "is_param_in_hook_signature"},
    "lightning.pytorch.utilities.upgrade_checkpoint": {LATER: "main"},
}
