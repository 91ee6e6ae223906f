"""Why a test cannot run on this machine; Lightning's test helper ``RunIf`` asks for it."""

import os
import sys
from collections.abc import Iterator

import torch

from torchlift.compat.machine import compare, flag

_PACKAGES = {
    "deepspeed": "_DEEPSPEED_AVAILABLE",
    "omegaconf": "_OMEGACONF_AVAILABLE",
    "onnx": "_ONNX_AVAILABLE",
    "onnxscript": "_ONNXSCRIPT_AVAILABLE",
    "psutil": "_PSUTIL_AVAILABLE",
    "rich": "_RICH_AVAILABLE",
    "sklearn": "_SKLEARN_AVAILABLE",
    "tensorrt": "_TORCH_TRT_AVAILABLE",
    "tpu": "_XLA_AVAILABLE",
}


def runif_reasons(
    *,
    min_cuda_gpus: int = 0,
    min_torch: str | None = None,
    max_torch: str | None = None,
    min_python: str | None = None,
    bf16_cuda: bool = False,
    mps: bool | None = None,
    skip_windows: bool = False,
    standalone: bool = False,
    dynamo: bool = False,
    linux_only: bool = False,
    **packages: bool,
) -> tuple[list[str], dict[str, bool]]:
    """What is missing of what a test needs, and the keywords that its mark carries.

    Args:
        min_cuda_gpus: so many GPUs.
        min_torch, max_torch, min_python: versions; the maximum is excluded.
        bf16_cuda: a GPU that computes in bfloat16.
        mps: an Apple GPU, or (``False``) none.
        skip_windows, linux_only: operating systems.
        standalone: only where the environment has ``PL_RUN_STANDALONE_TESTS=1``.
        dynamo: ``torch.compile`` works here.
        packages: packages that must be importable, such as ``rich=True``; ``tpu=True`` asks for torch_xla.
    """

    def reasons() -> Iterator[str]:
        if torch.cuda.device_count() < min_cuda_gpus:
            yield f"GPUs>={min_cuda_gpus}"
        if min_torch and compare("TORCH", "LESS", min_torch):
            yield f"torch>={min_torch}"
        if max_torch and compare("TORCH", "GREATER_EQUAL", max_torch):
            yield f"torch<{max_torch}"
        if min_python and compare("PYTHON", "LESS", min_python):
            yield f"python>={min_python}"
        if bf16_cuda and not (torch.cuda.is_available() and torch.cuda.is_bf16_supported()):
            yield "CUDA device bf16"
        if mps is not None and mps != torch.backends.mps.is_available():
            yield "MPS" if mps else "not MPS"
        if skip_windows and sys.platform == "win32":
            yield "unimplemented on Windows"
        if linux_only and sys.platform != "linux":
            yield "only linux"
        if standalone and os.environ.get("PL_RUN_STANDALONE_TESTS", "0") != "1":
            yield "Standalone execution"
        if dynamo and not _dynamo_works():
            yield "torch.dynamo"
        yield from (package for package, needed in packages.items() if needed and not flag(_PACKAGES[package]))

    marks = {"min_cuda_gpus": bool(min_cuda_gpus), "tpu": packages.get("tpu", False), "standalone": standalone}
    return list(reasons()), {name: True for name, wanted in marks.items() if wanted}


def _dynamo_works() -> bool:
    from torch._dynamo.eval_frame import is_dynamo_supported

    return is_dynamo_supported()
