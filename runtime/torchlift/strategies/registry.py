"""The names in ``Trainer(strategy=...)``."""

from torchlift.strategies.single_device import SingleDeviceStrategy
from torchlift.utilities.registry import Registry

__all__ = ["StrategyRegistry"]


class _StrategyRegistry(Registry):
    def available_strategies(self) -> list[str]:
        """The registered names."""
        return list(self)


StrategyRegistry = _StrategyRegistry("strategy", "strategies", taken=ValueError)
StrategyRegistry.register(
    SingleDeviceStrategy.strategy_name, SingleDeviceStrategy, description=SingleDeviceStrategy.__name__
)

_FORMS = ("", "_find_unused_parameters_false", "_find_unused_parameters_true")
_DEEPSPEED = ("", "_stage_1", "_stage_2", "_stage_2_offload", "_stage_3", "_stage_3_offload", "_stage_3_offload_nvme")
SEVERAL_DEVICES = frozenset(
    [
        *(f"{start}{form}" for start in ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook") for form in _FORMS),
        *(f"deepspeed{stage}" for stage in _DEEPSPEED),
        *("fsdp", "fsdp_cpu_offload", "single_tpu", "single_xla", "xla", "xla_debug"),
    ]
)
"""Lightning's names for what this runtime does not do yet."""
