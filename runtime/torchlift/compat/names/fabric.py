"""``lightning.fabric``, as far as code around a Trainer uses it."""

from torchlift.compat.names import plugins, strategies
from torchlift.compat.names.reasons import DISTRIBUTED, FABRIC, PRIVATE, TPU

# What holds for the Trainer's plugins and strategies holds for Fabric's, which have the same names.
_HERE_TOO, _NOT_HERE_EITHER = (
    {
        path.replace(".pytorch.", ".fabric."): table
        for area in (plugins, strategies)
        for path, table in which(area).items()
    }
    for which in (lambda area: area.HERE, lambda area: area.NOT_HERE)
)

HERE = {
    **_HERE_TOO,
    "lightning.fabric": {
        "torchlift.compat.paths": "__version__=LIGHTNING_VERSION",
        "torchlift.utilities.seed": "seed_everything",
    },
    "lightning.fabric.plugins.environments.lightning": {"torchlift.compat.small": "find_free_network_port"},
    "lightning.fabric.utilities": {
        "torchlift.compat.small": "disable_possible_user_warnings is_shared_filesystem LightningEnum",
        "torchlift.utilities.data": "suggested_max_num_workers",
        "torchlift.utilities.throughput": "Throughput ThroughputMonitor measure_flops",
    },
    "lightning.fabric.utilities.apply_func": {
        "torchlift.utilities.apply": "convert_tensors_to_scalars=tensors_to_scalars"
    },
    "lightning.fabric.utilities.cloud_io": {"torchlift.checkpoint_io": "_load=load"},
    "lightning.fabric.utilities.data": {
        "torchlift.compat.small": "has_len",
        "torchlift.hparams": "AttributeDict",
        "torchlift.utilities.combined_loader": "sized_len",
    },
    "lightning.fabric.utilities.distributed": {
        "torchlift.compat.small": "is_shared_filesystem _destroy_dist_connection=destroy_dist_connection"
        " _distributed_is_initialized=distributed_is_initialized"
    },
    "lightning.fabric.utilities.enums": {"torchlift.compat.small": "LightningEnum"},
    "lightning.fabric.utilities.imports": {},
    "lightning.fabric.utilities.logger": {
        "torchlift.utilities.logger": "_add_prefix=add_prefix _convert_params=convert_params"
        " _flatten_dict=flatten_dict _sanitize_callable_params=sanitize_callable_params"
        " _sanitize_params=sanitize_params"
    },
    "lightning.fabric.utilities.seed": {
        "torchlift.compat.small": "reset_seed",
        "torchlift.utilities.seed": "pl_worker_init_function=worker_init_function",
    },
    "lightning.fabric.utilities.spike": {"torchlift.callbacks.spike": "SpikeDetection"},
    "lightning.fabric.utilities.testing": {"torchlift.compat.skipping": "_runif_reasons=runif_reasons"},
    "lightning.fabric.utilities.types": {
        "torchlift.compat.small": "_PATH=PATH",
        "torchlift.utilities.types": "_Stateful=Stateful",
    },
    "lightning.fabric.utilities.warnings": {
        "torchlift.compat.small": "disable_possible_user_warnings",
        "torchlift.utilities.exceptions": "PossibleUserWarning",
    },
}

NOT_HERE = {
    **_NOT_HERE_EITHER,
    "lightning.fabric": {FABRIC: "Fabric"},
    "lightning.fabric.fabric": {FABRIC: "Fabric"},
    "lightning.fabric.wrappers": {FABRIC: "is_wrapped _FabricModule _FabricOptimizer _FabricDataLoader"},
    "lightning.fabric.accelerators.cuda": {PRIVATE: "_clear_cuda_memory"},
    "lightning.fabric.plugins.collectives": {DISTRIBUTED: "Collective SingleDeviceCollective TorchCollective"},
    "lightning.fabric.plugins.environments.cluster_environment": {DISTRIBUTED: "ClusterEnvironment"},
    "lightning.fabric.plugins.environments.kubeflow": {DISTRIBUTED: "KubeflowEnvironment"},
    "lightning.fabric.plugins.environments.lightning": {DISTRIBUTED: "LightningEnvironment"},
    "lightning.fabric.plugins.environments.lsf": {DISTRIBUTED: "LSFEnvironment"},
    "lightning.fabric.plugins.environments.mpi": {DISTRIBUTED: "MPIEnvironment"},
    "lightning.fabric.plugins.environments.slurm": {DISTRIBUTED: "SLURMEnvironment"},
    "lightning.fabric.plugins.environments.torchelastic": {DISTRIBUTED: "TorchElasticEnvironment"},
    "lightning.fabric.plugins.environments.xla": {TPU: "XLAEnvironment"},
    "lightning.fabric.plugins.io.xla": {TPU: "XLACheckpointIO"},
    "lightning.fabric.plugins.precision.utils": {PRIVATE: "_DtypeContextManager"},
    "lightning.fabric.strategies.fsdp": {DISTRIBUTED: "FSDPStrategy", PRIVATE: "_is_sharded_checkpoint"},
    "lightning.fabric.strategies.launchers.subprocess_script": {
        PRIVATE: "_ChildProcessObserver _SubprocessScriptLauncher"
    },
    "lightning.fabric.strategies.model_parallel": {
        DISTRIBUTED: "ModelParallelStrategy",
        PRIVATE: "_is_sharded_checkpoint",
    },
    "lightning.fabric.utilities.cloud_io": {PRIVATE: "_atomic_save _is_dir _is_local_file_protocol"},
    "lightning.fabric.utilities.data": {PRIVATE: "_auto_add_worker_init_fn _replace_dunder_methods"},
    "lightning.fabric.utilities.device_dtype_mixin": {PRIVATE: "_DeviceDtypeModuleMixin"},
    "lightning.fabric.utilities.device_parser": {PRIVATE: "_parse_gpu_ids"},
    "lightning.fabric.utilities.distributed": {DISTRIBUTED: "DistributedSamplerWrapper"},
    "lightning.fabric.utilities.load": {PRIVATE: "_load_distributed_checkpoint"},
    "lightning.fabric.utilities.optimizer": {PRIVATE: "_optimizer_to_device _optimizers_to_device"},
    "lightning.fabric.utilities.registry": {PRIVATE: "entry_points"},
}
