"""What loggers of other packages lean on (DVCLive's, for one); under Lightning's names in ``torchlift.compat``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def joined_version(loggers: Sequence[Any], separator: str = "_") -> int | str:
    """The version of one logger; of several the different ones, joined."""
    if len(loggers) == 1:
        version: int | str = loggers[0].version
        return version
    return separator.join(dict.fromkeys(str(logger.version) for logger in loggers))


def scan_checkpoints(
    checkpoint_callback: Any, logged_model_time: Mapping[str, float]
) -> list[tuple[float, str, Any, str]]:
    """The checkpoints that were written since a logger has last seen them.

    Args:
        checkpoint_callback: a ``ModelCheckpoint``.
        logged_model_time: when each path was written that the logger has already.

    Returns:
        For each the time it was written, its path, its score and "latest", "best" or "best_k"; the oldest first.
    """
    found: dict[str, tuple[Any, str]] = {}
    named = (("last_model_path", "current_score", "latest"), ("best_model_path", "best_model_score", "best"))
    for path, score, tag in named:
        if hasattr(checkpoint_callback, path) and hasattr(checkpoint_callback, score):
            found[getattr(checkpoint_callback, path)] = (getattr(checkpoint_callback, score), tag)
    found |= {path: (score, "best_k") for path, score in getattr(checkpoint_callback, "best_k_models", {}).items()}
    written = sorted(
        (
            (Path(path).stat().st_mtime, path, score, tag)
            for path, (score, tag) in found.items()
            if Path(path).is_file()
        ),
        key=lambda one: (one[0], str(one[1])),
    )
    return [one for one in written if logged_model_time.get(one[1], float("-inf")) < one[0]]
