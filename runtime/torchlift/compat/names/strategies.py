"""``lightning.pytorch.strategies``."""

from torchlift.compat.names.reasons import DISTRIBUTED, PRIVATE, TPU

HERE: dict[str, dict[str, str]] = {}

NOT_HERE = {
    "lightning.pytorch.strategies": {
        DISTRIBUTED: "DDPStrategy DeepSpeedStrategy FSDPStrategy ModelParallelStrategy ParallelStrategy",
        TPU: "SingleDeviceXLAStrategy XLAStrategy",
    },
    "lightning.pytorch.strategies.ddp": {DISTRIBUTED: "DDPStrategy", PRIVATE: "_DDP_FORK_ALIASES"},
    "lightning.pytorch.strategies.deepspeed": {DISTRIBUTED: "DeepSpeedStrategy"},
    "lightning.pytorch.strategies.fsdp": {DISTRIBUTED: "FSDPStrategy"},
    "lightning.pytorch.strategies.launchers": {
        PRIVATE: "_MultiProcessingLauncher _SubprocessScriptLauncher _XLALauncher _Launcher"
    },
    "lightning.pytorch.strategies.launchers.launcher": {PRIVATE: "_Launcher"},
    "lightning.pytorch.strategies.launchers.multiprocessing": {
        PRIVATE: "_GlobalStateSnapshot _MultiProcessingLauncher"
    },
    "lightning.pytorch.strategies.launchers.subprocess_script": {PRIVATE: "_SubprocessScriptLauncher"},
    "lightning.pytorch.strategies.launchers.xla": {TPU: "_XLALauncher"},
    "lightning.pytorch.strategies.model_parallel": {
        DISTRIBUTED: "ModelParallelStrategy",
        PRIVATE: "_align_compiled_param_names_with_module",
    },
    "lightning.pytorch.strategies.parallel": {DISTRIBUTED: "ParallelStrategy"},
    "lightning.pytorch.strategies.single_xla": {TPU: "SingleDeviceXLAStrategy"},
    "lightning.pytorch.strategies.xla": {TPU: "XLAStrategy"},
}
