"""Say something once, from the first process only, on standard error.

Standard output belongs to the user's script: nothing in the runtime writes there.
"""

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _StandardError(logging.Handler):
    """Writes to whatever ``sys.stderr`` is when the message comes, so that redirections hold."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)


log = logging.getLogger("torchlift")
if not log.handlers:
    log.addHandler(_StandardError())
    log.setLevel(logging.INFO)
    log.propagate = False


def _rank_from_environment() -> int:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
        if value := os.environ.get(name):
            return int(value)
    return 0


def rank_zero_only(function: Callable[_P, _R]) -> Callable[_P, _R | None]:
    """Decorate `function` so that it runs on the first process only and returns ``None`` on the others.

    The process's number is ``rank_zero_only.rank``, taken from the launcher's environment at first.
    """

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        if getattr(rank_zero_only, "rank", 0) == 0:
            return function(*args, **kwargs)
        return None

    return wrapped


rank_zero_only.rank = _rank_from_environment()  # type: ignore[attr-defined]


@rank_zero_only
def rank_zero_info(message: Any, *args: Any) -> None:
    """Tell the user something on standard error."""
    log.info(message, *args)


@rank_zero_only
def rank_zero_debug(message: Any, *args: Any) -> None:
    """Tell a developer something; silent unless the ``torchlift`` logger is set to DEBUG."""
    log.debug(message, *args)


@rank_zero_only
def rank_zero_warn(message: Any, category: type[Warning] = UserWarning, stacklevel: int = 4) -> None:
    """Warn through Python's ``warnings``, which prints on standard error."""
    warnings.warn(str(message), category=category, stacklevel=stacklevel)


class LightningDeprecationWarning(DeprecationWarning):
    """A name that still works and will go."""


@rank_zero_only
def rank_zero_deprecation(message: Any, stacklevel: int = 5) -> None:
    """Warn that something still works and will go."""
    warnings.warn(str(message), category=LightningDeprecationWarning, stacklevel=stacklevel)


_said: set[str] = set()


def warn_once(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn the first time this very sentence comes up in the process."""
    if message not in _said:
        _said.add(message)
        rank_zero_warn(message, category=category, stacklevel=5)


def info_once(message: str) -> None:
    """Say this very sentence the first time it comes up in the process."""
    if message not in _said:
        _said.add(message)
        rank_zero_info(message)
