"""``torchlift.pytorch.x`` is ``torchlift.x``: code that says ``L.pytorch.callbacks`` runs on both runtimes."""

from typing import Any

import torchlift


def __getattr__(name: str) -> Any:
    return getattr(torchlift, name)
