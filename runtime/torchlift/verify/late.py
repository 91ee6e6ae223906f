"""Hooks in modules that a script may import later: scalar writers and `LightningModule.log`.

They are patched when the script imports them, so that a script which does not is not made to wait for them.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from torchlift.verify import digest
from torchlift.verify.hooks import Outermost
from torchlift.verify.stream import Stream

# module -> class whose add_* methods a script gives scalars, images, texts... to
WRITERS = {
    "torch.utils.tensorboard.writer": "SummaryWriter",
    "tensorboardX.writer": "SummaryWriter",
}
# module -> class with `log` and `log_dict`
LOGGING_MODULES = {
    "torchlift.module": "LightningModule",
    "lightning.pytorch.core.module": "LightningModule",
    "pytorch_lightning.core.module": "LightningModule",
}

Patch = Callable[[ModuleType], None]


def install(stream: Stream) -> None:
    patches: dict[str, Patch] = {}
    for name, cls in WRITERS.items():
        patches[name] = functools.partial(_watch_writer, stream, cls)
    for name, cls in LOGGING_MODULES.items():
        patches[name] = functools.partial(_watch_log, stream, cls)
    for name in patches.keys() & sys.modules.keys():
        patches.pop(name)(sys.modules[name])
    sys.meta_path.insert(0, _PatchOnImport(patches))


class _PatchOnImport(importlib.abc.MetaPathFinder):
    """Lets the other finders find the module, and patches it when its code has run."""

    def __init__(self, patches: Mapping[str, Patch]) -> None:
        self.patches = dict(patches)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        patch = self.patches.pop(name, None)
        if patch is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            patch(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _watch_writer(stream: Stream, cls_name: str, module: ModuleType) -> None:
    cls = getattr(module, cls_name)
    inside = Outermost()
    writers: list[Any] = []  # numbered by first use

    for method in [name for name in dir(cls) if name.startswith("add_")]:
        original = getattr(cls, method)
        signature = inspect.signature(original)

        @functools.wraps(original)
        def add(
            writer: Any,
            *args: Any,
            _name: str = method,
            _original: Any = original,
            _signature: Any = signature,
            **kw: Any,
        ) -> Any:
            with inside as outermost:
                if outermost and stream.active and not stream.origin.is_framework():
                    given = dict(_signature.bind(writer, *args, **kw).arguments)
                    given.pop("self", None)
                    given.pop("walltime", None)
                    if not any(writer is known for known in writers):
                        writers.append(writer)
                    ordinal = next(i for i, known in enumerate(writers) if known is writer)
                    what = f"{_name}({given.get('tag', '')!r}, step {given.get('global_step')})"
                    value = digest.of_object([ordinal, _name, given])
                    stream.event("scalar", what, value, number_of(given.get("scalar_value")))
                return _original(writer, *args, **kw)

        setattr(cls, method, add)


def _watch_log(stream: Stream, cls_name: str, module: ModuleType) -> None:
    cls = getattr(module, cls_name)
    inside = Outermost()  # log_dict may or may not call log
    log, log_dict = cls.log, cls.log_dict

    def record(name: str, value: Any) -> None:
        number = number_of(value)
        stream.event("log", name, "" if number is None else number.hex(), number)

    @functools.wraps(log)
    def watched_log(self: Any, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        with inside as outermost:
            if outermost and stream.active:
                record(name, value)
            log(self, name, value, *args, **kwargs)

    @functools.wraps(log_dict)
    def watched_log_dict(self: Any, dictionary: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        with inside as outermost:
            if outermost and stream.active:
                for name, value in dictionary.items():
                    record(name, value)
            log_dict(self, dictionary, *args, **kwargs)

    cls.log, cls.log_dict = watched_log, watched_log_dict


def number_of(value: Any) -> float | None:
    """A scalar as a float; None for what is not one (an image, a metric object)."""
    if isinstance(value, bool | str):
        return None
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        return None
