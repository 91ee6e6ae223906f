"""What takes the place of a class or function of Lightning's that torchlift does not have.

A script may import a name that it uses only sometimes (a strategy for eight GPUs, a logger that a flag turns on), so
importing gives a class, and making an instance or calling it raises.
"""

from functools import cache
from typing import Any, NoReturn


class MissingFeatureError(ImportError):
    """A part of Lightning was used that torchlift does not have."""


class _Refusing(type):
    """The class of the classes here: an attribute that is asked for is missing like the class itself."""

    _missing_reason: str

    def __getattr__(cls, name: str) -> NoReturn:
        raise AttributeError(f"`{cls.__module__}.{cls.__qualname__}.{name}`: {cls._missing_reason}")


class Missing(metaclass=_Refusing):
    """Base of every placeholder: subclasses may be defined, but not used."""

    _missing_reason = "torchlift does not have this."

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        asked = next(base for base in cls.__mro__ if Missing in base.__bases__)
        raise MissingFeatureError(
            f"`{asked.__module__}.{asked.__qualname__}`: {cls._missing_reason}", name=asked.__name__
        )


@cache
def placeholder(path: str, name: str, reason: str) -> type[Missing]:
    """A class called `name`, as of module `path`, whose use raises MissingFeatureError with `reason`."""
    return type(name, (Missing,), {"__module__": path, "__qualname__": name, "_missing_reason": reason})
