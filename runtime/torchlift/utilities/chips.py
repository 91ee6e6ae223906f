"""The peaks of NVIDIA's chips, as stated in their data sheets, and the chip that a device's name means."""

import re

import torch

_COLUMNS: tuple[torch.dtype | str, ...] = (
    torch.float64,
    torch.float32,
    "tfloat32",
    torch.bfloat16,
    torch.float16,
    torch.int8,
    "int4",
)

# In 10^12 operations per second, in the order of the columns; None where the chip does not have the type.
_TERAFLOPS: dict[str, tuple[float | None, ...]] = {
    # One H200 of the SXM board, without sparsity: https://www.nvidia.com/en-us/data-center/h200/
    "h200": (34, 67, 494.7, 989.5, 989.5, 1979, None),
    "h200 sxm1": (34, 67, 990, 2000, 2000, 4000, None),
    "h200 nvl1": (30, 60, 840, 1700, 1700, 3300, None),
    "h100 nvl": (67, 133.8, 989.4, 1978.8, 1978.8, 3957.8, None),
    "h100 sxm": (33.5, 66.9, 494.7, 989.4, 989.4, 1978.9, None),
    "h100 pcie": (25.6, 51.2, 378, 756, 756, 1513, None),
    "rtx 4090": (None, 82.6, 82.6, 82.6, 82.6, 660.6, 1321.2),
    "rtx 4080": (None, 48.7, 48.7, 48.7, 48.7, 389.9, 779.8),
    "rtx 4080 super": (None, 52.2, 52.2, 52.2, 52.2, 417.6, 835.2),
    "l4": (None, 30.3, 60, 121, 121, 242, 484),
    "l40": (None, 90.5, 90.5, 181, 181, 362, 724),
    "a100": (9.7, 19.5, 156, 312, 312, 624, None),
    "a6000": (None, 38.7, 77.4, 38.7, 38.7, 309.7, 619.3),
    "a40": (None, 37.4, 74.8, 37.4, 37.4, 299.3, 598.7),
    "a10g": (None, 31.2, 62.5, 125, 125, 250, 500),
    "rtx 3090 ti": (None, 40, 40, 40, 40, 320, 640),
    "rtx 3090": (None, 35.6, 35.6, 35.6, 35.6, 284, 568),
    "rtx 3080 ti": (None, 34.1, 34.1, 34.1, 34.1, 272.8, 546.6),
    "rtx 3080": (None, 29.8, 29.8, 29.8, 29.8, 238, 476),
    "rtx 3070": (None, 20.3, 20.3, 20.3, 20.3, 162.6, 325.2),
    "t4": (None, 8.1, None, None, 65, 130, 260),
    "quadro rtx 5000": (None, 11.2, None, None, 89.2, None, None),
    "rtx 2080 super": (None, 11.2, None, None, 22.3, 178.4, 356.8),
    "rtx 2080 ti": (None, 14.2, None, None, 28.5, 227.7, 455.4),
    "rtx 2080": (None, 10.6, None, None, 21.2, 169.6, 339.1),
    "rtx 2070 super": (None, 9.1, None, None, 18.1, 145, 290),
    "titan rtx": (None, 16.3, None, None, 32.6, 261, 522),
    "v100 sxm": (7.8, 15.7, None, None, 125, None, None),
    "v100 pcie": (7, 14, None, None, 112, None, None),
    "v100s pcie": (8.2, 16.4, None, None, 130, None, None),
}

CUDA_FLOPS: dict[str, dict[torch.dtype | str, float]] = {
    chip: {dtype: value * 1e12 for dtype, value in zip(_COLUMNS, row) if value is not None}
    for chip, row in _TERAFLOPS.items()
}
"""Floating-point operations per second by chip and type."""

_CHIPS = (
    (r"h200.*(sxm1|nvl1)", r"h200 \1"),
    (r"h200", "h200"),
    (r"h100.*hbm3", "h100 sxm"),
    (r"h100.*nvl", "h100 nvl"),
    (r"h100.*(pcie|hbm2e)", "h100 pcie"),
    (r"tesla.*l4|l4.*tesla", "l40"),
    (r"l4", "l4"),
    (r"geforce rtx (\d+).*super", r"rtx \1 super"),
    (r"geforce rtx (\d+).*ti", r"rtx \1 ti"),
    (r"geforce rtx (\d+)", r"rtx \1"),
    (r"(a6000|a100|a40|a10g|t4|quadro rtx 5000|titan rtx)", r"\1"),
    (r"(v100s?)-(sxm|pcie)", r"\1 \2"),
)


def chip_of(name: str) -> str | None:
    """The key in ``CUDA_FLOPS`` of the device that CUDA calls `name` (in small letters); ``None`` if it means none."""
    for pattern, chip in _CHIPS:
        if found := re.search(pattern, name):
            return found.expand(chip)
    return None
