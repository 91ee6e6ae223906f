"""Hyperparameters: what ``save_hyperparameters`` collects and ``self.hparams`` gives."""

import copy
import inspect
import pickle
import sys
import types
from argparse import Namespace
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from torch import nn

from torchlift.utilities.rank_zero import rank_zero_warn

_PRIMITIVES = (bool, int, float, str)


class AttributeDict(dict):
    """A dictionary whose items are attributes too."""

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{key}'") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __delattr__(self, key: str) -> None:
        if key not in self:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{key}'")
        del self[key]

    def __repr__(self) -> str:
        width = max((len(str(key)) for key in self), default=0)
        return "\n".join(f'"{key}":{" " * (width - len(str(key)) + 1)}{self[key]}' for key in sorted(self, key=str))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *map(str, self)]


class HyperparametersMixin:
    """``save_hyperparameters``, ``hparams`` and ``hparams_initial`` for modules and data modules."""

    _log_hyperparams: bool = False

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Sequence[str] | str | None = None,
        frame: types.FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Keep the arguments of ``__init__`` in ``self.hparams``, in checkpoints and for the loggers.

        Args:
            args: nothing (all arguments of ``__init__``, those of subclasses' too), names of arguments, or one
                mapping, ``Namespace`` or dataclass that holds the hyperparameters.
            ignore: names to leave out.
            frame: the frame of the ``__init__``; the caller's by default.
            logger: hand them to the loggers when a run starts.

        Raises:
            ValueError: the one object given is a plain value or of a type that holds no names.
            KeyError: a name is none of the arguments.
        """
        self._log_hyperparams = logger
        if len(args) == 1 and not isinstance(args[0], str) and not args[0]:
            return
        if frame is None:
            here = inspect.currentframe()
            frame = here.f_back if here is not None else None
        if frame is None:
            raise AttributeError("There is no `frame` available while being required.")
        given = _init_arguments(self, frame)
        ignored = {ignore} if isinstance(ignore, str) else {name for name in ignore or () if isinstance(name, str)}
        given = {name: value for name, value in given.items() if name not in ignored}
        objects = [arg for arg in args if not isinstance(arg, str)]
        if not args:
            chosen: Any = given
            self._hparams_name = "kwargs" if given else None
        elif len(objects) == 1:
            chosen = objects[0]
            # Which argument it was, so that loading a checkpoint can hand it over under that name again.
            self._hparams_name = next((name for name, value in given.items() if _same(value, chosen)), None)
        else:
            chosen = {name: given[name] for name in args if isinstance(name, str)}
            self._hparams_name = "kwargs"
        self._set_hparams(chosen)
        self.remove_ignored_hparams(list(ignored))
        for name, value in self.hparams.items():
            if isinstance(value, nn.Module):
                rank_zero_warn(
                    f"Attribute {name!r} is an instance of `nn.Module` and is already saved during checkpointing. It is"
                    f" recommended to ignore them using `self.save_hyperparameters(ignore=[{name!r}])`."
                )
        self._hparams_initial = copy.deepcopy(self._hparams)

    def remove_ignored_hparams(self, ignore_list: list[str]) -> None:
        """Drop hyperparameters that a base class has saved."""
        for name in ignore_list:
            self.hparams.pop(name, None)

    @property
    def hparams(self) -> Any:
        """The hyperparameters as a dictionary with attributes; the user may change it."""
        if "_hparams" not in self.__dict__:
            self._hparams: Any = AttributeDict()
        return self._hparams

    @property
    def hparams_initial(self) -> Any:
        """A copy of the hyperparameters as they were saved."""
        return copy.deepcopy(self.__dict__.get("_hparams_initial", AttributeDict()))

    def _set_hparams(self, chosen: Any) -> None:
        as_dict = to_hparams_dict(chosen)
        if isinstance(as_dict, dict) and isinstance(self.hparams, dict):
            self.hparams.update(as_dict)
        else:
            self._hparams = as_dict


def to_hparams_dict(chosen: Any) -> Any:
    """An ``AttributeDict`` of what is in a mapping or ``Namespace``.

    Raises:
        ValueError: `chosen` is neither.
    """
    if isinstance(chosen, Namespace):
        chosen = vars(chosen)
    if isinstance(chosen, dict):
        return AttributeDict(chosen)
    if isinstance(chosen, _PRIMITIVES):
        raise ValueError(
            f"Primitives {_PRIMITIVES} are not allowed: `save_hyperparameters` takes names, a mapping or a Namespace;"
            f" got {chosen!r}."
        )
    if not isinstance(chosen, Mapping):
        raise ValueError(f"Unsupported config type of {type(chosen)}.")
    return chosen


def to_stored(hparams: Any) -> tuple[dict[str, Any], str | None]:
    """Hyperparameters as a checkpoint keeps them: plain containers, and the name of the kind that they were.

    OmegaConf's objects would be read with ``weights_only=False`` only; their contents are read always.
    """
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is not None and isinstance(hparams, omegaconf.DictConfig):
        return omegaconf.OmegaConf.to_container(hparams), "DictConfig"
    return dict(hparams), None


def from_stored(kept: Mapping[str, Any], kind: Any) -> Any:
    """What :func:`to_stored` took apart; `kind` is a class in checkpoints of Lightning's."""
    if kind == "DictConfig":
        try:
            from omegaconf import OmegaConf  # type: ignore[import-not-found,unused-ignore]
        except ModuleNotFoundError:  # the values are all there without it
            return AttributeDict(kept)
        return OmegaConf.create(dict(kept))
    return kind(kept) if isinstance(kind, type) else AttributeDict(kept)


def clean_namespace(hparams: MutableMapping) -> None:
    """Drop what cannot be pickled, with a warning each: it could not go into a checkpoint."""
    for name in [name for name, value in hparams.items() if not is_picklable(value)]:
        rank_zero_warn(
            f"Attribute '{name}' removed from hparams because it cannot be pickled. You can suppress this warning by"
            f" setting `self.save_hyperparameters(ignore=['{name}'])`."
        )
        del hparams[name]


def is_picklable(value: object) -> bool:
    try:
        pickle.dumps(value)
    except (pickle.PickleError, AttributeError, RuntimeError, TypeError):
        return False
    return True


def init_parameter_names(cls: type) -> tuple[list[str], bool]:
    """The names that ``cls.__init__`` takes besides ``self`` and ``*args``; and whether it has ``**kwargs``."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _same(left: Any, right: Any) -> bool:
    if left is right:
        return True
    try:
        return bool(left == right)
    except Exception:  # an array has no single truth value
        return False


def _init_arguments(holder: Any, frame: types.FrameType) -> dict[str, Any]:
    """The arguments of the ``__init__`` in `frame` and of those that called it for a subclass, the outermost last."""
    if is_dataclass(holder):
        return {field.name: getattr(holder, field.name) for field in fields(holder) if field.init}
    collected: dict[str, Any] = {}
    inside = False
    current: types.FrameType | None = frame
    while current is not None and current.f_back is not None:
        arguments = _arguments_of_frame(current)
        if arguments is not None:
            collected.update(arguments)
            inside = True
        elif inside:
            break
        current = current.f_back
    return collected


def _arguments_of_frame(frame: types.FrameType) -> dict[str, Any] | None:
    """The arguments of an ``__init__`` of a class with hyperparameters; ``None`` for any other frame."""
    values = frame.f_locals
    cls = values.get("__class__")
    if cls is None or frame.f_code.co_name != "__init__":
        return None
    parameters = inspect.signature(cls.__init__).parameters
    own = next(iter(parameters))
    if not isinstance(values.get(own), HyperparametersMixin):
        return None
    arguments = {}
    for name, parameter in list(parameters.items())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments.update(values[name])
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            arguments[name] = values[name]
    return {name: value for name, value in arguments.items() if name not in ("frame", "frame_args")}
