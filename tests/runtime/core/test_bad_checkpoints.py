"""Checkpoints that cannot be used: each is refused with a sentence that says why and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import torchlift as L
from torchlift.utilities.exceptions import PossibleUserWarning


class Net(L.LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(6, width)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0]).sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Wider(Net):
    def __init__(self, width: int = 3) -> None:
        super().__init__(width)
        self.more = nn.Linear(2, 2)


class TwoOptimizers(Net):
    automatic_optimization = False

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=0.01), torch.optim.SGD(self.parameters(), lr=0.02)]


@pytest.fixture
def saved(lab: Any, tmp_path: Path) -> Path:
    trainer = L.Trainer(**lab.QUIET, max_epochs=1)
    trainer.fit(Net(3), lab.loader())
    trainer.save_checkpoint(tmp_path / "good.ckpt")
    return tmp_path / "good.ckpt"


def resume(lab: Any, module: Any, path: Any) -> None:
    L.Trainer(**lab.QUIET, max_epochs=2).fit(module, lab.loader(), ckpt_path=path)


@pytest.mark.parametrize("kind", ["half", "empty", "text", "picture"])
def test_a_file_that_is_not_whole(kind: str, lab: Any, saved: Path) -> None:
    content = saved.read_bytes()
    bad = saved.with_name("bad.ckpt")
    bad.write_bytes({"half": content[: len(content) // 2], "empty": b"", "text": b"hello", "picture": b"\x89PNG"}[kind])
    for use in (lambda: resume(lab, Net(3), bad), lambda: Net.load_from_checkpoint(bad, width=3)):
        with pytest.raises(ValueError, match=r"bad\.ckpt is not a whole checkpoint"):
            use()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Net(3).state_dict(), "weights alone: load them with"),
        ([1, 2], "an object of type `list`"),
        ({"model": 1, "epoch": 2}, "Its keys are: model, epoch"),
    ],
)
def test_a_file_of_something_else(content: Any, message: str, lab: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    for use in (
        lambda: resume(lab, Net(3), tmp_path / "other.pt"),
        lambda: Net.load_from_checkpoint(tmp_path / "other.pt", width=3),
    ):
        with pytest.raises(ValueError, match="not a checkpoint of a Trainer") as caught:
            use()
        assert message in str(caught.value)


def test_another_model(lab: Any, saved: Path) -> None:
    with pytest.raises(RuntimeError, match=r"more\.weight") as caught:
        resume(lab, Wider(), saved)
    assert "strict_loading = False" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match=r"more\.weight") as caught:
        Wider.load_from_checkpoint(saved)
    assert "strict=False" in caught.value.__notes__[0]
    with pytest.warns(UserWarning, match=r"more\.weight"):
        loaded = Wider.load_from_checkpoint(saved, strict=False)
    assert loaded.layer.weight.equal(torch.load(saved)["state_dict"]["layer.weight"])
    with pytest.raises(RuntimeError, match="size mismatch") as caught:
        Net.load_from_checkpoint(saved, width=4)
    assert not hasattr(caught.value, "__notes__")  # strict=False would not help


def test_another_number_of_optimizers(lab: Any, saved: Path) -> None:
    with pytest.raises(ValueError, match="the states of 1 optimizers, and `configure_optimizers` gives 2"):
        resume(lab, TwoOptimizers(3), saved)


def test_no_hyperparameters(saved: Path) -> None:
    with pytest.raises(TypeError, match="width") as caught:
        Net.load_from_checkpoint(saved)
    assert "save_hyperparameters" in caught.value.__notes__[0]
    assert Net.load_from_checkpoint(saved, width=3).layer.out_features == 3


def test_a_newer_version(lab: Any, saved: Path) -> None:
    contents = torch.load(saved)
    contents["pytorch-lightning_version"] = "99.0.0"
    torch.save(contents, saved)
    with pytest.warns(PossibleUserWarning, match=r"v99\.0\.0, which is newer than your current"):
        resume(lab, Net(3), saved)


def test_a_folder_that_cannot_be_written(lab: Any, saved: Path) -> None:
    """A file where a folder should be; root may write anywhere else."""
    trainer = L.Trainer(**lab.QUIET, max_epochs=1)
    trainer.fit(Net(3), lab.loader())
    before = saved.read_bytes()
    with pytest.raises(OSError, match=r"good\.ckpt"):
        trainer.save_checkpoint(saved / "below.ckpt")
    assert saved.read_bytes() == before and [path.name for path in saved.parent.iterdir()] == ["good.ckpt"]


def test_names_that_stand_for_no_checkpoint(lab: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no HPC checkpoint was found"):
        L.Trainer(**lab.QUIET, default_root_dir=tmp_path).fit(Net(3), lab.loader(), ckpt_path="hpc")
    with pytest.raises(ValueError, match="model registry"):
        resume(lab, Net(3), "registry:mine")
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        resume(lab, Net(3), tmp_path / "none.ckpt")


def test_the_latest_of_a_clusters_checkpoints(lab: Any, saved: Path) -> None:
    for number in (2, 10):
        (saved.parent / f"hpc_ckpt_{number}.ckpt").write_bytes(saved.read_bytes())
    trainer = L.Trainer(**lab.QUIET, max_epochs=1, default_root_dir=saved.parent)
    trainer.fit(Net(3), lab.loader(), ckpt_path="hpc")
    assert Path(str(trainer.ckpt_path)).name == "hpc_ckpt_10.ckpt"
