"""Two parts of Lightning's Trainer that outside code has been seen to make by itself, to look at what they decide."""

from typing import TYPE_CHECKING, Any

from torchlift.attach import attach_model_callbacks
from torchlift.defaults import order_callbacks
from torchlift.placement import place, set_torch_flags

if TYPE_CHECKING:
    from torchlift.accelerators import Accelerator
    from torchlift.checkpoint_io import CheckpointIO
    from torchlift.precision import Precision
    from torchlift.trainer import Trainer


class AcceleratorConnector:
    """Where and how a Trainer with these arguments computes."""

    def __init__(
        self,
        devices: Any = "auto",
        num_nodes: int = 1,
        accelerator: Any = "auto",
        strategy: Any = "auto",
        plugins: Any = None,
        precision: Any = None,
        sync_batchnorm: bool = False,
        benchmark: bool | None = None,
        use_distributed_sampler: bool = True,
        deterministic: bool | str | None = None,
    ) -> None:
        set_torch_flags(deterministic, benchmark)
        self.strategy = place(accelerator, strategy, devices, num_nodes, precision, plugins)
        self.use_distributed_sampler, self.sync_batchnorm = use_distributed_sampler, sync_batchnorm

    @property
    def accelerator(self) -> "Accelerator | None":
        return self.strategy.accelerator

    @property
    def precision_plugin(self) -> "Precision":
        return self.strategy.precision_plugin

    @property
    def checkpoint_io(self) -> "CheckpointIO":
        return self.strategy.checkpoint_io

    @property
    def is_distributed(self) -> bool:
        return self.strategy.world_size > 1


class CallbackConnector:
    """The order of a Trainer's callbacks, and those that its module adds."""

    _reorder_callbacks = staticmethod(order_callbacks)

    def __init__(self, trainer: "Trainer") -> None:
        self.trainer = trainer

    def _attach_model_callbacks(self) -> None:
        attach_model_callbacks(self.trainer)
