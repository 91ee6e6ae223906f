"""A module that knows its device and dtype without asking its parameters."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from typing import Self


class PlacedModule(nn.Module):
    """Follows ``to``, ``cuda``, ``cpu``, ``float``, ``double``, ``half``, ``type``, its submodules of this kind too."""

    def __init__(self) -> None:
        super().__init__()
        self._dtype: Any = torch.get_default_dtype()
        self._device = torch.get_default_device()

    @property
    def device(self) -> torch.device:
        """Where the module was moved to last."""
        if self._device.type == "cuda" and self._device.index is None:
            return torch.device("cuda", torch.cuda.current_device())
        return self._device

    @property
    def dtype(self) -> Any:
        """The floating-point type the module was converted to last."""
        return self._dtype

    @dtype.setter
    def dtype(self, new_dtype: Any) -> None:
        raise RuntimeError("Cannot set the dtype explicitly. Please use module.to(new_dtype).")

    @property
    def on_gpu(self) -> bool:
        """Whether the module is on a CUDA device."""
        return self.device.type == "cuda"

    def _note_placement(self, device: Any = None, dtype: Any = None) -> None:
        for module in self.modules():
            if isinstance(module, PlacedModule):
                if device is not None:
                    module._device = device
                if dtype is not None:
                    module._dtype = dtype

    def to(self, *args: Any, **kwargs: Any) -> "Self":
        device, dtype = torch._C._nn._parse_to(*args, **kwargs)[:2]
        self._note_placement(device, dtype)
        return super().to(*args, **kwargs)

    def cuda(self, device: Any = None) -> "Self":
        index = torch.cuda.current_device() if device is None else device
        target = torch.device("cuda", index) if isinstance(index, int) else torch.device(index)
        self._note_placement(device=target)
        return super().cuda(device=target)

    def cpu(self) -> "Self":
        self._note_placement(device=torch.device("cpu"))
        return super().cpu()

    def type(self, dst_type: Any) -> "Self":
        self._note_placement(dtype=dst_type)
        return super().type(dst_type=dst_type)

    def float(self) -> "Self":
        self._note_placement(dtype=torch.float32)
        return super().float()

    def double(self) -> "Self":
        self._note_placement(dtype=torch.float64)
        return super().double()

    def half(self) -> "Self":
        self._note_placement(dtype=torch.float16)
        return super().half()
