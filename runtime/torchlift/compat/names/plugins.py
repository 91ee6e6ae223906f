"""``lightning.pytorch.plugins`` and ``.accelerators``."""

from torchlift.compat.names.reasons import DISTRIBUTED, LATER, PRIVATE, QUANTIZED, TPU

_SHARDED = "DeepSpeedPrecision FSDPPrecision"
_QUANTIZED = "BitsandbytesPrecision TransformerEnginePrecision"

HERE = {
    "lightning.pytorch.plugins.io": {"torchlift.plugins": "AsyncCheckpointIO CheckpointIO TorchCheckpointIO"},
    "lightning.pytorch.plugins.io.async_plugin": {"torchlift.plugins": "AsyncCheckpointIO"},
}

NOT_HERE = {
    "lightning.pytorch.accelerators.cpu": {
        LATER: "get_cpu_stats",
        PRIVATE: "_CPU_PERCENT _CPU_SWAP_PERCENT _CPU_VM_PERCENT",
    },
    "lightning.pytorch.accelerators.cuda": {LATER: "get_nvidia_gpu_stats"},
    "lightning.pytorch.plugins": {
        DISTRIBUTED: f"{_SHARDED} LayerSync TorchSyncBatchNorm ClusterEnvironment",
        QUANTIZED: _QUANTIZED,
        TPU: "XLACheckpointIO XLAPrecision",
    },
    "lightning.pytorch.plugins.environments": {
        DISTRIBUTED: "ClusterEnvironment KubeflowEnvironment LightningEnvironment LSFEnvironment MPIEnvironment"
        " SLURMEnvironment TorchElasticEnvironment",
        TPU: "XLAEnvironment",
    },
    "lightning.pytorch.plugins.io": {TPU: "XLACheckpointIO"},
    "lightning.pytorch.plugins.io.wrapper": {LATER: "_WrappingCheckpointIO"},
    "lightning.pytorch.plugins.io.xla_plugin": {TPU: "XLACheckpointIO"},
    "lightning.pytorch.plugins.layer_sync": {DISTRIBUTED: "LayerSync TorchSyncBatchNorm"},
    "lightning.pytorch.plugins.precision": {DISTRIBUTED: _SHARDED, QUANTIZED: _QUANTIZED, TPU: "XLAPrecision"},
    "lightning.pytorch.plugins.precision.bitsandbytes": {QUANTIZED: "BitsandbytesPrecision"},
    "lightning.pytorch.plugins.precision.deepspeed": {DISTRIBUTED: "DeepSpeedPrecision"},
    "lightning.pytorch.plugins.precision.double": {PRIVATE: "LightningDoublePrecisionModule"},
    "lightning.pytorch.plugins.precision.fsdp": {DISTRIBUTED: "FSDPPrecision"},
    "lightning.pytorch.plugins.precision.transformer_engine": {QUANTIZED: "TransformerEnginePrecision"},
    "lightning.pytorch.plugins.precision.xla": {TPU: "XLAPrecision"},
}
