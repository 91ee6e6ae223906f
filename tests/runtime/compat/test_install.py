"""Lightning's import names: what they give once compat is installed, and that all is as before when it is gone."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import torchlift
from torchlift import compat

RUNTIME = str(Path(torchlift.__file__).parents[1])


def python(script: str, **environment: str) -> str:
    """What a fresh interpreter prints for `script`."""
    env = {**os.environ, "PYTHONPATH": RUNTIME, **environment}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("as_lightning")
def test_the_classes_are_the_very_same_under_every_name() -> None:
    import lightning as L
    import lightning.pytorch as pl
    import pytorch_lightning as old
    from lightning.pytorch.core.module import LightningModule
    from lightning.pytorch.trainer.trainer import Trainer

    assert L.Trainer is pl.Trainer is old.Trainer is Trainer is torchlift.Trainer
    assert L.LightningModule is LightningModule is old.LightningModule is torchlift.LightningModule
    assert L.pytorch is pl is old
    assert pl.callbacks.EarlyStopping is torchlift.callbacks.EarlyStopping
    assert L.seed_everything is importlib.import_module("lightning.fabric.utilities.seed").seed_everything


@pytest.mark.usefixtures("as_lightning")
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("lightning.pytorch.callbacks.model_checkpoint", "torchlift.callbacks.model_checkpoint"),
        ("pytorch_lightning.callbacks.model_checkpoint", "torchlift.callbacks.model_checkpoint"),
        ("lightning.pytorch.core.module", "torchlift.module"),
        ("lightning.pytorch.trainer.states", "torchlift.states"),
        ("lightning.pytorch.utilities.model_summary.model_summary", "torchlift.utilities.model_summary"),
        ("lightning_fabric.utilities.seed", "torchlift.utilities.seed"),
    ],
)
def test_a_module_is_the_very_same_object_and_keeps_its_spec(theirs: str, ours: str) -> None:
    module = importlib.import_module(ours)
    spec = module.__spec__
    assert importlib.import_module(theirs) is module
    assert module.__spec__ is spec and spec is not None and spec.name == ours
    assert module.__name__ == ours
    assert sys.modules[ours] is sys.modules[theirs]


@pytest.mark.usefixtures("as_lightning")
def test_what_is_set_on_lightnings_package_is_set_where_torchlift_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import lightning.pytorch.trainer

    import torchlift.trainer

    real = torchlift.trainer.Trainer
    with monkeypatch.context() as patch:
        patch.setattr("lightning.pytorch.trainer.Trainer", 7)
        assert torchlift.trainer.Trainer == 7  # type: ignore[comparison-overlap]
    with mock.patch("lightning.pytorch.trainer.Trainer") as patched:
        assert torchlift.trainer.Trainer is patched
    assert lightning.pytorch.trainer.Trainer is torchlift.trainer.Trainer is real
    assert lightning.pytorch.trainer.trainer is torchlift.trainer


@pytest.mark.usefixtures("as_lightning")
def test_a_star_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from lightning.pytorch import *", names)
    assert {"Trainer", "LightningModule", "LightningDataModule", "Callback", "seed_everything"} <= set(names)
    assert not [name for name in names if name.startswith("_") and name != "__builtins__"]


@pytest.mark.usefixtures("as_lightning")
def test_the_version_is_that_whose_behaviour_is_answered_for() -> None:
    import lightning
    import lightning.pytorch as pl

    assert lightning.__version__ == pl.__version__ == compat.LIGHTNING_VERSION == "2.6.6"
    assert importlib.util.find_spec("lightning") is not None
    assert importlib.util.find_spec("lightning.pytorch.callbacks") is not None


@pytest.mark.usefixtures("as_lightning")
def test_names_that_lightning_does_not_have_are_missing_in_the_usual_way() -> None:
    import lightning.pytorch

    with pytest.raises(ModuleNotFoundError, match=r"lightning\.pytorch\.verify"):
        importlib.import_module("lightning.pytorch.verify")  # torchlift's own
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("lightning.nothing")
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from lightning.pytorch.callbacks import Nothing")
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from lightning.pytorch.core import Nothing")
    assert not hasattr(lightning.pytorch, "nothing")
    assert not hasattr(lightning.pytorch, "__wrapped__")
    assert importlib.util.find_spec("lightning.nothing") is None


def test_installing_imports_nothing() -> None:
    script = "import sys, torchlift.compat as c; c.install()\nprint('torch' in sys.modules, 'lightning' in sys.modules)"
    assert python(script).split() == ["False", "False"]


def test_a_name_costs_only_what_it_needs() -> None:
    script = (
        "import sys, torchlift.compat as c; c.install()\nfrom lightning.pytorch.callbacks import EarlyStopping\n"
        "print([name for name in ('rich', 'tensorboard', 'torchmetrics', 'lightning.pytorch.loggers') "
        "if name in sys.modules])"
    )
    assert python(script).strip() == "[]"


@pytest.mark.usefixtures("as_lightning")
def test_a_second_install_changes_nothing() -> None:
    import lightning

    finders = list(sys.meta_path)
    compat.install()
    assert sys.meta_path == finders
    assert sys.modules["lightning"] is lightning


def test_a_lightning_that_is_loaded_already_is_refused_or_put_aside() -> None:
    pytest.importorskip("lightning.pytorch")
    real = sys.modules["lightning.pytorch"]
    with pytest.raises(compat.AlreadyImportedError, match=r"`lightning` was imported before .*install\(force=True\)"):
        compat.install()
    assert not compat.is_installed()
    compat.install(force=True)
    try:
        assert importlib.import_module("lightning.pytorch") is not real
    finally:
        compat.uninstall()
    assert importlib.import_module("lightning.pytorch") is real
    assert real.Trainer is not torchlift.Trainer


def test_uninstalling_leaves_nothing_behind() -> None:
    module = importlib.import_module("torchlift.callbacks.timer")
    before = dict(vars(module))
    had = set(logging.root.manager.loggerDict)
    compat.install(force=True)
    importlib.import_module("lightning.pytorch.callbacks.timer")
    assert vars(module) != before  # else this test could not fail
    compat.uninstall()
    compat.uninstall()
    assert vars(module) == before
    assert set(logging.root.manager.loggerDict) == had
    assert not compat.is_installed()


def test_loggers_of_lightnings_names_are_torchlifts_meanwhile() -> None:
    before = logging.getLogger("lightning.pytorch")
    compat.install(force=True)
    try:
        assert logging.getLogger("lightning.pytorch") is logging.getLogger("torchlift")
        child = logging.getLogger("lightning.pytorch.of_this_test")
        assert child.parent is logging.getLogger("torchlift")
    finally:
        compat.uninstall()
        logging.root.manager.loggerDict.pop("lightning.pytorch.of_this_test", None)
    assert logging.getLogger("lightning.pytorch") is before
