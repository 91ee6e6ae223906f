"""The names in ``Trainer(accelerator=...)``."""

from torchlift.accelerators.cpu import CPUAccelerator
from torchlift.accelerators.cuda import CUDAAccelerator
from torchlift.accelerators.mps import MPSAccelerator
from torchlift.accelerators.xla import XLAAccelerator
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.registry import Registry

__all__ = ["AcceleratorRegistry"]


class _AcceleratorRegistry(Registry):
    def available_accelerators(self) -> set[str]:
        """The registered names."""
        return set(self)


AcceleratorRegistry = _AcceleratorRegistry("accelerator", "accelerators", taken=MisconfigurationException)
for _kind in (CPUAccelerator, CUDAAccelerator, MPSAccelerator, XLAAccelerator):
    AcceleratorRegistry.register(_kind.name(), _kind, description=_kind.__name__)
