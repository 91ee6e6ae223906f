"""Code written for Lightning, run on torchlift untouched.

After :func:`install`, ``import lightning``, ``import lightning.pytorch as pl`` and ``import pytorch_lightning`` give
torchlift: a finder at the head of ``sys.meta_path`` (PEP 451) answers for these names, and the classes are the very
same ones (``lightning.Trainer is torchlift.Trainer``). Nothing is imported before it is asked for.

    torchlift.compat.install()
    import lightning as L

From a shell: ``torchlift run --as-lightning script.py``.
"""

from torchlift.compat.install import AlreadyImportedError, install, is_installed, uninstall
from torchlift.compat.missing import MissingFeatureError
from torchlift.compat.paths import LIGHTNING_VERSION

__all__ = [
    "LIGHTNING_VERSION",
    "AlreadyImportedError",
    "MissingFeatureError",
    "install",
    "is_installed",
    "uninstall",
]
