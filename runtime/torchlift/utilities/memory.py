"""Out of memory: telling it from other errors, and giving memory back."""

import gc
from typing import Any

import torch
from torch import Tensor

from torchlift.utilities.apply import apply_to_leaves

__all__ = ["garbage_collection_cuda", "is_oom_error", "recursive_detach"]


def is_oom_error(exception: BaseException) -> bool:
    """Whether an operation failed because the device, or the machine, had no memory left for it."""
    return is_cuda_out_of_memory(exception) or is_cudnn_snafu(exception) or is_out_of_cpu_memory(exception)


def is_cuda_out_of_memory(exception: BaseException) -> bool:
    return "CUDA" in _message(exception) and "out of memory" in _message(exception)


def is_cudnn_snafu(exception: BaseException) -> bool:
    """cuDNN says so when it finds no memory for its workspace: https://github.com/pytorch/pytorch/issues/4107."""
    return "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED." in _message(exception)


def is_out_of_cpu_memory(exception: BaseException) -> bool:
    return "DefaultCPUAllocator: can't allocate memory" in _message(exception)


def _message(exception: BaseException) -> str:
    lone = isinstance(exception, RuntimeError) and len(exception.args) == 1
    return str(exception.args[0]) if lone else ""


def garbage_collection_cuda() -> None:
    """Free what nobody refers to any more, and give the memory back to the GPU."""
    gc.collect()
    try:
        torch.cuda.empty_cache()
    except RuntimeError as exception:
        if not is_oom_error(exception):
            raise


def recursive_detach(in_dict: Any, to_cpu: bool = False) -> Any:
    """The same collection with its tensors detached from the graph, and perhaps moved to the CPU."""

    def detach(value: Tensor) -> Tensor:
        return value.detach().cpu() if to_cpu else value.detach()

    return apply_to_leaves(in_dict, lambda value: isinstance(value, Tensor), detach)
