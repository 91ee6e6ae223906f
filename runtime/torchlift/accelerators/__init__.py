"""Kinds of hardware, one file each; a name is imported when it is first used."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__; a test compares it with the files
    from torchlift.accelerators.accelerator import Accelerator as Accelerator
    from torchlift.accelerators.cpu import CPUAccelerator as CPUAccelerator
    from torchlift.accelerators.cuda import CUDAAccelerator as CUDAAccelerator
    from torchlift.accelerators.cuda import find_usable_cuda_devices as find_usable_cuda_devices
    from torchlift.accelerators.cuda import is_cuda_available as is_cuda_available
    from torchlift.accelerators.cuda import num_cuda_devices as num_cuda_devices
    from torchlift.accelerators.mps import MPSAccelerator as MPSAccelerator
    from torchlift.accelerators.registry import AcceleratorRegistry as AcceleratorRegistry
    from torchlift.accelerators.xla import XLAAccelerator as XLAAccelerator

__getattr__, __dir__ = lazy_exports(__name__)
