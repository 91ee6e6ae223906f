"""Put the finder in place, and take it away again."""

import importlib
import logging
import sys
from types import ModuleType

from torchlift import defaults
from torchlift.compat.finder import FINDER
from torchlift.compat.modules import detach_fallbacks
from torchlift.compat.paths import ROOTS

_FACTORIES = "lightning.pytorch.callbacks_factory"  # entry points that add callbacks to every Trainer
_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric")
_replaced_modules: dict[str, ModuleType] = {}
_replaced_loggers: dict[str, logging.Logger | None] = {}


class AlreadyImportedError(ImportError):
    """The real Lightning is loaded: classes of two runtimes in one process would not know each other."""


def is_installed() -> bool:
    """Whether ``import lightning`` gives torchlift now."""
    return FINDER in sys.meta_path


def install(force: bool = False) -> None:
    """Let ``lightning``, ``pytorch_lightning`` and ``lightning_fabric`` mean torchlift from now on.

    A second call changes nothing. Loggers of these names (``logging.getLogger("lightning.pytorch")``) become
    torchlift's, so that levels and handlers set on them take effect.

    Args:
        force: put a Lightning that is loaded already aside instead of refusing. Objects made from its classes stay
            what they are; :func:`uninstall` brings it back.

    Raises:
        AlreadyImportedError: Lightning was imported before.
    """
    if is_installed():
        return
    loaded = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ROOTS}
    if loaded and not force:
        raise AlreadyImportedError(
            f"`{min(loaded, key=len)}` was imported before torchlift.compat.install(). Call install() before anything"
            " imports Lightning (`torchlift run --as-lightning script.py` does), or use install(force=True) to put"
            " the loaded one aside."
        )
    for name in loaded:
        _replaced_modules[name] = sys.modules.pop(name)
    sys.meta_path.insert(0, FINDER)
    defaults.FACTORIES.append(_FACTORIES)
    _share_loggers()


def uninstall() -> None:
    """Undo :func:`install`: the names mean again what they meant before. Modules that hold ours keep them."""
    if not is_installed():
        return
    sys.meta_path.remove(FINDER)
    defaults.FACTORIES.remove(_FACTORIES)
    for name in [name for name in sys.modules if name.partition(".")[0] in ROOTS]:
        del sys.modules[name]
    sys.modules.update(_replaced_modules)
    _replaced_modules.clear()
    detach_fallbacks()
    _give_loggers_back()


def take_over(name: str) -> None:
    """Install from within the module `name`, one of Lightning's, that was found on the path; it is replaced."""
    sys.modules.pop(name)
    install()
    importlib.import_module(name)


def _share_loggers() -> None:
    known = logging.root.manager.loggerDict
    ours = logging.getLogger("torchlift")
    for name in _LOGGERS:
        before = known.get(name)
        _replaced_loggers[name] = before if isinstance(before, logging.Logger) else None
        known[name] = ours


def _give_loggers_back() -> None:
    known = logging.root.manager.loggerDict
    for name, before in _replaced_loggers.items():
        known.pop(name, None)
        if before is not None:
            known[name] = before
    _replaced_loggers.clear()
