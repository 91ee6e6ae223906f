"""Questions about modules, data modules and callbacks."""

from typing import Any

__all__ = ["is_overridden"]


def is_overridden(method_name: str, instance: Any = None, parent: type | None = None) -> bool:
    """Whether `instance` has a method of its own in the place of `parent`'s.

    Args:
        method_name: of the method.
        instance: a module, data module or callback; ``None`` overrides nothing.
        parent: the class whose method it may override; ``LightningModule``, ``LightningDataModule`` or ``Callback``
            by default, as `instance` is one.

    Raises:
        ValueError: `instance` is none of these, and `parent` is not given.
    """
    from torchlift.callback import Callback
    from torchlift.datamodule import LightningDataModule
    from torchlift.hooks import is_implemented
    from torchlift.module import LightningModule

    if instance is None:
        return False
    if parent is None:
        bases = (LightningModule, LightningDataModule, Callback)
        parent = next((base for base in bases if isinstance(instance, base)), None)
    if parent is None:
        raise ValueError("Expected a parent")
    return is_implemented(method_name, instance, parent)
