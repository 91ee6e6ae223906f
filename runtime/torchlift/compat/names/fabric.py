"""``lightning.fabric``, as far as code around a Trainer uses it."""

from torchlift.compat.names.plugins import NOT_HERE as _PLUGINS
from torchlift.compat.names.reasons import DISTRIBUTED, FABRIC, LATER, PRIVATE, TPU

HERE = {
    "lightning.fabric": {
        "torchlift.compat.paths": "__version__=LIGHTNING_VERSION",
        "torchlift.utilities.seed": "seed_everything",
    },
    "lightning.fabric.utilities.warnings": {"torchlift.utilities.exceptions": "PossibleUserWarning"},
    "lightning.fabric.utilities.apply_func": {"torchlift.utilities.apply": "move_data_to_device"},
    "lightning.fabric.utilities": {"torchlift.utilities.data": "suggested_max_num_workers"},
    "lightning.fabric.utilities.data": {
        "torchlift.hparams": "AttributeDict",
        "torchlift.utilities.combined_loader": "sized_len",
    },
    "lightning.fabric.utilities.imports": {},
    "lightning.fabric.utilities.types": {"torchlift.utilities.types": "_Stateful=Stateful"},
    "lightning.fabric.utilities.testing": {"torchlift.compat.skipping": "_runif_reasons=runif_reasons"},
    "lightning.fabric.plugins": {"torchlift.precision": "DoublePrecision HalfPrecision MixedPrecision Precision"},
}

NOT_HERE = {
    "lightning.fabric": {FABRIC: "Fabric"},
    "lightning.fabric.fabric": {FABRIC: "Fabric"},
    "lightning.fabric.wrappers": {FABRIC: "is_wrapped _FabricModule _FabricOptimizer _FabricDataLoader"},
    "lightning.fabric.accelerators": _PLUGINS["lightning.pytorch.accelerators"],
    "lightning.fabric.accelerators.cuda": {PRIVATE: "_clear_cuda_memory"},
    "lightning.fabric.plugins": _PLUGINS["lightning.pytorch.plugins"],
    "lightning.fabric.plugins.environments": _PLUGINS["lightning.pytorch.plugins.environments"],
    "lightning.fabric.plugins.environments.lightning": {
        DISTRIBUTED: "LightningEnvironment",
        PRIVATE: "find_free_network_port",
    },
    "lightning.fabric.plugins.environments.slurm": {DISTRIBUTED: "SLURMEnvironment"},
    "lightning.fabric.plugins.environments.torchelastic": {DISTRIBUTED: "TorchElasticEnvironment"},
    "lightning.fabric.plugins.environments.xla": {TPU: "XLAEnvironment"},
    "lightning.fabric.plugins.io": _PLUGINS["lightning.pytorch.plugins.io"],
    "lightning.fabric.plugins.io.checkpoint_io": {LATER: "CheckpointIO"},
    "lightning.fabric.plugins.io.torch_io": {LATER: "TorchCheckpointIO"},
    "lightning.fabric.plugins.io.xla": {TPU: "XLACheckpointIO"},
    "lightning.fabric.plugins.precision.bitsandbytes": {PRIVATE: "_BITSANDBYTES_AVAILABLE"},
    "lightning.fabric.plugins.precision.utils": {PRIVATE: "_DtypeContextManager"},
    "lightning.fabric.strategies.fsdp": {PRIVATE: "_is_sharded_checkpoint"},
    "lightning.fabric.strategies.launchers.subprocess_script": {PRIVATE: "_ChildProcessObserver"},
    "lightning.fabric.strategies.launchers.xla": {TPU: "_XLALauncher"},
    "lightning.fabric.strategies.model_parallel": {PRIVATE: "_is_sharded_checkpoint"},
    "lightning.fabric.utilities": {LATER: "measure_flops is_shared_filesystem"},
    "lightning.fabric.utilities.cloud_io": {PRIVATE: "_load _atomic_save _is_dir _is_local_file_protocol"},
    "lightning.fabric.utilities.data": {
        PRIVATE: "_auto_add_worker_init_fn _replace_dunder_methods has_len",
    },
    "lightning.fabric.utilities.device_dtype_mixin": {PRIVATE: "_DeviceDtypeModuleMixin"},
    "lightning.fabric.utilities.device_parser": {PRIVATE: "_parse_gpu_ids"},
    "lightning.fabric.utilities.distributed": {
        DISTRIBUTED: "DistributedSamplerWrapper is_shared_filesystem",
        PRIVATE: "_destroy_dist_connection _distributed_is_initialized",
    },
    "lightning.fabric.utilities.load": {PRIVATE: "_load_distributed_checkpoint"},
    "lightning.fabric.utilities.logger": {PRIVATE: "_convert_params _sanitize_params _add_prefix"},
    "lightning.fabric.utilities.registry": {PRIVATE: "entry_points"},
    "lightning.fabric.utilities.types": {PRIVATE: "_PATH"},
}
