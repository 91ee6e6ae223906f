"""What every test relies on: one thread, no screen, no GPU unless asked for, the same random numbers each time."""

from __future__ import annotations

import os
import random
import sys

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports torch: it reads these once. Processes started by a test inherit them.
# A GPU run says so itself, with CUDA_VISIBLE_DEVICES=0 in front of pytest.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "",
    "COLUMNS": "120",
}
for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)

# Random examples would make a failure hard to see again; a deadline would be a timing assertion.
settings.register_profile(
    "torchlift", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("torchlift")


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Seed each generator that is loaded, so that no test depends on those before it; none is loaded for this."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
