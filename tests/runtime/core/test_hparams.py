"""``save_hyperparameters`` in all its forms, against real lightning."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import lightning
import pytest
import torch

import torchlift as L
from torchlift.hparams import AttributeDict


def forms(R: Any) -> dict[str, Any]:
    """Makers of objects, each with hyperparameters saved another way."""
    M = R.LightningModule

    class All(M):
        def __init__(self, a: int, b: str = "x", *more: int, c: float = 0.5, **rest: Any) -> None:
            super().__init__()
            a = a + 1  # what is saved is the value at the call
            self.save_hyperparameters()

    class Listed(M):
        def __init__(self, a: int, b: str = "x", c: float = 0.5) -> None:
            super().__init__()
            self.save_hyperparameters("a", "c")

    class Ignoring(M):
        def __init__(self, a: int, b: str = "x", c: float = 0.5) -> None:
            super().__init__()
            self.save_hyperparameters(ignore=["b"])

    class OneIgnored(M):
        def __init__(self, a: int, b: str = "x") -> None:
            super().__init__()
            self.save_hyperparameters(ignore="b")

    class FromObject(M):
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.save_hyperparameters(config)

    class Base(M):
        def __init__(self, width: int, depth: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()

    class Derived(Base):
        def __init__(self, rate: float, width: int = 7) -> None:
            super().__init__(width)

    class DerivedSaving(Base):
        def __init__(self, rate: float, width: int = 7) -> None:
            super().__init__(width)
            self.save_hyperparameters(ignore=["width"])

    class Changing(Base):
        def __init__(self, width: int = 3) -> None:
            super().__init__(width)
            self.hparams.width = 4
            self.hparams["new"] = 5

    @dataclass
    class Data(R.LightningDataModule):
        size: int = 3
        folder: str = "here"

        def __post_init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()

    class Nothing(M):
        pass

    return {
        "all": lambda: All(1, "y", 7, 8, c=0.25, extra=3),
        "listed": lambda: Listed(1),
        "ignoring": lambda: Ignoring(1),
        "one ignored": lambda: OneIgnored(1),
        "a dictionary": lambda: FromObject({"lr": 0.1, "nested": {"x": [1, 2]}}),
        "a namespace": lambda: FromObject(Namespace(lr=0.1, name="n")),
        "an empty dictionary": lambda: FromObject({}),
        "derived": lambda: Derived(0.1),
        "derived, saving again": lambda: DerivedSaving(0.1),
        "changed afterwards": lambda: Changing(),
        "a dataclass": lambda: Data(size=9),
        "nothing": lambda: Nothing(),
    }


@pytest.mark.parametrize("form", forms(L))
def test_forms(lab: Any, form: str) -> None:
    found = []
    for R in lab.RUNTIMES.values():
        made = forms(R)[form]()
        found.append((dict(made.hparams), dict(made.hparams_initial), getattr(made, "_hparams_name", None)))
    assert found[0] == found[1]


def test_wrong_forms() -> None:
    class Module(L.LightningModule):
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.save_hyperparameters(config)

    for config in (3, 0.5, [1, 2]):
        with pytest.raises(ValueError):
            Module(config)


def test_hparams_are_attributes_and_items() -> None:
    hparams = AttributeDict(a=1)
    hparams.b = 2
    assert (hparams["b"], hparams.a, dict(hparams)) == (2, 1, {"a": 1, "b": 2})
    del hparams.a
    with pytest.raises(AttributeError, match="'a'"):
        hparams.a  # noqa: B018
    with pytest.raises(AttributeError, match="'z'"):
        del hparams.z
    assert repr(AttributeDict({"rate": 0.1, "n": 3})) == '"n":    3\n"rate": 0.1'


def test_initial_hparams_are_a_copy() -> None:
    class Module(L.LightningModule):
        def __init__(self, sizes: Any) -> None:
            super().__init__()
            self.save_hyperparameters()

    module = Module([1, 2])
    module.hparams_initial["sizes"].append(3)
    module.hparams.sizes.append(4)
    assert module.hparams_initial["sizes"] == [1, 2]


def test_what_cannot_be_pickled_is_dropped_with_a_warning(lab: Any) -> None:
    module = lab.classifier(L)()
    module.save_hyperparameters({"f": lambda: 1, "n": 2})
    with pytest.warns(UserWarning, match="'f'"):
        L.Trainer(**lab.QUIET, max_epochs=1).fit(module, lab.loader())
    assert dict(module.hparams) == {"n": 2}


def test_a_namespace_comes_back_as_its_argument(lab: Any, tmp_path: Any) -> None:
    """``__init__(self, args)`` with ``save_hyperparameters(args)``: loading hands the whole thing over again."""
    ends = []
    for R in lab.RUNTIMES.values():

        class Module(R.LightningModule):  # type: ignore[misc, name-defined]
            def __init__(self, args: Any) -> None:
                super().__init__()
                self.save_hyperparameters(args)
                self.net = torch.nn.Linear(args.width, 1)

            def training_step(self, batch: Any, batch_idx: int) -> Any:
                return self.net(batch).sum()

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), lr=self.hparams.rate)

        trainer = R.Trainer(**lab.QUIET, max_epochs=1)
        trainer.fit(Module(Namespace(width=3, rate=0.1)), torch.utils.data.DataLoader(torch.ones(4, 3)))
        path = tmp_path / "args.ckpt"
        trainer.save_checkpoint(path)
        loaded = Module.load_from_checkpoint(path, map_location="cpu") if R is L else None
        kept = torch.load(path, weights_only=True)
        ends.append((kept["hparams_name"], kept["hyper_parameters"]))
        if loaded is not None:
            assert (loaded.hparams.rate, loaded.net.in_features) == (0.1, 3)
    assert ends[0] == ends[1]


def test_hparams_from_a_file(tmp_path: Any) -> None:
    class Module(L.LightningModule):
        def __init__(self, width: int, name: str = "n") -> None:
            super().__init__()
            self.save_hyperparameters()

    torch.save({"state_dict": {}, "hyper_parameters": {"width": 1}}, tmp_path / "m.ckpt")
    (tmp_path / "h.yaml").write_text("width: 5\nname: y\n")
    (tmp_path / "h.csv").write_text("key,value\nwidth,6\nname,z\n")
    for file, expected in (("h.yaml", (5, "y")), ("h.csv", (6, "z"))):
        with pytest.warns(UserWarning, match="no parameters"):
            module = Module.load_from_checkpoint(tmp_path / "m.ckpt", hparams_file=tmp_path / file)
        assert (module.hparams.width, module.hparams.name) == expected
    with pytest.raises(ValueError, match=r"\.yaml"):
        Module.load_from_checkpoint(tmp_path / "m.ckpt", hparams_file=tmp_path / "h.json")


def saved_by(R: Any, lab: Any, module: Any, path: Any) -> Any:
    trainer = R.Trainer(fast_dev_run=True, **lab.QUIET)
    trainer.fit(module, lab.loader())
    trainer.save_checkpoint(path)
    return path


def test_an_omegaconf_object_comes_back_as_one(lab: Any, tmp_path: Any) -> None:
    omegaconf = pytest.importorskip("omegaconf")

    def kind(R: Any) -> Any:
        class Made(lab.classifier(R)):  # type: ignore[misc]
            def __init__(self, config: Any) -> None:
                super().__init__()
                self.save_hyperparameters(config)

        return Made

    config = omegaconf.OmegaConf.create({"rate": 0.5, "layers": [1, {"width": 2}], "again": "${rate}"})
    ours = kind(L)
    path = saved_by(L, lab, ours(config), tmp_path / "ours.ckpt")
    back = ours.load_from_checkpoint(path)  # with weights_only=True, where Lightning's checkpoint needs False
    assert isinstance(back.hparams, omegaconf.DictConfig)
    assert back.hparams == config and back.hparams.again == 0.5
    assert ours.load_from_checkpoint(path, rate=0.25).hparams.again == 0.25
    assert kind(lightning).load_from_checkpoint(path).hparams.layers[1]["width"] == 2
    theirs = saved_by(lightning, lab, kind(lightning)(config), tmp_path / "theirs.ckpt")
    assert ours.load_from_checkpoint(theirs, weights_only=False).hparams == config


@pytest.mark.parametrize("key", ["hparams", "module_arguments"])
def test_hparams_of_old_checkpoints(key: str, lab: Any, tmp_path: Any) -> None:
    class Sized(lab.classifier(L)):  # type: ignore[misc]
        def __init__(self, size: int = 1) -> None:
            super().__init__()
            self.save_hyperparameters()

    path = saved_by(L, lab, Sized(size=3), tmp_path / "old.ckpt")
    contents = torch.load(path)
    contents[key] = contents.pop("hyper_parameters")
    torch.save(contents, path)
    assert Sized.load_from_checkpoint(path).hparams.size == 3
    assert Sized.load_from_checkpoint(path, size=4).hparams.size == 4


def test_plain_values_are_no_hyperparameters() -> None:
    class Module(L.LightningModule):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.save_hyperparameters(size)

    with pytest.raises(ValueError, match=r"Primitives \(<class 'bool'>"):
        Module(3)
