"""The tables of names tell the truth: what they say is here is here, and what is not here refuses to be used."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings
from unittest import mock

import pytest

from torchlift import compat
from torchlift.compat import names, paths
from torchlift.compat.missing import Missing


@pytest.fixture(scope="module")
def lightnings() -> dict[str, list[str]]:
    """What each package and module of the real Lightning says it exports (its ``__all__``)."""
    lightning = pytest.importorskip("lightning.pytorch")
    exported = {
        "lightning": ["Trainer", "LightningModule", "LightningDataModule", "Callback", "seed_everything", "Fabric"]
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in pkgutil.walk_packages(lightning.__path__, "lightning.pytorch."):
            if "._" in found.name:
                continue
            try:
                exported[found.name] = getattr(importlib.import_module(found.name), "__all__", [])
            except ModuleNotFoundError:  # a package that Lightning itself only needs there, as requests for serving
                continue
    return exported


def test_everything_that_lightning_exports_can_be_imported(
    lightnings: dict[str, list[str]], as_lightning: None
) -> None:
    assert len(lightnings) > 100 and sum(map(len, lightnings.values())) > 100
    missing = []
    for path, exported in lightnings.items():
        try:
            module = importlib.import_module(path)
        except ImportError:
            missing.append(path)
            continue
        missing += [f"{path}.{name}" for name in exported if not hasattr(module, name)]
    assert missing == []


@pytest.mark.usefixtures("as_lightning")
def test_every_name_that_is_said_to_be_here_is_here() -> None:
    found = [(path, name) for path, table in names.HERE.items() for text in table.values() for name in text.split()]
    assert len(found) > 20
    for path, name in found:
        assert not isinstance(getattr(importlib.import_module(path), name.partition("=")[0]), Missing)


@pytest.mark.usefixtures("as_lightning")
def test_every_name_that_is_said_to_be_missing_is_missing() -> None:
    stale = []
    for path, table in names.NOT_HERE.items():
        module = importlib.import_module(path)
        for text in table.values():
            for name in text.split():
                value = getattr(module, name)
                if not (isinstance(value, type) and issubclass(value, Missing)):
                    stale.append(f"{path}.{name}")
    assert stale == []


def test_every_module_that_has_moved_is_where_the_table_says() -> None:
    for path, target in paths.MOVED.items():
        assert paths.home(path) == target, f"{path} has a module at its own path"
        importlib.import_module(target)


@pytest.mark.usefixtures("as_lightning")
def test_what_is_missing_can_be_imported_and_derived_from_but_not_used() -> None:
    from lightning import Fabric

    with pytest.raises(compat.MissingFeatureError, match=r"`lightning\.Fabric`: torchlift has no Fabric\."):
        Fabric(accelerator="cpu")
    with pytest.raises(AttributeError, match=r"`lightning\.Fabric\.launch`: torchlift has no Fabric"):
        Fabric.launch  # noqa: B018

    class Mine(Fabric):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            """Never calls Fabric's own, and is refused all the same."""

    with pytest.raises(ImportError, match=r"`lightning\.Fabric`"):
        Mine()
    assert not isinstance(3, Fabric)
    assert Fabric is importlib.import_module("lightning.fabric").Fabric or Fabric.__module__ == "lightning"


@pytest.mark.usefixtures("as_lightning")
def test_flags_say_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from lightning.fabric.utilities import imports as fabric
    from lightning.pytorch.utilities import imports

    major, minor = map(int, torch.__version__.split(".")[:2])
    assert getattr(imports, f"_TORCH_GREATER_EQUAL_{major}_{minor}") is True
    assert getattr(imports, f"_TORCH_GREATER_EQUAL_{major}_{minor + 1}") is False
    assert getattr(imports, f"_TORCH_EQUAL_{major}_{minor}") is True
    assert fabric._PYTHON_GREATER_EQUAL_3_10_0 is True
    assert fabric._PYTHON_GREATER_EQUAL_4_0 is False
    assert imports._RICH_AVAILABLE is True
    assert imports._SURELY_NOT_INSTALLED_AVAILABLE is False
    monkeypatch.setitem(sys.modules, "a_stand_in", mock.Mock(__spec__=None))
    assert imports._A_STAND_IN_AVAILABLE is True
    assert imports._SURELY_NOT_INSTALLED_GREATER_EQUAL_1_0 is False
    with pytest.raises(AttributeError):
        imports._SOMETHING_ELSE  # noqa: B018
