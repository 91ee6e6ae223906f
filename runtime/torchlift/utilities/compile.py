"""Modules that ``torch.compile`` wrapped.

``torch.compile(module)`` returns a wrapper that is no LightningModule and compiles ``forward`` alone, which a Trainer
does not call. Here the module's own ``forward`` and ``*_step`` methods are compiled, in place.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchlift.module import LightningModule

__all__ = ["from_compiled", "to_uncompiled"]

_METHODS = ("forward", "training_step", "validation_step", "test_step", "predict_step")
_LOGGING = ("log", "log_dict")


def from_compiled(model: Any) -> "LightningModule":
    """The LightningModule inside what ``torch.compile`` returned, with its methods compiled in the same way.

    Args:
        model: a ``torch._dynamo.OptimizedModule``; the module inside is changed.

    Raises:
        ValueError: it is none, or the module inside is no LightningModule.
    """
    from torch._dynamo import OptimizedModule

    from torchlift.module import LightningModule

    if not isinstance(model, OptimizedModule):
        raise ValueError(f"`model` is required to be a `OptimizedModule`. Found a `{type(model).__name__}` instead.")
    module: Any = model._orig_mod
    if not isinstance(module, LightningModule):
        raise ValueError(
            f"`model` is expected to be a compiled LightningModule. Found a `{type(module).__name__}` instead"
        )
    if module._compiler_ctx is not None:
        return module  # its methods are compiled already
    originals = {name: getattr(module, name) for name in _METHODS}
    module._compiler_ctx = {
        "compiler": "dynamo",
        "dynamo_ctx": model.dynamo_ctx,
        "replaced": {*_METHODS, *_LOGGING},
        **{f"original_{name}": method for name, method in originals.items()},
    }
    for name, method in originals.items():
        setattr(module, name, model.dynamo_ctx(method))
    _keep_logging_out_of_graphs(module)
    return module


def to_uncompiled(model: Any) -> "LightningModule":
    """The LightningModule with its methods as they were before :func:`from_compiled`, which is undone in place.

    Args:
        model: what ``torch.compile`` or :func:`from_compiled` returned.

    Raises:
        ValueError: it is neither.
        TypeError: the compiled module is no LightningModule.
    """
    from torch._dynamo import OptimizedModule

    from torchlift.module import LightningModule

    wrapped = isinstance(model, OptimizedModule)
    module: Any = model._orig_mod if wrapped else model
    if not isinstance(module, LightningModule):
        if wrapped:
            raise TypeError(f"The wrapped model should be a LightningModule, found {type(module).__name__}.")
        raise ValueError("`model` must either be an instance of OptimizedModule or LightningModule")
    context = module._compiler_ctx
    if context is None and not wrapped:
        raise ValueError(
            "`model` is required to be a compiled LightningModule. Found a non-compiled LightningModule instead."
        )
    if context is not None:
        for name in _METHODS:
            setattr(module, name, context[f"original_{name}"])
        for name in _LOGGING:
            module.__dict__.pop(name, None)
        module._compiler_ctx = None
    return module


def _keep_logging_out_of_graphs(module: Any) -> None:
    """What ``self.log`` adds up changes with every step: a graph with it inside would be compiled again each time."""
    import torch._dynamo

    for name in _LOGGING:
        if name not in module.__dict__:
            setattr(module, name, torch._dynamo.disable(getattr(module, name)))


def unwrapped(model: object) -> "LightningModule":
    """The LightningModule that an entry point of the Trainer was given, itself or compiled.

    Raises:
        TypeError: it is none.
    """
    from torchlift.module import LightningModule

    if isinstance(model, LightningModule):
        if any(hasattr(getattr(model, name), "_torchdynamo_orig_callable") for name in _METHODS):
            _keep_logging_out_of_graphs(model)  # the user has compiled a step
        return model
    if hasattr(model, "_orig_mod"):
        return from_compiled(model)
    foreign = next((kind for kind in type(model).__mro__ if kind.__name__ == "LightningModule"), None)
    if foreign is not None:
        raise TypeError(
            f"You passed a `{foreign.__module__.partition('.core')[0]}` object ({type(model).__qualname__}) to a"
            " `torchlift` Trainer. Please switch to a single import style."
        )
    raise TypeError(
        f"`model` must be a `LightningModule` or `torch._dynamo.OptimizedModule`, got `{type(model).__qualname__}`"
    )
