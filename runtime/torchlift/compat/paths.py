"""Which module of torchlift answers for which module of Lightning: the same path, but for the table here."""

from functools import cache
from importlib.util import find_spec

LIGHTNING_VERSION = "2.6.6"
"""The version of Lightning whose names and behaviour are answered for."""

ROOTS = ("lightning", "pytorch_lightning", "lightning_fabric")
_FULL_NAME = {"pytorch_lightning": "lightning.pytorch", "lightning_fabric": "lightning.fabric"}

# Below these packages the path is the same in both: lightning.pytorch.callbacks.timer is torchlift.callbacks.timer.
_ALIKE = {
    "lightning.pytorch": "accelerators callbacks cli demos loggers plugins profilers serve strategies trainer tuner"
    " utilities",
    "lightning.fabric": "accelerators loggers plugins strategies utilities",
}

MOVED = {
    "lightning.pytorch.core.datamodule": "torchlift.datamodule",
    "lightning.pytorch.core.hooks": "torchlift.module_hooks",
    "lightning.pytorch.core.mixins.hparams_mixin": "torchlift.hparams",
    "lightning.pytorch.core.module": "torchlift.module",
    "lightning.pytorch.core.optimizer": "torchlift.optim",
    "lightning.pytorch.core.saving": "torchlift.loading",
    "lightning.pytorch.plugins.io.checkpoint_plugin": "torchlift.checkpoint_io",
    "lightning.pytorch.plugins.io.torch_plugin": "torchlift.checkpoint_io",
    "lightning.pytorch.plugins.precision": "torchlift.precision",
    "lightning.pytorch.plugins.precision.amp": "torchlift.precision",
    "lightning.pytorch.plugins.precision.double": "torchlift.precision",
    "lightning.pytorch.plugins.precision.half": "torchlift.precision",
    "lightning.pytorch.plugins.precision.precision": "torchlift.precision",
    "lightning.pytorch.trainer.configuration_validator": "torchlift.validation",
    "lightning.pytorch.trainer.connectors.data_connector": "torchlift.data_checks",
    "lightning.pytorch.trainer.states": "torchlift.states",
    "lightning.pytorch.trainer.trainer": "torchlift.trainer",
    "lightning.pytorch.utilities.model_summary.model_summary": "torchlift.utilities.model_summary",
    "lightning.fabric.plugins.io.checkpoint_io": "torchlift.checkpoint_io",
    "lightning.fabric.plugins.io.torch_io": "torchlift.checkpoint_io",
    "lightning.fabric.plugins.precision": "torchlift.precision",
    "lightning.fabric.plugins.precision.amp": "torchlift.precision",
    "lightning.fabric.plugins.precision.double": "torchlift.precision",
    "lightning.fabric.plugins.precision.half": "torchlift.precision",
    "lightning.fabric.plugins.precision.precision": "torchlift.precision",
    "lightning.fabric.utilities.apply_func": "torchlift.utilities.apply",
}


def full_name(name: str) -> str:
    """``pytorch_lightning.x`` is another name of ``lightning.pytorch.x``."""
    root, dot, rest = name.partition(".")
    return _FULL_NAME.get(root, root) + dot + rest


@cache
def home(path: str) -> str | None:
    """The module of torchlift that is `path`, a full name of Lightning's, if there is one."""
    for prefix, packages in _ALIKE.items():
        rest = path.removeprefix(f"{prefix}.")
        if rest != path and rest.partition(".")[0] in packages.split() and _exists(f"torchlift.{rest}"):
            return f"torchlift.{rest}"
    return MOVED.get(path)


def _exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is a plain module, not a package
        return False
