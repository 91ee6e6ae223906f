"""Small helpers that the runtime and user code share; the names are those of ``lightning.pytorch.utilities``."""

import importlib
from typing import Any

_HOME = {
    "AttributeDict": "torchlift.hparams",
    "CombinedLoader": "torchlift.utilities.combined_loader",
    "GradClipAlgorithmType": "torchlift.utilities.enums",
    "MisconfigurationException": "torchlift.utilities.exceptions",
    "find_shared_parameters": "torchlift.utilities.parameter_tying",
    "grad_norm": "torchlift.utilities.grads",
    "is_picklable": "torchlift.hparams",
    "isolate_rng": "torchlift.utilities.seed",
    "move_data_to_device": "torchlift.utilities.apply",
    "rank_zero_debug": "torchlift.utilities.rank_zero",
    "rank_zero_deprecation": "torchlift.utilities.rank_zero",
    "rank_zero_info": "torchlift.utilities.rank_zero",
    "rank_zero_only": "torchlift.utilities.rank_zero",
    "rank_zero_warn": "torchlift.utilities.rank_zero",
    "set_shared_parameters": "torchlift.utilities.parameter_tying",
    "suggested_max_num_workers": "torchlift.utilities.data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'torchlift.utilities' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
